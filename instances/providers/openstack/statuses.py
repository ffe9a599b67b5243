"""What nova's words mean: statuses to phases, faults and refusals to sentences. Pure.

Nothing but nova's 404 or DELETED is absence. A status that is not in the table is UNKNOWN, which leads to nothing.
Source: https://docs.openstack.org/api-guide/compute/server_concepts.html
"""

import re
from collections.abc import Mapping

from instances.providers.base import Spec
from instances.states import Phase

from .servers import Server

RUNS = frozenset({"ACTIVE", "PASSWORD", "MIGRATING", "VERIFY_RESIZE"})
"""The guest works: whether its apps answer decides between STARTING and RUNNING."""
PHASES: Mapping[str, Phase] = {
    **dict.fromkeys(RUNS, Phase.RUNNING),
    "BUILD": Phase.STARTING,
    "REBOOT": Phase.STARTING,
    "HARD_REBOOT": Phase.STARTING,
    "REBUILD": Phase.STARTING,
    "RESIZE": Phase.STARTING,
    "REVERT_RESIZE": Phase.STARTING,
    "SHUTOFF": Phase.STOPPED,
    "PAUSED": Phase.STOPPED,
    "SUSPENDED": Phase.STOPPED,
    "SHELVED": Phase.STOPPED,
    "SHELVED_OFFLOADED": Phase.STOPPED,
    "RESCUE": Phase.STOPPED,
    "SOFT_DELETED": Phase.STOPPED,
    "ERROR": Phase.FAILED,
    "UNKNOWN": Phase.UNKNOWN,
    "DELETED": Phase.ABSENT,
}
MESSAGES: Mapping[str, str] = {
    "BUILD": "The cloud is preparing a machine",
    "REBOOT": "Restarting",
    "HARD_REBOOT": "Restarting",
    "REBUILD": "The cloud is preparing the machine anew",
    "RESIZE": "The cloud is moving it to other hardware",
    "REVERT_RESIZE": "The cloud is moving it back",
    "SHUTOFF": "It is switched off.",
    "PAUSED": "It was paused in the cloud.",
    "SUSPENDED": "It was suspended in the cloud.",
    "SHELVED": "It is put away.",
    "SHELVED_OFFLOADED": "It is put away.",
    "RESCUE": "An administrator of the cloud is repairing it.",
    "SOFT_DELETED": "It was deleted in the cloud, which keeps it for a while.",
    "UNKNOWN": "A part of the cloud does not answer.",
}
WAKING = frozenset({"powering-on", "resuming", "unpausing", "unshelving", "spawning", "scheduling", "restoring"})
"""Tasks under which a stopped server is on its way up."""
POWERED_DOWN = 4
ATTEMPTS = 3
"""Builds of one instance that may meet a fault which is gone at the next try."""
QUOTA = re.compile(r"Quota exceeded for ([\w, ]+?): Requested ([\d, ]+), but already used ([\d, ]+) of ([\d, ]+)")
QUOTAS = {"instances": "machines", "cores": "cores", "ram": "memory", "server_groups": "server groups"}


def runs(server: Server) -> bool:
    """Its guest works, so that its apps can be asked."""
    return phase(server)[0] is Phase.RUNNING


def phase(server: Server) -> tuple[Phase, str]:
    """`Phase.RUNNING` here is that the guest runs, whatever its apps do."""
    found = PHASES.get(server.status, Phase.UNKNOWN)
    message = MESSAGES.get(server.status, "")
    if found is Phase.STOPPED and server.task in WAKING:
        return Phase.STARTING, "The cloud is switching it on"
    if server.status == "ACTIVE" and server.power == POWERED_DOWN and not server.task:
        return Phase.STOPPED, "It ended by itself."
    if found is Phase.UNKNOWN and not message:
        return found, f"The cloud calls its state “{server.status}”, which the portal does not know."
    return found, message


def lost_race(server: Server) -> bool:
    """Somebody else was quicker to a device: another server may find one, and has not been tried too often."""
    raced = re.search(r"Exceeded maximum number of retries|PCI|claim", server.fault, re.I)
    return bool(raced) and server.beyond_repair and server.attempt < ATTEMPTS


def reason(fault: str, *, gpu_model: str = "", size: str = "") -> str:
    """Nova's fault as a sentence for the owner; what nobody has foreseen is quoted."""
    if re.search(r"No valid host|Exceeded maximum number of retries|Exhausted all hosts", fault):
        if gpu_model:
            return f"No {gpu_model} is free now."
        return f"No machine has room for {size} now." if size else "No machine of the cloud has room for it now."
    if re.search(r"Volume .* did not finish|block device|BlockDevice", fault, re.I):
        return "The cloud could not prepare its disk in time."
    if re.search(r"network|port binding|VirtualInterface", fault, re.I):
        return "The cloud could not connect it to its network."
    return f"The cloud could not run it: {fault.rstrip('.')}." if fault else "The cloud could not run it."


def refusal(text: str) -> str:
    """A 403 as a sentence: which quota is used up, or that the portal's account may not do this."""
    if quota := QUOTA.search(text):
        names, _, used, most = ([part.strip() for part in group.split(",")] for group in quota.groups())
        uses = zip(names, used, most, strict=False)
        what = ", ".join(f"{QUOTAS.get(name, name)} ({now} of {all_} in use)" for name, now, all_ in uses)
        return f"The portal's quota in the cloud is used up: {what}."
    if "uota" in text:
        what = "ports" if "port" in text else "something"
        return f"The portal's quota in the cloud is used up: {what} ({text.strip()[:150]})."
    return f"The cloud does not allow the portal to do this: {text.strip()[:200]}"


def size_of(spec: Spec) -> str:
    cores = "1 core" if spec.cores == 1 else f"{spec.cores:g} cores"
    return f"{cores} and {spec.memory_mb / 1024:g} GB"

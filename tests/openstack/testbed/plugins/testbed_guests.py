"""Nova's fake hypervisor, with GPUs to give away, faults on demand, and a folder that says which guests are powered on.

Environment: TESTBED_GUESTS is that folder, with one JSON file for each guest that is on: its addresses, metadata and
user-data, for a stand-in to play it. TESTBED_FAULTS is a JSON file that is read before each build: {"delay": seconds,
"fail": "abort" or "reschedule", "reason": text, "times": how many builds}.
"""

import base64
import fcntl
import json
import os
import pathlib
import time
import uuid

from nova import exception
from nova.scheduler.client import report
from nova.virt import fake

GUESTS = pathlib.Path(os.environ["TESTBED_GUESTS"])
FAULTS = pathlib.Path(os.environ["TESTBED_FAULTS"])
VGPUS, PCI_GPUS = 8, 8

# At every claim nova asks placement for each instance on the host, which only PCI devices in placement need.
report.SchedulerReportClient.get_allocations_for_provider_tree = lambda self, context, nodename: {}


class Driver(fake.FakeDriver):
    vcpus = 4000
    memory_mb = 16_000_000
    local_gb = 6_000_000

    def spawn(self, context, instance, *args, **kwargs):
        fault = next_fault()
        time.sleep(fault.get("delay", 0))
        reason = fault.get("reason", "injected")
        if fault.get("fail") == "abort":
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=reason)
        if fault.get("fail") == "reschedule":
            raise exception.ComputeResourcesUnavailable(reason=reason)
        super().spawn(context, instance, *args, **kwargs)
        switch_on(instance)

    def plug_vifs(self, instance, network_info):
        """Called for each known guest at start: the fake hypervisor has forgotten it."""
        if instance.uuid not in self.instances:
            self.instances[instance.uuid] = fake.FakeInstance(instance.name, instance.power_state or 1, instance.uuid)

    def power_off(self, instance, *args, **kwargs):
        super().power_off(instance, *args, **kwargs)
        switch_off(instance)

    def power_on(self, context, instance, *args, **kwargs):
        super().power_on(context, instance, *args, **kwargs)
        switch_on(instance)

    def reboot(self, context, instance, *args, **kwargs):
        switch_off(instance)
        super().reboot(context, instance, *args, **kwargs)
        switch_on(instance)

    def destroy(self, context, instance, *args, **kwargs):
        switch_off(instance)
        super().destroy(context, instance, *args, **kwargs)

    def get_available_resource(self, nodename):
        resources = super().get_available_resource(nodename)
        if resources:
            resources["uuid"] = str(uuid.uuid5(uuid.NAMESPACE_DNS, nodename))
            resources["pci_passthrough_devices"] = json.dumps([gpu(number) for number in range(PCI_GPUS)])
        return resources

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = dict(provider_tree.data(nodename).inventory)
        inventory["VGPU"] = {
            "total": VGPUS,
            "min_unit": 1,
            "max_unit": VGPUS,
            "step_size": 1,
            "allocation_ratio": 1.0,
            "reserved": 0,
        }
        provider_tree.update_inventory(nodename, inventory)


def gpu(number):
    return {
        "address": f"0000:{number + 1:02x}:00.0",
        "vendor_id": "10de",
        "product_id": "25b6",
        "status": "available",
        "dev_type": "type-PCI",
        "parent_addr": None,
        "numa_node": None,
        "label": "label_10de_25b6",
        "dev_id": f"pci_{number}",
    }


def next_fault():
    try:
        file = FAULTS.open("r+")
    except FileNotFoundError:
        return {}
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fault = json.load(file)
        if fault.get("times", 1) <= 0:
            return {}
        fault["times"] = fault.get("times", 1) - 1
        file.seek(0)
        file.truncate()
        json.dump(fault, file)
    return fault


def switch_on(instance):
    network = instance.get_network_info()
    guest = {
        "addresses": [address["address"] for vif in network for address in vif.fixed_ips()],
        "metadata": dict(instance.metadata),
        "user_data": base64.b64decode(instance.user_data or "").decode(),
    }
    file = GUESTS / f"{instance.uuid}.json"
    new = file.with_suffix(".new")
    new.write_text(json.dumps(guest))
    new.rename(file)


def switch_off(instance):
    (GUESTS / f"{instance.uuid}.json").unlink(missing_ok=True)

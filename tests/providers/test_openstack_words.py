"""What nova's words mean to the portal, and what the portal writes into a server, without an OpenStack."""

from dataclasses import replace

import pytest

from instances.errors import ProviderError
from instances.providers.base import Account, Hardware, Spec
from instances.providers.openstack import changes, offers, servers, statuses
from instances.providers.openstack.configuration import Configuration, SiteGroup
from instances.states import Phase

NOVA_STATUSES = [
    *("ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD"),
    *("RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED"),
    *("UNKNOWN", "VERIFY_RESIZE"),
]
SPEC = Spec(
    id="0123456789abcdef0123456789abcdef",
    deployment="maxiv",
    generation=3,
    name="Mine",
    owner=Account("ada", "Ada", 24001, 24001),
    image="desktop",
    apps=("desktop", "jupyter"),
    cores=4,
    memory_mb=8192,
    gpu_model="A40",
    gpu_count=1,
    labels={"owner": "ada", "environment": "desktop", "flavour": "gpu", "experiments": "1,2", "roles": "staff"},
)


def server(status: str = "ACTIVE", spec: Spec = SPEC, **more: object) -> servers.Server:
    answer = {"id": "s", "status": status, "metadata": servers.metadata(spec, firstboot="f"), "created": ""}
    return servers.server(answer | more)


def test_every_status_of_nova_has_its_phase() -> None:
    assert set(NOVA_STATUSES) == set(statuses.PHASES)


def test_only_deleted_is_absent_and_what_nobody_knows_is_unknown() -> None:
    absent = [status for status in [*NOVA_STATUSES, "BRAND_NEW"] if statuses.phase(server(status))[0] is Phase.ABSENT]
    assert absent == ["DELETED"]
    assert statuses.phase(server("BRAND_NEW"))[0] is Phase.UNKNOWN
    assert statuses.phase(server("SHELVED_OFFLOADED"))[0] is Phase.STOPPED


def test_a_stopped_server_that_is_being_switched_on_starts() -> None:
    waking = {"OS-EXT-STS:task_state": "powering-on"}
    assert statuses.phase(server("SHUTOFF", **waking))[0] is Phase.STARTING
    assert statuses.phase(server("SHELVED_OFFLOADED", **{"OS-EXT-STS:task_state": "spawning"}))[0] is Phase.STARTING


def test_a_guest_that_switched_itself_off_has_stopped() -> None:
    assert statuses.phase(server("ACTIVE", **{"OS-EXT-STS:power_state": 4}))[0] is Phase.STOPPED


def test_faults_are_told_in_words_that_a_person_understands() -> None:
    nobody = "No valid host was found. There are not enough hosts available."
    assert statuses.reason(nobody, gpu_model="A40") == "No A40 is free now."
    assert statuses.reason(nobody, size="4 cores and 8 GB") == "No machine has room for 4 cores and 8 GB now."
    assert "disk" in statuses.reason("Build of instance x aborted: Volume y did not finish being created")
    assert statuses.reason("The GPU fell off the bus") == "The cloud could not run it: The GPU fell off the bus."
    assert statuses.reason("") == "The cloud could not run it."


def test_a_lost_race_for_a_device_is_tried_again_and_a_full_cloud_is_not() -> None:
    def lost(fault: str, attempt: int = 1) -> bool:
        written = servers.metadata(SPEC, firstboot="f", attempt=attempt)
        return statuses.lost_race(server("ERROR", fault={"message": fault}, metadata=written))

    retries = "Exceeded maximum number of retries. Exhausted all hosts available for retrying"
    assert lost(retries) and lost(retries, attempt=2) and not lost(retries, attempt=3)
    assert lost("Insufficient compute resources: Claim pci failed.")
    assert not lost("No valid host was found. There are not enough hosts available.")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances",
            "The portal's quota in the cloud is used up: machines (10 of 10 in use).",
        ),
        (
            "Quota exceeded for cores, ram: Requested 8, 16384, but already used 4, 8192 of 10, 20000 cores, ram",
            "The portal's quota in the cloud is used up: cores (4 of 10 in use), memory (8192 of 20000 in use).",
        ),
        ("Policy doesn't allow x to be performed.", "The cloud does not allow the portal to do this: Policy"),
    ],
)
def test_a_refusal_names_the_quota_that_is_used_up(said: str, meant: str) -> None:
    assert statuses.refusal(said).startswith(meant)


def test_what_is_written_with_a_server_is_read_back_from_it() -> None:
    found = server()
    assert (found.instance, found.deployment, found.generation) == (SPEC.id, "maxiv", 3)
    assert (found.apps, found.gpus, found.labels) == (("desktop", "jupyter"), ("A40", 1), dict(SPEC.labels))


def test_a_label_longer_than_nova_takes_comes_back_whole() -> None:
    experiments = ",".join(str(number) for number in range(100000, 100200))
    spec = replace(SPEC, labels={"owner": "ada", "experiments": experiments})
    written = servers.metadata(spec, firstboot="f")
    assert max(len(value) for value in written.values()) <= servers.LONGEST
    assert server(spec=spec).labels == {"owner": "ada", "experiments": experiments}


def test_tags_fit_whatever_the_deployment_is_called() -> None:
    for deployment in ("maxiv", "a,b/c", "x" * 200):
        assert all(len(tag) <= 60 and not set(tag) & set(",/") for tag in servers.tags(deployment, SPEC.id))
    assert servers.tags("x" * 200) != servers.tags("x" * 201)


def test_a_machine_on_a_volume_is_asked_for_with_its_image_in_the_disk() -> None:
    settings = {"boot_volume_gb": 40, "key_pair": "admin", "availability_zone": "az1", "server_group": "g"}
    body = request(settings, groups=["sg"])
    assert "imageRef" not in body["server"]
    disk = body["server"]["block_device_mapping_v2"][0]
    assert (disk["volume_size"], disk["uuid"], disk["delete_on_termination"]) == (40, "image", True)
    assert (body["server"]["key_name"], body["server"]["availability_zone"]) == ("admin", "az1")
    assert body["os:scheduler_hints"] == {"group": "g"}
    assert body["server"]["security_groups"] == [{"name": "sg"}]


def test_without_settings_nova_chooses_the_network_and_the_group() -> None:
    asked = request({})["server"]
    assert asked["networks"] == "auto" and asked["imageRef"] == "image"
    assert not {"security_groups", "key_name", "availability_zone", "user_data"} & set(asked)


def request(settings: dict[str, object], groups: list[str] | None = None) -> dict:
    return changes.request(
        SPEC,
        Configuration.of({"deployment": "maxiv", "key": "k", **settings}),
        flavour="flavour",
        image="image",
        networks=[],
        groups=groups or [],
        metadata={},
        user_data="",
    )


def test_a_group_of_the_facility_is_for_those_whom_all_its_conditions_name() -> None:
    assert SiteGroup("everybody").holds(SPEC.labels)
    assert SiteGroup("staff", roles=frozenset({"staff"}), flavours=frozenset({"gpu"})).holds(SPEC.labels)
    assert not SiteGroup("staff", roles=frozenset({"staff"}), flavours=frozenset({"small"})).holds(SPEC.labels)
    assert not SiteGroup("id11", instruments=frozenset({"id11"})).holds(SPEC.labels)


@pytest.mark.parametrize("wrong", [{"stop": "burn"}, {"security_groups": [{"roles": ["staff"]}]}, {"networks": 5}])
def test_settings_that_make_no_sense_are_refused_for_good(wrong: dict[str, object]) -> None:
    with pytest.raises(ProviderError) as refused:
        Configuration.of({"deployment": "d", "key": "k", **wrong})
    assert not refused.value.retry


def test_secrets_are_not_shown_with_the_configuration() -> None:
    assert "hidden" not in repr(Configuration.of({"deployment": "d", "key": "hidden"}))


@pytest.mark.parametrize(
    ("specs", "gpus", "expected"),
    [
        ({}, {}, ("", 0)),
        ({"resources:VGPU": "1"}, {"A40": "VGPU"}, ("A40", 1)),
        ({"pci_passthrough:alias": "a16:2"}, {"A16": 8}, ("A16", 2)),
        ({"pci_passthrough:alias": "l4:1"}, {}, ("L4", 1)),
        (
            {"resources:VGPU": "1", "trait:CUSTOM_A16": "required"},
            {"A40": "VGPU/CUSTOM_A40", "A16": "VGPU/CUSTOM_A16"},
            ("A16", 1),
        ),
        ({"resources:CUSTOM_H100": "4"}, {}, ("H100", 4)),
    ],
)
def test_a_flavour_tells_its_gpus(specs: dict[str, str], gpus: dict[str, int | str], expected: tuple[str, int]) -> None:
    found = offers.hardware({"name": "f", "vcpus": 4, "ram": 8192, "extra_specs": specs}, gpus)
    assert found == Hardware("f", 4, 8192, *expected)

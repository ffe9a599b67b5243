"""The provider on a real control plane: what nova keeps, what it refuses, and what happens behind the portal's back."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from instances.errors import ProviderError
from instances.providers.openstack.provider import OpenStackProvider
from instances.states import Phase

from .rig import PATIENCE, Rig, rig

LABELS = {"owner": "alice", "environment": "desktop", "flavour": "small", "instruments": "id11", "proposals": "hc-1"}


def server(openstack: Rig, instance_id: str):  # type: ignore[no-untyped-def]
    """What the administrator sees of it."""
    reference = openstack.provider.observe(instance_id).reference
    return openstack.testbed.admin.compute.get_server(reference)


def test_a_server_says_from_its_first_moment_whose_it_is(openstack: Rig) -> None:
    spec = openstack.spec(labels=LABELS)
    with openstack.testbed.faults(delay=3):
        observed = openstack.ensure(spec)
        found = openstack.testbed.admin.compute.get_server(observed.reference)
    assert found.status == "BUILD"
    assert found.metadata["visa.instance"] == spec.id and found.metadata["visa.deployment"] == spec.deployment
    assert (found.metadata["owner"], found.metadata["proposals"]) == ("alice", "hc-1"), "as images of VISA read them"
    assert spec.id in str(found.tags)


def test_the_guest_is_told_its_secrets_and_nobody_else_is(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec(image="jupyter", labels={**LABELS, "environment": "jupyter"}))
    endpoint = openstack.provider.endpoint(spec.id, "jupyter")
    found = server(openstack, spec.id)
    guest = openstack.guests.on()[found.id]
    assert guest["user_data"].startswith("#cloud-config") and "alice" in guest["user_data"]
    assert endpoint.host == guest["addresses"][0] and endpoint.port == 8888
    assert endpoint.secret and endpoint.secret not in str(found.to_dict())


def test_any_process_finds_the_same_secret(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    other = OpenStackProvider("testbed", openstack.settings())
    assert other.endpoint(spec.id, "desktop") == openstack.provider.endpoint(spec.id, "desktop")
    foreign = OpenStackProvider("testbed", openstack.settings(key="another"))
    assert foreign.endpoint(spec.id, "desktop").secret != openstack.provider.endpoint(spec.id, "desktop").secret


def test_shelved_it_gives_its_place_back_and_comes_again(openstack: Rig) -> None:
    shelving = OpenStackProvider("testbed", openstack.settings(stop="shelve"))
    spec = openstack.run(openstack.spec())
    shelving.stop(spec.id)
    assert openstack.provider.observe(spec.id).phase is Phase.STOPPED
    assert server(openstack, spec.id).status == "SHELVED_OFFLOADED"
    openstack.run(replace(spec, generation=2))


@pytest.mark.parametrize("how", ["pause", "suspend", "shelve", "stop"])
def test_what_somebody_did_to_it_in_the_cloud_is_seen_and_undone_by_a_start(openstack: Rig, how: str) -> None:
    spec = openstack.run(openstack.spec())
    compute = openstack.testbed.admin.compute
    getattr(compute, f"{how}_server")(openstack.provider.observe(spec.id).reference)
    openstack.wait(spec.id, Phase.STOPPED)
    openstack.run(replace(spec, generation=2))


def test_a_larger_flavour_is_a_resize_that_is_confirmed(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    before = server(openstack, spec.id)
    openstack.run(replace(spec, generation=2, flavour="large", cores=4, memory_mb=8192))
    after = server(openstack, spec.id)
    assert (after.id, after.status) == (before.id, "ACTIVE")
    assert after.flavor["original_name"] == "large"


def test_with_other_data_it_is_prepared_anew_and_keeps_its_address(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec(keyboard="us"))
    before = openstack.provider.endpoint(spec.id, "desktop")
    openstack.run(replace(spec, generation=2, keyboard="de"))
    reference = openstack.provider.observe(spec.id).reference
    assert "de" in openstack.guests.on()[reference]["user_data"]
    assert openstack.provider.endpoint(spec.id, "desktop") == before
    assert "rebuild" in [action.action for action in openstack.testbed.admin.compute.server_actions(reference)]


def test_a_restart_asks_the_guest_first(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    openstack.run(replace(spec, generation=2))
    reference = openstack.provider.observe(spec.id).reference
    assert "reboot" in [action.action for action in openstack.testbed.admin.compute.server_actions(reference)]


def test_a_server_that_is_deleted_behind_our_back_is_absent(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    assert openstack.provider.observe_all()
    compute = openstack.testbed.admin.compute
    compute.delete_server(openstack.provider.observe(spec.id).reference)
    openstack.wait(spec.id, Phase.ABSENT)
    assert not openstack.provider.observe_all()


def test_two_deployments_in_one_project_never_touch_each_others_servers(openstack: Rig) -> None:
    with rig(openstack.testbed, openstack.guests) as other:
        mine = openstack.run(openstack.spec())
        theirs = other.run(other.spec())
        assert openstack.provider.observe(theirs.id).phase is Phase.ABSENT
        openstack.provider.stop(theirs.id)
        openstack.provider.delete(theirs.id)
        with pytest.raises(ProviderError):
            openstack.provider.remove(mine.id, other.provider.observe(theirs.id).reference)
        assert other.provider.observe(theirs.id).phase is Phase.RUNNING
        assert [found.id for found in openstack.provider.observe_all()] == [mine.id]
        assert [found.id for found in other.provider.observe_all()] == [theirs.id]


def test_of_two_copies_the_younger_can_be_removed(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    first = openstack.provider.observe(spec.id).reference
    time.sleep(1.1)  # nova tells the time of creation in seconds
    original = openstack.testbed.admin.compute.get_server(first)
    copy = openstack.testbed.admin.compute.create_server(
        name="copy",
        image_id=original.image["id"],
        flavor_id=openstack.provider.catalogue.flavour(spec)["id"],
        networks=[{"uuid": openstack.provider.catalogue.networks()[0]}],
        metadata=original.metadata,
        tags=original.tags,
    )
    assert [found.id for found in openstack.provider.observe_all()] == [spec.id, spec.id]
    assert openstack.provider.observe(spec.id).reference == first
    openstack.provider.remove(spec.id, copy.id)
    assert [found.observed.reference for found in openstack.provider.observe_all()] == [first]


def test_pages_make_no_difference(openstack: Rig) -> None:
    specs = [openstack.spec() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(openstack.ensure, specs))
    paged = OpenStackProvider("testbed", openstack.settings(page=1))
    paged.mirror.servers()
    assert {found.id for found in paged.observe_all()} == {spec.id for spec in specs}


def test_a_list_that_fails_makes_nothing_absent(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    assert openstack.provider.observe_all()
    openstack.testbed.kill("nova")
    try:
        for _ in range(2):
            with pytest.raises(ProviderError) as silent:
                openstack.provider.observe_all()
            assert silent.value.retry
        with pytest.raises(ProviderError):
            openstack.provider.observe(spec.id)
    finally:
        openstack.testbed.start("nova")
    assert [found.id for found in openstack.provider.observe_all()] == [spec.id]
    assert openstack.provider.observe(spec.id).phase is Phase.RUNNING


def test_a_token_that_is_not_valid_any_more_is_renewed(openstack: Rig) -> None:
    provider = openstack.provider
    provider.observe_all()
    session = provider.door._connection().session
    old = session.get_token()
    identity = openstack.testbed.admin.identity
    identity.delete("/auth/tokens", headers={"X-Subject-Token": old})
    until = time.monotonic() + PATIENCE
    while session.get_token() == old:
        provider.observe_all()
        assert time.monotonic() < until, "nova has never refused the old token"
        time.sleep(0.5)
    assert provider.observe_all() == []


def test_only_brokers_reach_the_apps_and_what_somebody_opens_is_closed_again(openstack: Rig) -> None:
    provider = OpenStackProvider("testbed", openstack.settings(broker_addresses=["192.0.2.7/32", "2001:db8::7/128"]))
    spec = openstack.spec()
    provider.ensure(spec, lambda step, line: None)
    openstack.wait(spec.id, Phase.RUNNING)
    network = openstack.testbed.admin.network
    (group,) = network.security_groups(name=f"visa-{spec.deployment}")
    network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4")
    OpenStackProvider("testbed", provider.settings).groups.of(spec)
    rules = network.security_group_rules(security_group_id=group.id, direction="ingress")
    allowed = {(rule.port_range_min, rule.port_range_max, rule.remote_ip_prefix) for rule in rules}
    brokers = ("192.0.2.7/32", "2001:db8::7/128")
    assert allowed == {(port, port, broker) for port in (5901, 8888) for broker in brokers}
    assert [found["name"] for found in server(openstack, spec.id).security_groups] == [group.name]


def test_a_group_of_the_facility_is_laid_upon_those_whom_it_is_for(openstack: Rig) -> None:
    name = f"id11-{uuid.uuid4().hex[:6]}"
    openstack.testbed.admin.network.create_security_group(name=name)
    settings = openstack.settings(security_groups=[{"name": name, "instruments": ["id11"]}])
    provider = OpenStackProvider("testbed", settings)
    for labels, expected in ((LABELS, [name]), ({**LABELS, "instruments": "id22"}, ["default"])):
        spec = openstack.spec(labels=labels)
        provider.ensure(spec, lambda step, line: None)
        openstack.wait(spec.id, Phase.RUNNING)
        assert [found["name"] for found in server(openstack, spec.id).security_groups] == expected


def test_the_console_of_a_machine_can_be_read(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    assert "FAKE CONSOLE" in openstack.provider.console(spec.id)
    assert openstack.provider.console(uuid.uuid4().hex) == ""


def test_a_machine_whose_software_does_not_answer_is_not_running(openstack: Rig) -> None:
    openstack.guests.silent = True
    try:
        spec = openstack.spec()
        openstack.ensure(spec)
        until = time.monotonic() + PATIENCE
        while server(openstack, spec.id).status != "ACTIVE":
            assert time.monotonic() < until
            time.sleep(0.2)
        observed = openstack.provider.observe(spec.id)
        assert (observed.phase, observed.apps) == (Phase.STARTING, frozenset())
        assert "waiting for its software" in observed.message
    finally:
        openstack.guests.silent = False
        with suppress(ProviderError):
            openstack.provider.delete(spec.id)


def test_a_whole_list_that_lacks_a_server_is_not_believed_without_a_404(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    provider = openstack.provider
    assert provider.observe_all()
    pages = provider.door.pages
    provider.mirror._whole_at = float("-inf")
    provider.door.pages = lambda *arguments, **more: ([] for page in pages(*arguments, **more))  # type: ignore[method-assign]
    assert [found.id for found in provider.observe_all()] == [spec.id]
    openstack.testbed.admin.compute.delete_server(provider.mirror.servers()[0].id)
    until = time.monotonic() + PATIENCE
    while provider.observe_all():
        provider.mirror._whole_at = float("-inf")
        assert time.monotonic() < until
        time.sleep(0.5)
    del provider.door.pages

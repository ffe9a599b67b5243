"""From the portal's services through a real worker to real servers."""

import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from instances.models import Cloud, Console, Flavour, FlavourOffer, Instance
from instances.services.delete import delete
from instances.services.start import start
from instances.services.stop import stop
from instances.states import State

from .portal import Portal, portal
from .rig import Rig

OUTAGE = 60.0
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]


@pytest.fixture
def site(openstack: Rig, tmp_path: Path) -> Portal:
    return portal(openstack, tmp_path)


def capacity(site: Portal) -> None:
    """What the first look at the cloud writes down, so that something can be launched."""
    from instances.reconcile.watch import watch

    watch()
    site.cloud.refresh_from_db()
    assert not site.cloud.trouble


def test_an_instance_is_launched_stopped_started_and_deleted(site: Portal, openstack: Rig) -> None:
    capacity(site)
    ada = site.facility.ada
    with site.worker():
        instance = site.reaches(site.launch(), State.READY)
        guest = openstack.guests.on()[instance.reference]
        assert "nas.example.org:/export" in guest["user_data"] and guest["metadata"]["owner"] == "ada"
        stop(instance.pk, acting_user=ada)
        site.reaches(instance, State.STOPPED)
        assert instance.reference not in openstack.guests.on()
        start(instance.pk, acting_user=ada)
        site.reaches(instance, State.READY)
        delete(instance.pk, acting_user=ada)
        site.reaches(instance, State.DELETED)
    assert not openstack.provider.observe_all()


def test_a_server_deleted_behind_our_back_fails_its_instance_and_a_start_makes_another(
    site: Portal, openstack: Rig
) -> None:
    capacity(site)
    with site.worker():
        instance = site.reaches(site.launch(), State.READY)
        lost = instance.reference
        openstack.testbed.admin.compute.delete_server(lost)
        site.reaches(instance, State.FAILED)
        start(instance.pk, acting_user=site.facility.ada)
        site.reaches(instance, State.READY)
    assert instance.reference != lost


def test_a_minute_without_the_cloud_leaves_everything_as_it_was(site: Portal, openstack: Rig) -> None:
    capacity(site)
    with site.worker():
        instance = site.reaches(site.launch(), State.READY)
        server = instance.reference
        began = time.monotonic()
        for api in ("keystone", "nova"):
            openstack.testbed.kill(api)
        try:
            site.reaches(instance, State.UNKNOWN)
            waiting = site.launch()
            time.sleep(max(0.0, began + OUTAGE - time.monotonic()))
        finally:
            for api in ("keystone", "nova"):
                openstack.testbed.start(api)
        site.reaches(instance, State.READY)
        site.reaches(waiting, State.READY)
    assert instance.reference == server
    told = set(instance.events.exclude(after="").values_list("after", flat=True))
    assert told == {State.STARTING, State.READY, State.UNKNOWN}
    assert {found.id for found in openstack.provider.observe_all()} == {instance.key, waiting.key}


def test_the_owner_reads_which_gpu_is_not_free(site: Portal, openstack: Rig) -> None:
    capacity(site)
    FlavourOffer.objects.filter(flavour__slug="gpu.a40").update(name="a40-many")
    with site.worker():
        instance = site.reaches(site.launch(flavour="gpu.a40"), State.FAILED)
    assert instance.message == "No A40 is free now."


def test_the_console_of_a_machine_that_failed_is_kept(site: Portal, openstack: Rig) -> None:
    capacity(site)
    with site.worker():
        instance = site.reaches(site.launch(), State.READY)
        openstack.testbed.admin.compute.reset_server_state(instance.reference, "error")
        site.reaches(instance, State.FAILED)
    assert "FAKE CONSOLE" in Console.objects.get(instance=instance).text


def test_a_build_that_lost_a_race_is_run_again_unseen_by_its_owner(site: Portal, openstack: Rig) -> None:
    capacity(site)
    with site.worker(), openstack.testbed.faults(fail="reschedule", reason="Claim pci failed"):
        site.reaches(site.launch(), State.READY)


def test_a_hundred_people_launch_at_once(site: Portal, openstack: Rig) -> None:
    capacity(site)

    def one(number: int) -> None:
        try:
            site.launch(name=f"number {number}")
        finally:
            connection.close()

    with site.worker():
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(100)))

        def ready() -> int:
            return Instance.objects.filter(state=State.READY).count()

        site.until(lambda: ready() == 100, 800, lambda: f"{ready()} of 100")
    found = openstack.provider.observe_all()
    assert len(found) == len({one.id for one in found}) == 100
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: openstack.provider.delete(one.id), found))


def test_check_cloud_finds_all_in_order_and_then_what_is_wrong(site: Portal) -> None:
    Flavour.objects.filter(slug="gpu.a40").update(visible=False)
    said = StringIO()
    call_command("check_cloud", "testbed", stdout=said)
    text = said.getvalue()
    assert "FAIL" not in text
    for what in ("Credentials", "Clock", "Quota", "Networks", "Security groups", "A40 GPUs: 8 free", "desktop, s"):
        assert what in text
    wrong = {**site.cloud.settings, "networks": ["nowhere"], "images": {"desktop": "no-such"}, "placement_cloud": ""}
    Cloud.objects.update(settings=wrong)
    said = StringIO()
    with pytest.raises(SystemExit):
        call_command("check_cloud", "testbed", stdout=said)
    failed = [line for line in said.getvalue().splitlines() if line.startswith("FAIL")]
    assert [line.split(":")[0] for line in failed] == ["FAIL Networks", "FAIL A40 GPUs", "FAIL desktop, s"]
    with pytest.raises(CommandError):
        call_command("check_cloud", "nowhere")


def test_flavours_are_taken_over_once_for_each_hardware(site: Portal) -> None:
    before = Flavour.objects.count()
    said = StringIO()
    call_command("import_flavours", "testbed", "--dry-run", stdout=said)
    assert "large: 4 cores, 8192 MB → large (new)" in said.getvalue()
    assert Flavour.objects.count() == before
    call_command("import_flavours", "testbed", stdout=StringIO())
    offers = dict(FlavourOffer.objects.filter(cloud=site.cloud).values_list("name", "flavour__slug"))
    assert offers["small"] == "s" and offers["a40"] == "gpu.a40" and offers["large"] == "large"
    a16 = Flavour.objects.get(slug="a16")
    assert (a16.gpu_model, a16.gpu_count, a16.group, a16.visible) == ("A16", 1, "gpu", False)
    call_command("import_flavours", "testbed", stdout=StringIO())
    assert dict(FlavourOffer.objects.filter(cloud=site.cloud).values_list("name", "flavour__slug")) == offers

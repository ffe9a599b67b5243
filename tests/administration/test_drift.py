"""The pages of drift and of the clouds: what differs and why, orphans decided by hand, clouds changed and believed."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from auth.models import AuditEvent, User
from instances.models import Cloud, Instance, Stray
from instances.reconcile import watch
from instances.states import Desired, Phase, State
from tests.facility import Facility, instance
from tests.instances.conftest import cloud
from tests.instances.drifting import BECAUSE, orphan
from tests.instances.scripted import ScriptedCloud
from tests.pages.test_accessibility import troubles

from .conftest import As, Browse

__all__ = ["cloud"]  # the fixture of the reconciler's tests
pytestmark = pytest.mark.django_db(transaction=True)
DRIFT, CLOUDS = "/administration/drift/", "/administration/clouds/"


@pytest.fixture(autouse=True)
def seen_lately(facility: Facility) -> None:
    Cloud.objects.update(observed_at=timezone.now())


def ready(facility: Facility, **fields: object) -> Instance:
    facts = {"observed_generation": 1, "apps_ready": ["desktop"], "observed_at": timezone.now()}
    return instance(facility, facility.ada, **facts | fields)


def stray(facility: Facility, n: int = 1, **fields: object) -> Stray:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": str(facility.running.pk)}
    facts = {
        "cloud": facility.cloud,
        "kind": "orphan",
        "key": f"{n + 0xB5A0F00:08x}".ljust(32, "7"),
        "phase": "running",
        "labels": labels,
        "reference": f"vm-{n}",
    }
    return Stray.objects.create(**facts | fields)


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_what_differs_is_shown_first_and_everything_on_demand(facility: Facility, signed_in: As) -> None:
    ready(facility, name="As wanted")
    ready(facility, name="Being stopped", state=State.STOPPING, desired=Desired.STOPPED, phase=Phase.RUNNING)
    ready(facility, name="In line", state=State.QUEUED, phase=Phase.ABSENT, waiting_since=timezone.now())
    client = signed_in(facility.aud)
    shown = text(client, DRIFT)
    assert "Being stopped" in shown and "In line" in shown and "As wanted</a>" not in shown
    assert "It still runs." in shown and "A worker will stop it." in shown
    assert "As wanted</a>" in text(client, f"{DRIFT}?show=all&cloud=local")
    assert "Being stopped" not in text(client, f"{DRIFT}?show=waiting")
    assert "Nothing of this kind" in text(client, f"{DRIFT}?show=all&cloud=another")
    for nonsense in ("?show=%00'", "?page=x", "?cloud=%F0%9F%92%A5", "?show=strays&page=99"):
        assert client.get(DRIFT + nonsense).status_code == 200


def test_it_is_said_when_nothing_drifts_and_when_that_is_not_known(facility: Facility, signed_in: As) -> None:
    ready(facility)
    client = signed_in(facility.ivy)
    assert "Nothing drifts" in text(client, DRIFT)
    Cloud.objects.update(observed_at=timezone.now() - timedelta(hours=2))
    assert "As far as the clouds could be asked" in text(client, DRIFT)
    assert "Not watched" in text(client, "/administration/")


def test_the_database_takes_out_one_page_at_a_time(
    facility: Facility, signed_in: As, django_assert_max_num_queries: object
) -> None:
    rows = [
        Instance(
            name=f"Number {n}", owner=facility.ada, environment=facility.desktop, flavour=facility.small,
            cloud=facility.cloud, state=State.UNKNOWN,
        )
        for n in range(120)
    ]  # fmt: skip
    Instance.objects.bulk_create(rows)
    for n in range(60):
        stray(facility, n)
    client = signed_in(facility.ivy)
    client.get(DRIFT)
    with django_assert_max_num_queries(30):  # type: ignore[operator]
        shown = text(client, DRIFT)
    assert shown.count("Number ") >= 50 and "Page 1 of 3" in shown
    assert shown.count("Orphan</span>") == 10 and "All 60" in shown
    assert text(client, f"{DRIFT}?page=3&show=unknown").count("<tr>") == 21
    strays = text(client, f"{DRIFT}?show=strays&page=2")
    assert strays.count("Orphan</span>") == 10 and "Page 2 of 2" in strays


def test_an_orphan_is_deleted_only_with_a_reason_and_what_was_typed_stays(facility: Facility, signed_in: As) -> None:
    row = stray(facility)
    address = reverse("instances:administration_discard", args=[row.pk])
    client = signed_in(facility.ivy)
    assert "Somebody may be working in it" in text(client, address)
    answer = client.post(address, {"because": "no idea"})
    assert answer.status_code == 422 and "no idea" in answer.content.decode()
    assert client.post(address, {"because": BECAUSE}).headers["Location"] == DRIFT
    row.refresh_from_db()
    assert row.fate == "delete" and "To be deleted" in text(client, DRIFT)
    assert AuditEvent.objects.filter(action="stray.delete", because=BECAUSE).count() == 1
    adopting = client.post(reverse("instances:administration_adopt", args=[row.pk]))
    assert adopting.status_code == 409 and "Its deletion has been decided" in adopting.content.decode()
    row.delete()
    assert "It is not there any more" in client.get(address, follow=True).content.decode()


def test_an_orphan_is_adopted_from_the_page(facility: Facility, signed_in: As) -> None:
    row = stray(facility)
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_adopt", args=[row.pk])
    assert "an instance of Ada Lind, Desktop on Small, for HC-1" in text(client, address)
    answer = client.post(address)
    adopted = Instance.objects.get()
    assert answer.headers["Location"] == f"/instances/{adopted.pk}/" and adopted.owner == facility.ada
    unknown = stray(facility, 2, labels={})
    shown = text(client, reverse("instances:administration_adopt", args=[unknown.pk]))
    assert "it can only be deleted" in shown and "Adopt</button>" not in shown


def test_an_instance_is_looked_at_again(facility: Facility, signed_in: As) -> None:
    row = ready(facility, state=State.UNKNOWN, failures=4, message="It gave no answer.")
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_look_again", args=[row.pk])
    assert "4 times in a row its cloud failed at it. It gave no answer." in text(client, address)
    assert client.post(address).headers["Location"] == DRIFT
    assert AuditEvent.objects.get(action="instance.look_again").actor_id == facility.ivy.pk
    Instance.objects.update(waiting_since=timezone.now())
    answer = client.post(address)
    assert answer.status_code == 409 and "waits in line" in answer.content.decode()


def test_a_cloud_is_changed_with_a_sentence_for_each_mistake(facility: Facility, signed_in: As) -> None:
    ready(facility)
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_change_cloud", args=[facility.cloud.pk])
    assert "The 1 instance that it holds" in text(client, address)
    typed = {"enabled": "yes", "rate": "plenty", "burst": "0", "concurrency": "9"}
    answer = client.post(address, typed)
    shown = answer.content.decode()
    assert answer.status_code == 422 and 'value="plenty"' in shown
    assert "Give a number from 0.1 to 100." in shown and "Give a number from 1 to 1000." in shown
    assert client.post(address, typed | {"rate": "0.5", "burst": "3", "enabled": ""}).status_code == 302
    row = Cloud.objects.get()
    assert (row.enabled, row.rate, row.burst, row.concurrency) == (False, 0.5, 3, 9)
    shown = text(client, CLOUDS)
    assert "Switched off" in shown and "watched until the last of it is gone" in shown


def test_the_page_of_the_clouds_says_how_each_does_and_what_it_holds(facility: Facility, signed_in: As) -> None:
    ready(facility)
    now = timezone.now()
    Cloud.objects.update(failures=7, closed_until=now + timedelta(seconds=30))
    shown = text(signed_in(facility.eve), CLOUDS)
    for words in ("Spared", "1 of 2 cores", "1 of 8 GB", "Ready 1", "5 a second, 20 in a burst, 8 at once"):
        assert words in shown, words
    assert "7 calls in a row failed" in shown and "/change/" not in shown
    Cloud.objects.update(trouble="No route to it.", trouble_since=now)
    assert "Silent" in text(signed_in(facility.aud), "/administration/")


def test_missing_instances_are_called_gone_with_a_reason(facility: Facility, signed_in: As) -> None:
    now = timezone.now()
    for n in range(3):
        ready(facility, name=f"Lost {n}", state=State.UNKNOWN, missing_since=now)
    Cloud.objects.update(doubt="3 of 3 instances are missing from its list at once.", doubt_since=now)
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_gone", args=[facility.cloud.pk])
    assert address in text(client, CLOUDS) and "Lost 2" in text(client, address)
    assert client.post(address, {"because": "gone"}).status_code == 422
    assert Cloud.objects.get().doubt
    answer = client.post(address, {"because": "The rack burnt down last night"}, follow=True)
    assert "3 instances count as gone" in answer.content.decode()
    assert set(Instance.objects.values_list("phase", flat=True)) == {Phase.ABSENT}
    answer = client.post(address, {"because": "The rack burnt down last night"}, follow=True)
    assert "There is no doubt about this cloud now." in answer.content.decode()


@pytest.fixture
def drifting(facility: Facility) -> Facility:
    """A facility in which all kinds of things differ, in a cloud in doubt and in one that is well."""
    now = timezone.now()
    other = Cloud.objects.create(
        name="stack", title="The facility’s cloud", kind="local", observed_at=now, capacity=facility.cloud.capacity
    )
    ready(facility, name="As wanted", cloud=other)
    ready(
        facility, name="Strain maps", state=State.UNKNOWN, phase=Phase.RUNNING, missing_since=now - timedelta(minutes=7)
    )
    ready(facility, name="Powder refinement", cloud=other, state=State.STOPPING, desired=Desired.STOPPED,
          phase=Phase.RUNNING)  # fmt: skip
    ready(facility, name="Tomography of a fossil", cloud=None, state=State.QUEUED, phase=Phase.ABSENT,
          observed_generation=0, apps_ready=[], waiting_since=now - timedelta(minutes=3))  # fmt: skip
    ready(facility, name="Stuck", cloud=other, state=State.STOPPED, desired=Desired.STOPPED, phase=Phase.RUNNING)
    stray(facility, 11, cloud=other)
    stray(facility, 12, fate="delete", trouble="Its cloud does not answer.")
    stray(facility, 13, kind="duplicate", labels={})
    doubt = "3 of 9 instances are missing from its list at once."
    Cloud.objects.filter(pk=facility.cloud.pk).update(doubt=doubt, doubt_since=now - timedelta(minutes=7))
    return facility


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_on_these_pages_and_a_phone_is_wide_enough(
    dark: bool, drifting: Facility, browse: Browse, tmp_path_factory: pytest.TempPathFactory
) -> None:
    row, other = Stray.objects.filter(kind="orphan").order_by("pk").first(), Instance.objects.get(name="Stuck")
    assert row
    pk = drifting.cloud.pk
    addresses = ["/administration/", DRIFT, f"{DRIFT}?show=strays", f"{DRIFT}?show=missing&cloud=stack", CLOUDS]
    addresses += [f"{CLOUDS}{pk}/change/", f"{CLOUDS}{pk}/gone/", f"{DRIFT}{other.pk}/look-again/"]
    addresses += [f"{DRIFT}orphans/{row.pk}/adopt/", f"{DRIFT}orphans/{row.pk}/delete/"]
    wide, narrow = browse(drifting.ivy, dark=dark), browse(drifting.ivy, dark=dark, width=375, height=740)
    folder = tmp_path_factory.mktemp("dark" if dark else "light")
    found, said = {}, list[str]()
    wide.on("console", lambda message: said.append(message.text))
    for n, address in enumerate(addresses):
        wide.goto(address)
        wide.screenshot(path=str(folder / f"{n}.png"), full_page=True)
        found[address] = troubles(wide)
        narrow.goto(address)
        if (width := narrow.evaluate("document.documentElement.scrollWidth")) > 375:
            found[f"{address} on a phone"] = [width]
    assert {address: trouble for address, trouble in found.items() if trouble} == {}
    assert [line for line in said if "/events" not in line] == []


def test_an_orphan_is_deleted_in_a_browser_and_gone_with_the_next_tick(
    facility: Facility, cloud: ScriptedCloud, browse: Browse
) -> None:
    found = orphan(cloud)
    watch.watch()
    page = browse(facility.ivy)
    page.goto("/administration/")
    page.get_by_role("link", name="Drift").first.click()
    row = page.get_by_role("row").filter(has_text="owner: ada")
    expect(row).to_contain_text("Reported")
    row.get_by_role("link", name="Delete…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Delete the orphan {found.id[:8]}?")
    page.get_by_label("Why").fill(BECAUSE)
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("status").first).to_contain_text("is deleted with the next look")
    expect(page.get_by_role("row").filter(has_text="owner: ada")).to_contain_text("To be deleted")
    assert found.id in cloud.rows
    watch.watch()
    page.goto(DRIFT)
    expect(page.get_by_role("heading", name="Nothing drifts")).to_be_visible()
    assert found.id not in cloud.rows


def test_only_administrators_are_offered_anything(drifting: Facility, signed_in: As) -> None:
    for person in (drifting.eve, drifting.aud):
        shown = text(signed_in(User.objects.get(pk=person.pk)), DRIFT)
        assert "What should not be there" in shown
        assert not any(words in shown for words in ("Adopt…", "Delete…", "Look again…"))
    assert "Adopt…" in text(signed_in(drifting.ivy), DRIFT)

"""The launch page and the progress that follows."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from auth.models import Experiment, Proposal
from instances.models import Instance, InstanceEvent
from instances.services.options import MOST_OPEN
from instances.states import State
from instances.views.progress import steps_of
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db


def form(facility: Facility, **changes: Any) -> dict[str, Any]:
    return {
        "experiments": [facility.running.pk],
        "environment": "desktop",
        "flavour": "s",
        "layout": "dual",
        "resolution": "fixed",
        "screen0": "1920x1080",
        "screen1": "1280x1024",
        "keyboard": "fr",
        "name": "Night shift",
        "notes": "look at scan 12",
    } | changes


def test_a_launch_leads_to_its_progress(facility: Facility, signed_in: As) -> None:
    answer = signed_in(facility.ada).post("/new/", form(facility))
    made = Instance.objects.get()
    assert answer.headers["Location"] == f"/instances/{made.pk}/progress/"
    assert (made.name, made.notes, made.owner) == ("Night shift", "look at scan 12", facility.ada)
    assert made.display == {
        "layout": "dual",
        "fit": False,
        "screens": [{"width": 1920, "height": 1080}, {"width": 1280, "height": 1024}],
        "keyboard": "fr",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("experiments", []),
        ("environment", "no-such"),
        ("flavour", "gpu.a40"),
        ("screen0", "1x1"),
        ("keyboard", "klingon"),
        ("name", "n" * 101),
        ("notes", "n" * 2001),
    ],
)
def test_bad_input_gets_a_sentence_beside_its_field_and_loses_nothing(
    field: str, value: Any, facility: Facility, signed_in: As
) -> None:
    answer = signed_in(facility.ada).post("/new/", form(facility, **{field: value}))
    page = answer.content.decode()
    assert answer.status_code == 422
    name = "display" if field in ("screen0", "keyboard") else field
    assert page.count('class="field-error"') == 1
    assert f'id="error-{name}"' in page
    if field != "name":
        assert 'value="Night shift"' in page
    if field != "notes":
        assert ">look at scan 12</textarea>" in page
    assert not Instance.objects.exists()


def test_whoever_has_nothing_can_launch_nothing_and_is_told_why(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.eve)
    assert "You take part in no experiment" in client.get("/new/").content.decode()
    answer = client.post("/new/", form(facility))
    assert answer.status_code in (403, 422)
    assert "You take part in no experiment" in answer.content.decode()
    assert not Instance.objects.exists()


def test_a_foreign_experiment_is_refused(facility: Facility, signed_in: As) -> None:
    answer = signed_in(facility.ada).post("/new/", form(facility, experiments=[facility.other.pk]))
    assert answer.status_code == 422
    assert not Instance.objects.exists()


def test_the_last_choices_are_made_again(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ada)
    client.post("/new/", form(facility, environment="jupyter"))
    page = client.get("/new/").content.decode()
    for chosen in ["environment-jupyter", "layout-dual", "flavour-s"]:
        assert " checked" in page.partition(f'id="{chosen}"')[2].partition(">")[0], chosen
    assert '<option value="fr" selected>' in page


@pytest.mark.parametrize("query", ["experiment={pk}", "proposal=hc-1", "proposal=HC-1"])
def test_a_link_chooses_the_experiment(query: str, facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.bob).get(f"/new/?{query.format(pk=facility.running.pk)}").content.decode()
    assert " checked" in page.partition(f'id="experiment-{facility.running.pk}"')[2].partition(">")[0]


def test_the_grants_are_shown_with_mode_and_reason_before_launching(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.bob).get(f"/new/grants/?experiments={facility.running.pk}").content.decode()
    assert page.count("read, write") == 2
    assert "RAW_DATA" in page
    assert "you are a participant of HC-1" in page


def test_no_grants_are_shown_for_a_foreign_experiment(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.bob).get(f"/new/grants/?experiments={facility.other.pk}").content.decode()
    assert "HC-2" not in page


def test_what_cannot_be_had_is_greyed_with_the_reason(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.ada).get("/new/").content.decode()
    radio = page.partition('id="flavour-gpu.a40"')[2].partition(">")[0]
    assert " disabled" in radio
    assert 'id="why-gpu.a40"' in page


def event(made: Instance, step: str, seconds: float) -> InstanceEvent:
    at = timezone.now() - timedelta(seconds=100 - seconds)
    return InstanceEvent(instance=made, generation=1, step=step, message=f"{step}…", at=at)


def test_a_step_ends_where_the_next_one_begins(facility: Facility) -> None:
    made = instance(facility, facility.ada, State.STARTING)
    events = [event(made, "queued", 0), event(made, "placing", 1.5), event(made, "starting", 4)]
    steps = steps_of(State.STARTING, events, now=timezone.now())
    assert [step.status for step in steps] == ["done", "done", "done", "done", "active", "pending"]
    assert [round(step.took.total_seconds(), 1) if step.took else None for step in steps[:3]] == [1.5, 2.5, None]
    assert steps[4].since == events[2].at


def test_a_failure_is_marked_where_it_happened(facility: Facility) -> None:
    made = instance(facility, facility.ada, State.FAILED)
    steps = steps_of(State.FAILED, [event(made, "queued", 0), event(made, "creating", 2)], now=timezone.now())
    assert [step.status for step in steps] == ["done", "done", "failed", "pending", "pending", "pending"]


@pytest.mark.django_db(transaction=True)
def test_the_form_works_without_scripts(facility: Facility, browse: Browse) -> None:
    page = browse(facility.ada, scripts=False)
    page.goto("/new/")
    page.get_by_role("checkbox", name="HC-1").check()
    page.get_by_label("JupyterLab").check()
    page.get_by_label("Name", exact=True).fill("Plain")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", name="Plain")).to_be_visible()
    assert Instance.objects.get().environment == facility.jupyter


@pytest.mark.django_db(transaction=True)
def test_choosing_an_experiment_shows_its_data_at_once(facility: Facility, browse: Browse) -> None:
    page = browse(facility.ada)
    page.goto("/new/")
    page.get_by_role("checkbox", name="HC-1").uncheck()
    expect(page.locator("#grants")).to_contain_text("Choose an experiment")
    page.get_by_role("checkbox", name="ES-3").check()
    expect(page.locator("#grants")).to_contain_text("ES-3 is open data")
    page.get_by_role("button", name="ES-3 ID11 , remove").click()
    expect(page.locator("#grants")).to_contain_text("Choose an experiment")


@pytest.mark.django_db(transaction=True)
def test_experiments_are_searched_by_doi_as_one_types(facility: Facility, browse: Browse) -> None:
    page = browse(facility.ada)
    page.goto("/new/")
    page.get_by_label("Search experiments").fill("doi:10.1/x")
    expect(page.get_by_role("checkbox", name="HC-1")).to_be_hidden()
    expect(page.get_by_role("checkbox", name="ES-3")).to_be_visible()
    page.get_by_label("Search experiments").fill("nonsense")
    expect(page.get_by_text("No experiment fits")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_progress_moves_without_reloading_and_leaves_into_the_desktop(facility: Facility, browse: Browse) -> None:
    made = instance(facility, facility.ada, State.STARTING)
    event(made, "queued", 99).save()
    page = browse(facility.ada)
    page.goto(f"/instances/{made.pk}/progress/")
    page.evaluate("window.stayed = true")
    event(made, "mounting", 99).save()
    expect(page.locator("[aria-current=step]")).to_contain_text("Mounting your data")
    assert page.evaluate("window.stayed")
    Instance.objects.filter(pk=made.pk).update(state=State.READY)
    page.wait_for_url(f"**/instances/{made.pk}/desktop/")


@pytest.mark.django_db(transaction=True)
def test_a_failed_launch_says_why_and_what_to_do(facility: Facility, browse: Browse) -> None:
    made = instance(facility, facility.ada, State.FAILED, message="The machine is full.")
    page = browse(facility.ada)
    page.goto(f"/instances/{made.pk}/progress/")
    expect(page.get_by_role("alert")).to_contain_text("The machine is full.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[aria-current=step]")).to_contain_text("Queued")


def crowd(facility: Facility, count: int) -> None:
    """So many open proposals, newer than Ada's own experiment, each with one experiment."""
    day = timezone.now()
    proposals = Proposal.objects.bulk_create(
        Proposal(code=f"op-{n}", title=f"Open {n}", released=day.date(), doi=f"10.9/OP.{n}", gid=700_000 + n)
        for n in range(count)
    )
    Experiment.objects.bulk_create(
        Experiment(
            key=f"op-{n}",
            proposal=proposal,
            instrument=facility.running.instrument,
            title=f"Basalt {n}",
            start=day,
            end=day + timedelta(days=1),
        )
        for n, proposal in enumerate(proposals)
    )


def test_however_much_is_open_one_s_own_experiments_are_listed(facility: Facility, signed_in: As) -> None:
    crowd(facility, 300)
    page = signed_in(facility.ada).get("/new/").content.decode()
    assert f'value="{facility.running.pk}"' in page and "There are more" in page
    assert page.count('name="experiments"') == 1 + MOST_OPEN


@pytest.mark.parametrize("words", ["op-7", "Basalt 7", "10.9/op.7", "doi:10.9/OP.7"])
def test_the_search_finds_what_the_page_does_not_list_and_keeps_what_is_chosen(
    facility: Facility, signed_in: As, words: str
) -> None:
    crowd(facility, 60)
    wanted = Experiment.objects.get(key="op-7")
    query = {"search": words, "experiments": [facility.running.pk]}
    page = signed_in(facility.ada).get("/new/experiments/", query).content.decode()
    assert f'value="{wanted.pk}"' in page
    chosen = page.partition(f'value="{facility.running.pk}"')[2].partition(">")[0]
    assert "checked" in chosen


def test_a_link_chooses_an_experiment_that_is_not_listed(facility: Facility, signed_in: As) -> None:
    crowd(facility, 60)
    page = signed_in(facility.ada).get("/new/?doi=10.9/op.3").content.decode()
    pk = Experiment.objects.get(key="op-3").pk
    assert "checked" in page.partition(f'value="{pk}"')[2].partition(">")[0]


def test_the_search_finds_nothing_of_others(facility: Facility, signed_in: As) -> None:
    for query in ({"search": "hc-2"}, {"experiments": [facility.other.pk]}):
        assert "HC-2" not in signed_in(facility.ada).get("/new/experiments/", query).content.decode()


@pytest.mark.django_db(transaction=True)
def test_open_data_is_found_by_typing_its_doi_among_hundreds(facility: Facility, browse: Browse) -> None:
    crowd(facility, 300)
    page = browse(facility.ada)
    page.goto(f"/new/?experiment={facility.running.pk}")
    page.get_by_label("Search experiments").press_sequentially("doi:10.9/op.123")
    page.locator("#experiments li", has_text="doi:10.9/OP.123").get_by_role("checkbox").check()
    expect(page.locator("#chosen li")).to_have_count(2)
    page.get_by_label("Search experiments").fill("")
    expect(page.locator("#experiments input:checked")).to_have_count(2)
    expect(page.locator("#grants")).to_contain_text("OP-123")

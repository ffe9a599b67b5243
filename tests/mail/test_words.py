"""Every kind can be written, with all of its facts and with none."""

from typing import Any

import pytest

from instances.mail import compose
from instances.models import Instance, Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import row_of
from tests.facility import Facility, instance

FACTS: dict[Kind, dict[str, Any]] = {
    Kind.CREATED: {"until": "2026-12-04T14:00:00+01:00"},
    Kind.STOPPED: {"by": "Ivy Operator", "reason": "the beamline needs the GPU"},
    Kind.DELETED: {"reason": "It was stopped for 30 days"},
    Kind.FAILED: {"reason": "Its cloud does not have it any more."},
    Kind.EXPIRY_WARNING: {"at": "2026-11-27T14:00:00Z"},
    Kind.IDLE_WARNING: {"at": "2026-11-27T14:00:00Z", "since": "2026-11-24T09:30:00Z"},
    Kind.DELETION_WARNING: {"at": "2026-11-27T14:00:00Z", "reason": "It has been stopped for 30 days."},
    Kind.EXTENSION_ASKED: {"by": "Ada Lind", "until": "2026-12-24T14:00:00Z", "reason": "A long fit & <more>"},
    Kind.EXTENSION_DECIDED: {"granted": True, "until": "2026-12-24T14:00:00Z", "by": "Ivy Operator"},
    Kind.SHARED: {"by": "Bob Maes", "role": "viewer"},
    Kind.ACCESS_ASKED: {"by": "Bob Maes", "capacity": "local contact", "reason": "The beam is <gone>"},
    Kind.ACCESS_GIVEN: {
        "by": "Bob Maes",
        "capacity": "local contact",
        "reason": "The beam is gone",
        "until": "2026-12-24T14:00:00Z",
    },
    Kind.OFFERED: {"by": "Bob Maes"},
    Kind.ALERT: {"title": "A cloud is silent", "text": "It has not answered for 10 minutes.\nNothing was deleted."},
    Kind.DIGEST: {},
}


def mail_of(kind: Kind, row: Instance, facts: dict[str, Any], **fields: Any) -> Mail:
    return row_of(row.owner, kind, key=f"{kind}", fate=Fate.COLLECTED, instance=row, facts=facts, **fields)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("with_facts", [True, False])
def test_every_kind_reads_well_with_its_facts_and_without(kind: Kind, with_facts: bool, facility: Facility) -> None:
    row = instance(facility, facility.ada, name="O'Neill & <sons>")
    facts = FACTS[kind] if with_facts else {}
    made = compose.message(mail_of(kind, row, facts), "ada@example.org")
    html = str(made.alternatives[0][0])
    for words in (made.subject, made.body, html):
        assert words.strip() and not any(leftover in words for leftover in ("None", "{{", "{%", "()", " . ", ".."))
    assert "&amp;" not in made.subject + made.body and "<b>" not in made.body
    assert "<sons>" not in html and "<more>" not in html
    if kind not in (Kind.ALERT, Kind.DIGEST):
        assert "“O'Neill & <sons>”" in made.subject and "“O'Neill & <sons>”" in made.body
    if with_facts and (moment := facts.get("until") or facts.get("at")):
        assert "UTC" in made.body and moment not in made.body
    assert made.body.count("\n\n\n") == 0


def test_moments_are_in_utc_whatever_zone_they_came_in(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    body = compose.message(mail_of(Kind.CREATED, row, FACTS[Kind.CREATED]), "a@example.org").body
    assert "Friday 4 December 2026 at 13:00 UTC" in body


def test_a_mail_leads_to_a_page_of_this_portal_only(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    own = f"/instances/{row.pk}/"
    for path, address in [("/experiments/", "/experiments/"), ("//evil.org", own), ("https://evil.org", own)]:
        context = compose.context_of(mail_of(Kind.SHARED, row, {"path": path}))
        assert context["url"] == f"http://localhost:8000{address}"
    asked = compose.context_of(mail_of(Kind.EXTENSION_ASKED, row, {}))
    assert asked["url"].endswith("/administration/requests/")


def test_facts_cannot_take_the_place_of_the_portal_s_own_words(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    context = compose.context_of(mail_of(Kind.ALERT, row, {"url": "https://evil.org", "person": "Eve"}))
    assert context["url"].startswith("http://localhost:8000") and context["person"] == facility.ada

"""The row rule and the queryset rule give the same answer, for every persona, action and state."""

import pytest

from instances.errors import Denied, NotFound
from instances.policy import Action, may
from instances.services.visibility import facts, find, visible_to
from instances.states import State
from tests import facility as facilities

PERSONAS = ["ada", "bob", "eve", "ivy", "aud", "sci"]


@pytest.mark.parametrize("persona", PERSONAS)
def test_visible_to_is_the_twin_of_may_see(facility: facilities.Facility, persona: str) -> None:
    for owner in (facility.ada, facility.bob, facility.aud):
        for state in State:
            facilities.instance(facility, owner, state)
    actor = getattr(facility, persona).as_actor()
    rows = list(facilities.Instance.objects.all())
    seen = set(visible_to(actor))
    assert seen == {row for row in rows if may(actor, Action.SEE, facts(row))}


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("action", Action)
def test_find_allows_what_may_allows_and_hides_what_may_not_be_seen(
    facility: facilities.Facility, persona: str, action: Action
) -> None:
    actor = getattr(facility, persona).as_actor()
    for state in State:
        row = facilities.instance(facility, facility.ada, state)
        allowed, visible = may(actor, action, facts(row)), may(actor, Action.SEE, facts(row))
        try:
            find(row.pk, actor=actor, action=action)
            answer = "found"
        except NotFound:
            answer = "hidden"
        except Denied as error:
            answer = "denied"
            assert str(error)
        assert answer == ("found" if allowed else "denied" if visible else "hidden")


@pytest.mark.parametrize(
    ("persona", "allowed"),
    [
        ("ada", set(Action) - {Action.ADMINISTER, Action.AUDIT}),
        ("bob", set()),
        ("eve", set()),
        ("ivy", {Action.SEE, Action.STOP, Action.DELETE, Action.ADMINISTER, Action.AUDIT}),
        ("aud", {Action.SEE, Action.AUDIT}),
        ("sci", set()),
    ],
)
def test_the_permission_matrix(facility: facilities.Facility, persona: str, allowed: set[Action]) -> None:
    row = facilities.instance(facility, facility.ada)
    actor = getattr(facility, persona).as_actor()
    given = {action for action in Action if may(actor, action, facts(row))}
    assert given - {Action.LAUNCH} == allowed - {Action.LAUNCH}

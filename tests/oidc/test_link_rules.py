"""Which identities may be linked to which account, whoever comes first."""

from typing import Any

import pytest

from auth.models import AuditEvent, User
from auth.oidc import link as linking
from auth.oidc.claims import Identity
from auth.oidc.errors import HasIdentities, LinkBlocked, LinkedElsewhere, LinkRefused, SameIdentity
from tests import facility as facilities

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_two_linkings_at_once_leave_one_account_and_one_identity(name: str) -> None:
    """Whichever comes second meets the rows as the first left them."""
    facility = facilities.build()
    ada, bob = facility.ada, facility.bob
    first, second = (ada, bob) if name == "ada" else (bob, ada)
    linking.link(acting_user=first, identity=Identity(iss=second.iss, sub=second.sub))
    stale = User.objects.get(pk=second.pk)
    with pytest.raises(LinkRefused):
        linking.link(acting_user=stale, identity=Identity(iss=first.iss, sub=first.sub))
    assert User.objects.filter(linked_to=first).get() == second
    first.refresh_from_db()
    assert first.linked_to is None


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        (lambda ada, bob, eve: ada, SameIdentity),
        (lambda ada, bob, eve: bob, None),
        (lambda ada, bob, eve: setattr(bob, "linked_to", ada) or bob, SameIdentity),
        (lambda ada, bob, eve: setattr(bob, "linked_to", eve) or bob, LinkedElsewhere),
        (lambda ada, bob, eve: setattr(bob, "is_active", False) or bob, LinkBlocked),
        (lambda ada, bob, eve: setattr(ada, "is_active", False) or bob, LinkBlocked),
        (lambda ada, bob, eve: setattr(eve, "linked_to", bob) or bob, HasIdentities),
    ],
)
def test_what_may_be_linked(prepare: Any, error: type[LinkRefused] | None) -> None:
    facility = facilities.build()
    rows = (facility.ada, facility.bob, facility.eve)
    other = prepare(*rows)
    for one in rows:
        one.save()
    identity = Identity(iss=other.iss, sub=other.sub)
    if error is None:
        linking.link(acting_user=facility.ada, identity=identity)
        return
    with pytest.raises(error):
        linking.link(acting_user=facility.ada, identity=identity)
    assert not AuditEvent.objects.exists()

"""From an identity to the row of a person. `(iss, sub)` decides, never a name or an e-mail address."""

from django.db import IntegrityError, transaction

from auth import usernames
from auth.models import User

from .claims import Identity


def account_for(identity: Identity) -> tuple[User, bool]:
    """Their row, up to date, and whether it is new. Call it in a transaction."""
    known = User.objects.select_related("linked_to").filter(iss=identity.iss, sub=identity.sub).first()
    user, new = (known, False) if known else _create(identity)
    if not new:
        _refresh(user, identity)
    return user, new


def _create(identity: Identity) -> tuple[User, bool]:
    suggested = usernames.suggestion(
        preferred=identity.preferred_username,
        given=identity.given_name,
        family=identity.family_name,
        name=identity.name,
    )
    for _ in range(20):
        username = usernames.free(suggested)
        user = User(iss=identity.iss, sub=identity.sub, username=username, name=identity.name or username)
        user.email, user.affiliation = identity.email, identity.affiliation
        user.set_unusable_password()
        try:
            with transaction.atomic():
                user.save(force_insert=True)
            return user, True
        except IntegrityError:  # the same person, or the same name, a moment earlier
            if known := User.objects.filter(iss=identity.iss, sub=identity.sub).first():
                return known, False
    raise RuntimeError(f"no free username like {suggested}")


def _refresh(user: User, identity: Identity) -> None:
    """What the provider says now, where it says anything."""
    fields = {"name": identity.name, "email": identity.email, "affiliation": identity.affiliation}
    changed = [field for field, value in fields.items() if value and getattr(user, field) != value]
    for field in changed:
        setattr(user, field, fields[field])
    if changed:
        user.save(update_fields=changed)

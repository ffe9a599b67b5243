"""From an identity to the row of a person. `(iss, sub)` decides, never a name or an e-mail address."""

from django.conf import settings
from django.db import IntegrityError, transaction

from auth import audit, unix, usernames
from auth.models import AuditEvent, User

from .claims import Identity

UID_REFUSED = "identity.uid_refused"


def account_for(identity: Identity) -> tuple[User, bool]:
    """Their row, up to date, and whether it is new. Call it in a transaction."""
    known = User.objects.select_related("linked_to").filter(iss=identity.iss, sub=identity.sub).first()
    user, new = (known, False) if known else _create(identity)
    if identity.uid:
        _take_uid(user, identity.uid, first=new or user.proven_at is None)
    if not new:
        _refresh(user, identity)
    return user, new


def _create(identity: Identity) -> tuple[User, bool]:
    suggested = usernames.suggestion(
        preferred=identity.login_name or identity.preferred_username,
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


def _take_uid(user: User, said: str, *, first: bool) -> None:
    """The uid that the provider asserts, once: at the first login. Files already belong to the one after that."""
    if said == str(user.uid):
        return
    if refusal := _why_not(user, said, first=first):
        return _refuse_uid(user, said, refusal)
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(uid=int(said))
    except IntegrityError:  # somebody else a moment earlier
        return _refuse_uid(user, said, "it is somebody else's")
    user.uid = int(said)


def _why_not(user: User, said: str, *, first: bool) -> str:
    if not (said.isascii() and said.isdecimal() and len(said) <= 10):
        return "it is no number"
    if not unix.is_asserted(int(said), settings.LOCAL_UIDS):
        return "it lies in a range that is not for people of the facility"
    if User.objects.filter(uid=int(said)).exclude(pk=user.pk).exists():
        return "it is somebody else's"
    if user.uid not in settings.LOCAL_UIDS:
        return "the account has another one from the facility"
    return "" if first else "the account has been used with another one"


def _refuse_uid(user: User, said: str, because: str) -> None:
    """Left once for each uid that is said, not at every login."""
    detail = {"said": said, "kept": user.uid}
    if not AuditEvent.objects.filter(action=UID_REFUSED, target=f"user:{user.pk}", detail=detail).exists():
        audit.record(UID_REFUSED, f"user:{user.pk}", actor=None, because=because, detail=detail)


def _refresh(user: User, identity: Identity) -> None:
    """What the provider says now, where it says anything."""
    fields = {"name": identity.name, "email": identity.email, "affiliation": identity.affiliation}
    changed = [field for field, value in fields.items() if value and getattr(user, field) != value]
    for field in changed:
        setattr(user, field, fields[field])
    if changed:
        user.save(update_fields=changed)

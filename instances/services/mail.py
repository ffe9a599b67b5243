"""Telling people by mail: a row and its job commit with what the mail tells, or neither does.

Facts are JSON values (a moment may be given as datetime). Those that each kind's templates know:
created            until: when its lifetime ends, None for no end
stopped, deleted   reason: a sentence · by: somebody's name, empty for the portal
failed             reason
expiry_warning     at: when it is stopped
idle_warning       at: when it is stopped unless somebody works in it · since: when somebody last did
deletion_warning   at: when it is deleted · reason
extension_asked    by · until: the end that is asked for · reason                       (to administrators)
extension_decided  granted: bool · until: the end that holds now · reason · by
shared             by · role: "collaborator" or "viewer"
access_asked       by · capacity: "local contact" · reason                              (to the owner, while away)
access_given       by · capacity · reason · until                                       (to the owner, while away)
offered            by                                                                   (to the one it is offered to)
alert              title: in a few words · text: sentences, a paragraph for each line   (to administrators)
A fact that is not given is not mentioned. `path` may name the page to lead to, in place of the instance's.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from auth import audit
from auth.access import Role
from auth.models import RoleGrant, User
from instances.errors import Conflict, Denied
from instances.models import Instance
from instances.models.mail import Fate, Kind, Mail
from instances.policy import may_administer

from .mail_preferences import Timing, timing_of

TASK = "instances.mail"
PATIENCE = timedelta(days=4)
"""A server that cannot take a mail now is asked again for that long, as mail servers do among themselves."""
LOST_AFTER = timedelta(minutes=2)
"""A mail that no worker took for that long is given a new job."""
NO_SERVER = "No mail server is configured."

__all__ = ["Kind", "notify", "notify_administrators"]


def notify(to: User, kind: Kind, *, key: str, instance: Instance | None = None, **facts: Any) -> None:
    """One mail to that person, once for each `key`, ever; within the caller's transaction: what is rolled back is not
    told. What they chose decides whether it goes at once, with the next digest, or not at all.
    """
    identities = identities_of(to)
    fate, why = _fate(kind, identities, facts)
    mail = row_of(identities[0], kind, key=key, fate=fate, trouble=why, instance=instance, facts=facts)
    with transaction.atomic():
        Mail.objects.bulk_create([mail], ignore_conflicts=True)
        if fate is Fate.WAITING and Mail.objects.filter(pk=mail.pk).exists():
            hand_over(mail.pk)


def notify_administrators(kind: Kind, *, key: str, instance: Instance | None = None, **facts: Any) -> None:
    """The same to everybody who is administrator now."""
    held = RoleGrant.objects.in_force(timezone.now()).filter(role=Role.ADMINISTRATOR).select_related("user__linked_to")
    for person in {grant.user.person.pk: grant.user.person for grant in held.order_by("pk")}.values():
        notify(person, kind, key=key, instance=instance, **facts)


def send_again(mail_id: UUID, *, acting_user: User) -> None:
    """One that failed is tried anew, for as long as at first. Conflict for any other."""
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    if not settings.SENDS_MAIL:
        raise Conflict(NO_SERVER)
    now = timezone.now()
    anew = {"trouble": "", "attempts": 0, "due": now + LOST_AFTER, "patience_until": now + PATIENCE}
    with transaction.atomic():
        if not Mail.objects.filter(pk=mail_id, fate=Fate.FAILED, digest=None).update(**anew, fate=Fate.WAITING):
            raise Conflict("Only a mail that failed can be sent again; one in a digest is sent with it.")
        Mail.objects.filter(digest=mail_id).update(fate=Fate.COLLECTED, trouble="")
        hand_over(mail_id)
        audit.record("mail.resend", f"mail:{mail_id}", actor=actor)


def row_of(person: User, kind: Kind, **fields: Any) -> Mail:
    """Not saved yet."""
    now = timezone.now()
    return Mail(to=person, kind=kind, created=now, due=now + LOST_AFTER, patience_until=now + PATIENCE, **fields)


def hand_over(mail_id: UUID) -> None:
    """On commit, some worker sends it; one waiting job for each is enough."""
    job = app.configure_task(TASK, queue="mail", queueing_lock=f"mail:{mail_id}", allow_unknown=True)
    try:
        with transaction.atomic():
            job.defer(mail_id=str(mail_id))
    except AlreadyEnqueued:
        pass


def identities_of(user: User) -> list[User]:
    """As the rows are now: the account, then what is linked to it."""
    account = user.linked_to_id or user.pk
    found = User.objects.filter(Q(pk=account) | Q(linked_to=account)).order_by("pk")
    return sorted(found, key=lambda row: row.pk != account)


def address_of(identities: list[User]) -> str:
    """The account's own address, else one of an identity that is linked to it."""
    return next((row.email for row in identities if row.email), "")


def _fate(kind: Kind, identities: list[User], facts: dict[str, Any]) -> tuple[Fate, str]:
    """What becomes of it, and why if that is nothing."""
    timing = timing_of(kind, identities[0], facts, timezone.now())
    if not all(row.is_active for row in identities):
        return Fate.SKIPPED, "Their account is blocked."
    if timing is Timing.NEVER:
        return Fate.SKIPPED, "They want no mail about this."
    if not address_of(identities):
        return Fate.SKIPPED, "No e-mail address of theirs is known."
    if not settings.SENDS_MAIL:
        return Fate.SKIPPED, NO_SERVER
    return (Fate.COLLECTED if timing is Timing.DAILY else Fate.WAITING), ""

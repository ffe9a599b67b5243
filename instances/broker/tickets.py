"""From a ticket to a seat, and whether a seat may still be held. Synchronous; see `database`."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import connection as database
from django.db import transaction
from django.db.models.functions import Now

from auth import audit, bus
from auth.digests import digest_of
from auth.models import User
from instances.errors import Denied, NotFound, TicketRefused
from instances.models import Cloud, Connection, Instance, Ticket
from instances.models.connection import App, Mode
from instances.models.instance import Alone
from instances.policy import Action
from instances.services import clipboard, presence
from instances.services.clipboard import Clipboard
from instances.services.visibility import find

from .endings import GONE, LEFT, REVOKED, Ending


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where somebody comes from, for the record."""

    address: str | None
    agent: str


@dataclass(frozen=True, slots=True)
class Admission:
    """A seat that was given. `cloud` is where its instance runs."""

    connection: UUID
    instance: UUID
    key: str
    user: int
    app: str
    mode: str
    session: str
    cloud: Cloud
    clipboard: Clipboard
    monitor: int | None = None


def redeem(
    ticket: str, *, app: str, broker: str, visitor: Visitor, key: str | None = None, digest: str = ""
) -> Admission:
    """The seat that `ticket` gives, now and never again. Every refusal is the same TicketRefused.

    A ticket that is shown at the wrong door (another app, another instance than `key`) is used up all the same.
    `digest`: of the cookie that will stand for this seat.
    """
    with transaction.atomic():
        admission = _redeem(ticket, app, broker, visitor, key, digest)
    if admission is None:
        raise TicketRefused("This ticket is not valid. Open the instance from the portal.")
    return admission


def _redeem(ticket: str, app: str, broker: str, visitor: Visitor, key: str | None, digest: str) -> Admission | None:
    unused = Ticket.objects.filter(digest=digest_of(ticket), redeemed=None, expires__gt=Now())
    if not unused.update(redeemed=Now()):
        return None
    row = Ticket.objects.select_related("user").get(digest=digest_of(ticket))
    if row.app != app or (key is not None and row.instance_id.hex != key):
        return None
    if not _signed_in(row.session):
        return None
    allowed, mode = _allowed(row.user, row.instance_id, row.mode, app)
    if isinstance(allowed, Ending):
        return None
    seat = Connection.objects.create(
        user=row.user,
        instance=allowed,
        app=row.app,
        mode=mode,
        monitor=row.monitor,
        session=row.session,
        digest=digest,
        broker=broker,
        address=visitor.address,
        agent=visitor.agent[:300],
    )
    bus.announce("people", instance=str(allowed.pk))
    if allowed.alone != Alone.ALLOWED and allowed.owner_id in row.user.as_actor().accounts:
        presence.apply(allowed)
    audit.record(
        "connection.open",
        f"instance:{allowed.pk}",
        actor=row.user.as_actor(),
        detail={"connection": str(seat.pk), "app": app, "mode": mode, "address": visitor.address},
    )
    return admission_of(seat, allowed)


def admission_of(seat: Connection, instance: Instance) -> Admission:
    assert instance.cloud, "what is open runs somewhere"
    return Admission(
        connection=seat.pk,
        instance=instance.pk,
        key=instance.key,
        user=seat.user_id,
        app=seat.app,
        mode=seat.mode,
        session=seat.session,
        cloud=instance.cloud,
        clipboard=clipboard.allowed_in(instance),
        monitor=seat.monitor,
    )


def by_cookie(digest: str, *, key: str) -> Admission | None:
    """The open seat that a cookie stands for, if it is in this instance and may still be held."""
    seat = Connection.objects.filter(digest=digest, instance_id=UUID(key), closed=None).select_related("user").first()
    if seat is None or not digest:
        return None
    allowed, _ = _allowed(seat.user, seat.instance_id, seat.mode, seat.app)
    if isinstance(allowed, Ending) or not _known(seat.session):
        return None
    return admission_of(seat, allowed)


def standing(admission: Admission) -> Ending | Mode:
    """In which mode this seat may be held, from the database, or why it may not be any longer."""
    seat = Connection.objects.select_related("user").filter(pk=admission.connection).first()
    if seat is None or seat.closed:
        return Ending(REVOKED, seat.reason if seat else "Your account is closed.")
    allowed, mode = _allowed(seat.user, seat.instance_id, seat.mode, seat.app)
    if isinstance(allowed, Ending):
        return allowed
    return mode if _known(seat.session) else Ending(REVOKED, "You have signed out.")


def close(seat: UUID, ending: Ending, *, bytes_in: int = 0, bytes_out: int = 0) -> bool:
    """Write down the end of a seat, once; False when it had ended before. The bytes are added to what is known."""
    with transaction.atomic():
        row = Connection.objects.select_for_update().filter(pk=seat, closed=None).select_related(None).first()
        if row is None:
            return False
        row.bytes_in += bytes_in
        row.bytes_out += bytes_out
        row.reason = ending.reason[:100]
        Connection.objects.filter(pk=seat).update(
            closed=Now(), reason=row.reason, bytes_in=row.bytes_in, bytes_out=row.bytes_out
        )
        if row.monitor is not None:
            bus.announce("monitors", instance=str(row.instance_id))
        bus.announce("people", instance=str(row.instance_id))
        user = row.user
        audit.record(
            "connection.close",
            f"instance:{row.instance_id}",
            actor=user.as_actor() if ending == LEFT else None,
            because=row.reason,
            detail={"connection": str(seat), "user": user.pk, "in": row.bytes_in, "out": row.bytes_out},
        )
    return True


def _allowed(user: User, instance: UUID, mode: str, app: str) -> tuple[Instance | Ending, Mode]:
    """The instance if it may be opened or held open in `mode`, and what is left of that; or why not."""
    wish = Mode(mode)
    if not user.is_active:
        return Ending(REVOKED, "Your account is closed."), wish
    actor = user.as_actor()
    action = Action.CONTROL if mode == Mode.CONTROL else Action.WATCH
    try:
        found = find(instance, actor=actor, action=action)
    except (Denied, NotFound) as refusal:
        return Ending(REVOKED, str(refusal)), wish
    left = presence.bounded(found, actor, wish)
    if left is None:
        return Ending(REVOKED, presence.NOBODY), wish
    if left != wish and app != App.DESKTOP:
        return Ending(REVOKED, presence.WATCHING_ONLY), wish
    return (found if found.is_open else GONE), left


def _signed_in(session: str) -> bool:
    """Whether the login of `session` holds. Tickets that came from an API token have none."""
    return not session or _exists(session, "AND expire_date > now()")


def _known(session: str) -> bool:
    """Whether nobody has signed out of `session`. Its age does not end work that is under way."""
    return not session or _exists(session, "")


def _exists(session: str, also: str) -> bool:
    table = database.ops.quote_name(Session._meta.db_table)
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM {table}"  # noqa: S608
            f" WHERE encode(sha256(convert_to(session_key, 'UTF8')), 'hex') = %s {also})",
            [session],
        )
        return bool(cursor.fetchone()[0])

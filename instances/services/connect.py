"""The right to open one connection."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.digests import digest_of
from auth.models import User
from instances.errors import Conflict, Invalid
from instances.models import Ticket
from instances.models.connection import App, Mode
from instances.policy import Action
from instances.states import State

from . import presence
from .visibility import find

LIFETIME = timedelta(seconds=30)
MONITORS = 4
"""Screens that may have windows of their own."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where to go and what to show there, once. The ticket travels in a sub-protocol or a POST body, never in a URL."""

    url: str
    ticket: str = field(repr=False)
    protocol: str


def connect(
    instance_id: UUID | str,
    *,
    acting_user: User,
    app: str,
    mode: str = Mode.CONTROL,
    monitor: int | None = None,
    session: str = "",
) -> Seat:
    """A ticket for `app` of a ready instance, bound to the user, the instance, the mode and the login `session`.

    While the owner is not there, their rule may leave others less than `mode`: then it is a ticket to watch, or none.
    """
    if mode not in Mode.values:
        raise Invalid({"mode": "The mode is control or watch."})
    if monitor is not None and not (app == App.DESKTOP and 1 <= monitor <= MONITORS):
        raise Invalid({"monitor": f"A window shows one of the screens 1 to {MONITORS} of a desktop."})
    actor = acting_user.as_actor()
    action = Action.CONTROL if mode == Mode.CONTROL else Action.WATCH
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=action)
        if app not in instance.environment.apps or app not in App.values:
            raise Invalid({"app": f"{instance.environment.name} has no app called {app}."})
        if mode == Mode.WATCH and app != App.DESKTOP:
            raise Invalid({"mode": "Only a desktop can be watched."})
        if not instance.is_open:
            raise Conflict(f"It is {State(instance.state).value}: nothing can be opened in it now.")
        left = presence.bounded(instance, actor, mode)
        if left is None:
            raise Conflict(presence.NOBODY)
        if left != mode and app != App.DESKTOP:
            raise Conflict(presence.WATCHING_ONLY)
        secret = secrets.token_urlsafe(32)
        Ticket.objects.create(
            digest=digest_of(secret),
            user=acting_user,
            instance=instance,
            app=app,
            mode=left,
            monitor=monitor,
            session=session,
            expires=timezone.now() + LIFETIME,
        )
        audit.record("connection.ticket", f"instance:{instance.pk}", actor=actor, detail={"app": app, "mode": left})
    broker = urlsplit(settings.BROKER_URL)
    if app == App.DESKTOP:
        scheme = "wss" if broker.scheme == "https" else "ws"
        return Seat(f"{scheme}://{broker.netloc}/desktop", secret, "visa-desktop")
    return Seat(f"{broker.scheme}://{instance.key}.{settings.APPS_HOST}/_enter", secret, "post")

"""The administration's first page: how many of what, how the clouds do, and what ends soon."""

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from auth.models import CatalogueRun, RoleGrant, User
from instances.models import Connection, Instance, Mail
from instances.models.mail import Fate
from instances.services import drift
from instances.states import State

from .clouds import conditions
from .common import shown, staff

SOON = timedelta(days=14)
LISTED = 8
OPEN_MAILS = (Fate.WAITING, Fate.FAILED)


@staff
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    counted = dict(Instance.objects.exclude(state=State.DELETED).values_list("state").annotate(Count("pk")).order_by())
    ending = RoleGrant.objects.in_force(now).filter(until__lte=now + SOON, ended=None).order_by("until")
    people = User.objects.filter(linked_to=None)
    mails = dict(Mail.objects.filter(fate__in=OPEN_MAILS).values_list("fate").annotate(Count("pk")).order_by())
    return shown(
        request,
        "overview.html",
        "overview",
        people=people.count(),
        blocked=people.filter(is_active=False).count(),
        sessions=Session.objects.filter(expire_date__gt=now, login__isnull=False).count(),
        connections=Connection.objects.filter(closed=None).count(),
        instances=[(state, counted[state]) for state in State if state in counted],
        clouds=conditions(now),
        drift=drift.counts(),
        ending=ending.select_related("user", "instrument", "experiment__proposal")[:LISTED],
        ending_count=ending.count(),
        sends_mail=settings.SENDS_MAIL,
        mails=[(fate, mails[fate]) for fate in OPEN_MAILS if fate in mails],
        runs=CatalogueRun.objects.order_by("name", "-began").distinct("name"),
    )

"""What is written down of windows and their sizes, for brokers that carry windows of the same desktop. Synchronous."""

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from auth import bus
from instances.models import Connection
from instances.models.connection import App, Mode

from .monitors import Layout, Window, layout
from .rfb import SizeRequest


def wish(seat: UUID, size: SizeRequest) -> bool:
    """Somebody in control wants another size. True: it may be asked of the desktop as it is.

    A window of one screen writes its size down, and all windows of its person are told; a wide one has to wait for as
    long as anybody's windows show a screen each.
    """
    with transaction.atomic():
        row = (
            Connection.objects.select_for_update(no_key=True).filter(pk=seat, closed=None).select_related(None).first()
        )
        if row is None or row.mode != Mode.CONTROL:
            return False
        if row.monitor is None:
            return not _windows(instance=row.instance_id).exists()
        Connection.objects.filter(pk=seat).update(width=size.width, height=size.height)
        bus.announce("monitors", instance=str(row.instance_id))
    return False


def layout_of(seat: UUID) -> Layout:
    """The screens that the windows of the person in `seat` make together."""
    row = Connection.objects.filter(pk=seat, closed=None).values("instance", "user").first()
    if row is None:
        return Layout({})
    rows = _windows(instance=row["instance"], user=row["user"]).exclude(width=0).order_by("opened", "pk")
    columns = rows.values_list("pk", "monitor", "width", "height")
    return layout(Window(pk, monitor or 1, width, height) for pk, monitor, width, height in columns)


def _windows(**which: object) -> QuerySet[Connection]:
    shown = Connection.objects.filter(app=App.DESKTOP, mode=Mode.CONTROL, closed=None, monitor__isnull=False)
    return shown.filter(**which)

"""What the portal has already from a catalogue, for one that has to be asked about it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from auth.models import Experiment


@dataclass(frozen=True, slots=True)
class KnownRows:
    source: str
    """The catalogue's name."""

    def experiments(self, proposals: Collection[str]) -> list[str]:
        return list(self._own().filter(proposal__code__in=proposals).order_by("pk").values_list("key", flat=True))

    def between(self, start: datetime, end: datetime) -> set[str]:
        return set(self._own().filter(start__lt=end, end__gt=start).values_list("proposal__code", flat=True))

    def _own(self) -> QuerySet[Experiment]:
        return Experiment.objects.filter(source=f"catalogue:{self.source}")

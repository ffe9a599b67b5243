"""Pages of a long reading, kept until it is over, so that one that was interrupted goes on where it stopped.

A page counts only for the same reading: of the same catalogue, under the same configuration, begun not long ago, and
while the service still names the same total. Anything else begins anew.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from auth.models import CataloguePage

from .wire import Row

Fetch = Callable[[int], tuple[list[Row], int]]
SOON = timedelta(hours=1)
"""After its first page; older ones tell too little of what is so now."""


def forget_old_pages() -> None:
    """Of readings that nobody went on with: they hold people's names."""
    CataloguePage.objects.filter(taken__lt=timezone.now() - SOON).delete()


@dataclass
class Spool:
    name: str

    def resumed(self, fetch: Fetch, reading: str) -> Fetch:
        """`fetch` that answers from the pages of an interrupted `reading`, as far as they are still true."""
        held = self._held(reading)
        if held:
            # The last one is asked for again: its total says whether the others may still be believed.
            last = held[-1]
            page, total = fetch(last.skip)
            if total == last.total:
                last.delete()
                self._keep(reading, last.skip, page, total)
            else:
                self.forget()
        ready = {held_page.skip: held_page for held_page in self._held(reading)}

        def answer(skip: int) -> tuple[list[Row], int]:
            if kept := ready.pop(skip, None):
                return json.loads(zlib.decompress(kept.rows)), kept.total
            page, total = fetch(skip)
            if page:
                self._keep(reading, skip, page, total)
            return page, total

        return answer

    def began(self) -> datetime:
        """When the first page that is held was taken; now, if none is."""
        first = CataloguePage.objects.filter(name=self.name).order_by("taken").values_list("taken", flat=True).first()
        return first or timezone.now()

    def forget(self) -> None:
        """The reading is over, or of no use."""
        CataloguePage.objects.filter(name=self.name).delete()

    def _held(self, reading: str) -> list[CataloguePage]:
        mine = CataloguePage.objects.filter(name=self.name)
        if mine.exclude(reading=reading).exists() or mine.filter(taken__lt=timezone.now() - SOON).exists():
            self.forget()
        return list(mine.order_by("skip"))

    def _keep(self, reading: str, skip: int, page: list[Row], total: int) -> None:
        rows = zlib.compress(json.dumps(page).encode(), level=1)
        CataloguePage.objects.create(name=self.name, reading=reading, skip=skip, total=total, rows=rows)

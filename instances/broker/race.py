"""Running things side by side until the first of them is over."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first(*jobs: Coroutine[Any, Any, T], until: asyncio.Future[Any] | None = None) -> T | None:
    """What the first finished of `jobs` returns or raises, the earlier one when several are; None after `until`.

    The others have been cancelled and are over when this returns.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.wait([*tasks, until] if until else tasks, return_when=asyncio.FIRST_COMPLETED)
        if until and until.done():
            return None
        return next(task.result() for task in tasks if task.done())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Cut:
    """A block of one task that is left at once when somebody calls `now`; what follows the block goes on."""

    def __init__(self) -> None:
        self.made = False
        self._over = False

    def now(self, *_: object) -> None:
        if not self.made and not self._over:
            self.made = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task
        self._task = task
        self._before = task.cancelling()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._over = True
        return self.made and self._task.uncancel() <= self._before and kind is asyncio.CancelledError

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

"""Asking a catalogue's service over HTTP: patient with its lapses, sure of its answers, silent about its addresses.

An address may hold a session id, so none is ever logged or part of an error: `what` says what was asked for instead.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from .base import CatalogueUnavailable

# Both write whole addresses at INFO and DEBUG.
for name in ("httpx2", "httpcore2"):
    logging.getLogger(name).setLevel(logging.WARNING)

Row = dict[str, Any]
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
LARGEST = 64 * 2**20
"""Bytes of one answer; a page is far smaller."""


class Refused(CatalogueUnavailable):
    """401 or 403: signed out, or not allowed."""


class Moved(CatalogueUnavailable):
    """It changed while it was read: what was read is of no use."""


class _Passing(Exception):
    """Worth another try, after `pause` seconds if the service named a time."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Account:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. `whole` bounds one answer, however slowly it drips; the pause doubles from try to try."""

    connect: float = 5.0
    silence: float = 60.0
    whole: float = 180.0
    tries: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0


class Wire:
    def __init__(self, base: str, patience: Patience) -> None:
        self._patience = patience
        timeout = httpx2.Timeout(patience.silence, connect=patience.connect)
        self._http = httpx2.Client(base_url=base.rstrip("/") + "/", timeout=timeout, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        what: str,
        params: dict[str, str] | None = None,
        body: Any = None,
        bearer: str = "",
    ) -> Any:
        """The JSON that `path` (relative to the base) answers with; Refused or CatalogueUnavailable."""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        request = self._http.build_request(method, path, params=params, json=body, headers=headers)
        for attempt in range(1, self._patience.tries + 1):
            try:
                return self._once(request, what)
            except _Passing as error:
                if attempt == self._patience.tries:
                    raise CatalogueUnavailable(f"{what}: {error}, {attempt} times") from None
                wait = max(error.pause, self._patience.pause * 2 ** (attempt - 1) * random.uniform(0.8, 1.2))  # noqa: S311
                time.sleep(min(wait, self._patience.longest_pause))
        raise AssertionError("at least one try")

    def tell(self, method: str, path: str) -> None:
        """Once, and whatever comes of it."""
        try:
            self._http.request(method, path, timeout=self._patience.connect)
        except httpx2.HTTPError:
            return

    def _once(self, request: httpx2.Request, what: str) -> Any:
        deadline, body = time.monotonic() + self._patience.whole, bytearray()
        try:
            answer = self._http.send(request, stream=True)
            try:
                self._judge(answer, what)
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > LARGEST:
                        raise CatalogueUnavailable(f"{what}: the answer does not end")
                    if time.monotonic() > deadline:
                        raise _Passing("the answer takes too long")
            finally:
                answer.close()
        except httpx2.HTTPError as error:
            raise _Passing(type(error).__name__) from None  # its text may repeat the address
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _Passing("the answer is no JSON") from None

    def _judge(self, answer: httpx2.Response, what: str) -> None:
        status = answer.status_code
        if status in PASSING:
            after = answer.headers.get("Retry-After", "")
            raise _Passing(f"HTTP {status}", float(after) if after.isascii() and after.isdigit() else 0.0)
        if status in (401, 403):
            raise Refused(f"{what}: HTTP {status}")
        if not answer.is_success:
            raise CatalogueUnavailable(f"{what}: HTTP {status}")


def listed(said: Any, what: str) -> list[Row]:
    if not isinstance(said, list) or not all(isinstance(row, dict) for row in said):
        raise CatalogueUnavailable(f"{what}: the answer is no list of objects")
    return said


def rows(
    fetch: Callable[[int], tuple[list[Row], int]], identify: Callable[[Row], Hashable], what: str
) -> Iterator[Row]:
    """All rows, a page at a time: `fetch(skip)` gives some and says how many there are altogether.

    Pages follow each other in different moments. If the total moves, a row comes twice or rows run out, what was read
    is no picture of any moment: Moved. A service may give fewer rows than it was asked for.
    """
    seen: set[Hashable] = set()
    total: int | None = None
    while total is None or len(seen) < total:
        page, said = fetch(len(seen))
        if total is None:
            total = said
        if said != total:
            raise Moved(f"{what}: there were {total}, and now {said}; it changed while it was read")
        if len(seen) + len(page) > total or (total and not page):
            raise Moved(f"{what}: {len(seen) + len(page)} came, of {total}")
        for row in page:
            key = identify(row)
            if key in seen:
                raise Moved(f"{what}: {key!r} came twice")
            seen.add(key)
            yield row

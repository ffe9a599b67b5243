"""Tables to take away: CSV in UTF-8, streamed as the rows are read."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def download(request: HttpRequest, name: str, pieces: Iterable[Iterable[Sequence[Any]]]) -> StreamingHttpResponse:
    """`pieces` of rows as a file of that name."""
    lines = (_csv(rows) for rows in pieces)
    # Under ASGI an ordinary iterator would be read to its end before the first byte is sent.
    content = _awaited(lines) if isinstance(request, ASGIRequest) else lines
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)


def harmless(cell: str) -> str:
    """What people typed is never a formula to whoever opens the file in a spreadsheet."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


async def _awaited(pieces: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(pieces, None))
    while (piece := await following()) is not None:
        yield piece

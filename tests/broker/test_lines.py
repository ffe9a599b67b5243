"""HTTP connections to a web app that are kept: what comes back however it is framed, and what servers do wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from instances.broker.lines import MAX_HEAD, Interrupted, Lines
from instances.providers.base import Endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HEADERS = [(b"host", b"instance")]


class Server:
    """Answers each request with the next of `answers`; None hangs up."""

    def __init__(self, answers: list[bytes | None], *, cut: int = 1 << 20) -> None:
        self.answers = answers
        self.cut = cut
        self.asked: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                for at in range(0, len(answer), self.cut):
                    writer.write(answer[at : at + self.cut])
                    await writer.drain()
                    if self.cut < 100:
                        await asyncio.sleep(0)
                if answer.endswith(b"<end>"):
                    break
        writer.close()


Serving = Callable[[Server], contextlib.AbstractAsyncContextManager[Lines]]


@pytest.fixture
def serving(folder: Path) -> Serving:
    @contextlib.asynccontextmanager
    async def serving(server: Server) -> AsyncIterator[Lines]:
        listening = await asyncio.start_unix_server(server.serve, folder / "app")
        lines = Lines(Endpoint(path=str(folder / "app")))
        async with listening:
            yield lines
            lines.close()

    return serving


async def get(lines: Lines, method: str = "GET") -> tuple[int, bytes]:
    line = await lines.ask(method, b"/lab?x=1", HEADERS)
    try:
        body = b""
        while piece := await line.some():
            body += piece
        return line.status, body
    finally:
        lines.give_back(line)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK])
async def test_an_answer_is_the_same_however_it_comes_and_the_connection_is_kept(
    serving: Serving, answer: bytes, cut: int
) -> None:
    server = Server([answer] * 3, cut=cut)
    async with serving(server) as lines:
        for _ in range(3):
            assert await get(lines) == (200, b"hello")
    assert server.connections == 1
    assert server.asked[0] == b"GET /lab?x=1 HTTP/1.1\r\nhost: instance\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_ends_with_its_head(serving: Serving, status: int) -> None:
    server = Server([b"HTTP/1.1 %d X\r\nETag: 1\r\n\r\n" % status, OK])
    async with serving(server) as lines:
        assert await get(lines) == (status, b"")
        assert await get(lines) == (200, b"hello")


async def test_the_answer_to_head_has_a_length_and_no_body(serving: Serving) -> None:
    async with serving(Server([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"])) as lines:
        assert await get(lines, "HEAD") == (200, b"")


async def test_an_answer_without_a_length_ends_with_its_connection(serving: Serving) -> None:
    server = Server([b"HTTP/1.1 200 OK\r\n\r\nall of it<end>", OK])
    async with serving(server) as lines:
        assert await get(lines) == (200, b"all of it<end>")
        assert await get(lines) == (200, b"hello")
    assert server.connections == 2


async def test_a_kept_connection_that_the_server_closed_is_replaced(serving: Serving) -> None:
    server = Server([OK, None, OK])
    async with serving(server) as lines:
        assert await get(lines) == (200, b"hello")
        assert await get(lines) == (200, b"hello")
    assert server.connections == 2


async def test_a_new_connection_that_says_nothing_is_not_tried_again(serving: Serving) -> None:
    server = Server([None, OK])
    async with serving(server) as lines:
        with pytest.raises(Interrupted):
            await get(lines)
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf<end>",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf<end>",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes([65]) * 2 * MAX_HEAD,
    ],
    ids=["cut", "cut in a chunk", "no chunk", "not HTTP", "an upgrade", "an endless head"],
)
async def test_what_is_no_complete_answer_is_never_taken_for_one(serving: Serving, answer: bytes) -> None:
    server = Server([answer, OK])
    async with serving(server) as lines:
        with pytest.raises(Interrupted):
            await get(lines)
        assert await get(lines) == (200, b"hello")
    assert server.connections == 2


async def test_what_is_said_beyond_an_answer_is_not_the_next_one_s(serving: Serving) -> None:
    server = Server([OK + OK.replace(b"hello", b"EVIL!"), OK])
    async with serving(server) as lines:
        assert await get(lines) == (200, b"hello")
        assert await get(lines) == (200, b"hello")
    assert server.connections == 2


async def test_many_at_once_have_a_connection_each_and_all_are_kept(serving: Serving) -> None:
    server = Server([OK] * 100, cut=7)
    async with serving(server) as lines:
        assert await asyncio.gather(*(get(lines) for _ in range(50))) == [(200, b"hello")] * 50
        await asyncio.gather(*(get(lines) for _ in range(50)))
    assert server.connections == 50

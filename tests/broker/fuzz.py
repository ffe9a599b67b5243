"""`python -m tests.broker.fuzz filter|frames|censor [libFuzzer's flags]`: coverage-guided noise for the pure readers.

Each target gets bytes in pieces of sizes that the fuzzer chooses, and checks what must hold whatever comes.
"""

import sys
from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["instances.broker"]):
    from instances.broker.censor import Censor, Unreadable
    from instances.broker.frames import BadFrame, Frames
    from instances.broker.rfb import Area, Filter, Violation

WATCHER_MAY = {0, 2, 3, 150, 248}
CONTROL_MAY = WATCHER_MAY | {4, 5, 6, 255}
LONGEST = 1000


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` cut where its own first bytes say."""
    cuts, rest = data[:8], data[8:]
    for cut in cuts:
        yield rest[: cut % 23]
        rest = rest[cut % 23 :]
    yield rest


def filter_holds(data: bytes) -> None:
    """Only whole messages that the role may send come out, and they come out of another filter unchanged."""
    if not data:
        return
    watching = bool(data[0] & 1)
    judge = Filter(watching=watching, clipboard_limit=LONGEST, part=bool(data[0] & 2), censored=bool(data[0] & 4))
    if data[0] & 8:
        judge.area = Area(100, 100, 50, 50)
    out = b""
    try:
        for piece in pieces(data[1:]):
            out += judge.feed(piece)
            assert len(judge._buffer) <= 8 + max(LONGEST, 4 * 256), "more was kept than a message"
    except Violation:
        pass
    allowed = WATCHER_MAY if watching else CONTROL_MAY
    again = Filter(watching=watching, clipboard_limit=LONGEST)
    seen = b""
    for message in messages(out):
        assert message[0] in allowed, f"message {message[0]} came out"
        seen += again.feed(message)
    assert seen == out and again.at_boundary
    judge.let_go()


def messages(said: bytes) -> Iterator[bytes]:
    """Cut by an independent reading of the protocol."""
    at = 0
    while at < len(said):
        kind, body = said[at], said[at:]
        length = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 255: 12}.get(kind)
        if kind == 2:
            length = 4 + 4 * int.from_bytes(body[2:4], "big")
        elif kind == 6:
            length = 8 + abs(int.from_bytes(body[4:8], "big", signed=True))
        elif kind == 248:
            length = 9 + body[8]
        assert length is not None, f"message {kind} came out"
        assert len(body) >= length, "half a message came out"
        yield body[:length]
        at += length


def frames_hold(data: bytes) -> None:
    """Never more than a head and a control frame is kept, and never more comes out than went in."""
    frames, said = Frames(), 0
    try:
        for piece in pieces(data):
            said += len(frames.feed(piece))
            assert len(frames._rest) < 14 + 125
            if frames.closing:
                return
    except BadFrame:
        return
    assert said <= len(data)


def censor_holds(data: bytes) -> None:
    """What was cut differently comes out the same, and never more than went in."""
    whole, parts = verdict([data[8:]]), verdict(list(pieces(data)))
    assert whole == parts
    assert len(whole[0]) <= len(data)


def verdict(said: list[bytes]) -> tuple[bytes, bool]:
    censor, out = Censor(), b""
    try:
        for piece in said:
            out += censor.feed(piece)
            assert len(censor._head) < 16
    except Unreadable:
        return b"", True
    return out, False


TARGETS = {"filter": filter_holds, "frames": frames_hold, "censor": censor_holds}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()

"""What an open tab sends by itself is nobody's doing."""

import json
import struct

import pytest

from instances.broker.activity import is_input

KERNEL, TERMINAL = "/api/kernels/0b3c/channels", "/terminals/websocket/1"


def as_json(kind: str) -> bytes:
    message = {"header": {"msg_id": "x", "msg_type": kind, "username": "ada"}, "content": {}, "channel": "shell"}
    return json.dumps(message, separators=(",", ":")).encode()


def as_binary(kind: str) -> bytes:
    """v1.kernel.websocket.jupyter.org: offsets, then channel, header, parent header, metadata, content."""
    header = json.dumps({"msg_id": "x", "msg_type": kind}, separators=(",", ":")).encode()
    parts = [b"shell", header, b"{}", b"{}", b"{}"]
    offsets, at = [], 8 * (len(parts) + 2)
    for part in parts:
        offsets.append(at)
        at += len(part)
    return struct.pack(f"<{len(parts) + 2}Q", len(parts) + 1, *offsets, at) + b"".join(parts)


@pytest.mark.parametrize("form", [as_json, as_binary])
def test_running_a_cell_is_input_and_asking_a_kernel_what_it_is_is_not(form) -> None:  # type: ignore[no-untyped-def]
    for kind in ("execute_request", "input_reply", "complete_request", "comm_msg"):
        assert is_input(KERNEL, form(kind)), kind
    for kind in ("kernel_info_request", "comm_info_request", "history_request"):
        assert not is_input(KERNEL, form(kind)), kind


def test_a_key_in_a_terminal_is_input_and_its_size_is_not() -> None:
    assert is_input(TERMINAL, json.dumps(["stdin", "ls\r"]).encode())
    assert not is_input(TERMINAL, json.dumps(["set_size", 24, 80]).encode())


def test_what_is_not_understood_counts_as_input() -> None:
    assert is_input(TERMINAL, b"\x00") and is_input(KERNEL, b"") and is_input("/h5web/live", b"x")

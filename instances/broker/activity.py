"""Which messages to a Jupyter server are somebody's doing. Pure.

An open tab sends messages by itself: it asks kernels what they are whenever it connects, and tells terminals its size.
"""

import json

BY_ITSELF = (b'"kernel_info_request"', b'"comm_info_request"', b'"history_request"')
"""Kinds of message that JupyterLab sends without being touched; the kind stands in the message's header."""
HEADER = 2048
"""Bytes within which the header ends, whether the message is JSON or of the binary protocol."""


def is_input(path: str, message: bytes) -> bool:
    """`path` of the WebSocket, with or without what precedes `/api/`. What is not understood counts as input."""
    if "/terminals/websocket/" in path:
        return _of_a_terminal(message)
    if "/kernels/" in path:
        return not any(kind in message[:HEADER] for kind in BY_ITSELF)
    return True


def _of_a_terminal(message: bytes) -> bool:
    try:
        return bool(json.loads(message)[0] != "set_size")
    except (ValueError, LookupError, TypeError):
        return True

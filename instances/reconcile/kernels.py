"""What a Jupyter server itself says of its kernels and terminals, asked through the cloud's own way in.

An open tab makes none of it move: browsers only read these lists. No answer is no answer, never idleness.
"""

import http.client
import json
import logging
import socket
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from instances.errors import ProviderError
from instances.providers.base import Endpoint, Provider

log = logging.getLogger(__name__)
WITHIN = 3.0
"""Seconds for each of the two answers."""
LARGEST = 1 << 20
AT_WORK = ("busy", "starting", "restarting")


def last_active(provider: Provider, key: str, now: datetime) -> datetime | None:
    """When something last computed in its kernels and terminals: `now` while a kernel is busy, the year 1 for never
    since they were started. None: it did not answer.
    """
    try:
        endpoint = provider.endpoint(key, "jupyter")
        kernels = _asked(endpoint, "/api/kernels")
        if any(kernel["execution_state"] in AT_WORK for kernel in kernels):
            return now
        moments = [parse_datetime(one["last_activity"]) for one in [*kernels, *_asked(endpoint, "/api/terminals")]]
        return max((at for at in moments if at), default=NEVER.replace(tzinfo=now.tzinfo))
    except (ProviderError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        log.info("instance %s does not say what its kernels do: %s", key, error)
        return None


NEVER = datetime.min


def _asked(endpoint: Endpoint, path: str) -> list[dict[str, Any]]:
    connection = _Connection(endpoint)
    try:
        connection.request("GET", path, headers={"Authorization": f"token {endpoint.secret}", "Accept": "*/*"})
        response = connection.getresponse()
        body = response.read(LARGEST)
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{path}: {response.status}")
        found = json.loads(body)
        if not isinstance(found, list):
            raise ValueError(f"{path} is no list")
        return found
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket, or to a host and port."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint.host or "localhost", endpoint.port or None, timeout=WITHIN)
        self._path = endpoint.path

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WITHIN)
        self.sock.connect(self._path)

"""Stand-ins for the guests that nova's fake hypervisor does not boot: their apps' ports, on their own addresses.

The testbed's network lies in 127.0.0.0/8, so a guest's address is one of this machine's. A guest that is switched on is
played until it is switched off: its desktop greets as RFB servers do, its JupyterLab takes connections.
"""

import json
import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

PORTS = {5901: b"RFB 003.008\n", 8888: b""}
"""What each says first."""
OURS = "tests-"
"""How the deployments begin whose guests are played here; see `machines.py` for the others."""


class Guests:
    """`silent`: guests that are switched on from now on have no app that answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._playing: dict[str, list[socket.socket]] = {}
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self.silent = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for server in list(self._playing):
            self._end(server)

    def on(self) -> dict[str, dict]:
        """What the hypervisor says of each guest that is switched on, by server id; a portal's are played elsewhere."""
        found = {}
        for file in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):
                said = json.loads(file.read_text())
                if said["metadata"].get("visa.deployment", OURS).startswith(OURS):
                    found[file.stem] = said
        return found

    def _play(self) -> None:
        while not self._ending.is_set():
            on = self.on()
            for server in set(self._playing) - set(on):
                self._end(server)
            for server in set(on) - set(self._playing):
                self._begin(server, [] if self.silent else on[server]["addresses"])
            for key, _ in self._selector.select(0.05):
                client, _ = key.fileobj.accept()
                with client, suppress(OSError):
                    client.sendall(key.data)

    def _begin(self, server: str, addresses: list[str]) -> None:
        listening = []
        for address in addresses:
            for port, greeting in PORTS.items():
                try:
                    listener = socket.create_server((address, port), backlog=64)
                except OSError:
                    continue  # another stand-in plays this guest
                listener.setblocking(False)
                self._selector.register(listener, selectors.EVENT_READ, greeting)
                listening.append(listener)
        self._playing[server] = listening

    def _end(self, server: str) -> None:
        for listener in self._playing.pop(server):
            self._selector.unregister(listener)
            listener.close()

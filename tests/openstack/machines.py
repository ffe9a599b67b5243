"""Plays the machines that nova's fake hypervisor does not boot, from what nova was really given for each.

A server that is switched on for the first time, or was rebuilt, gets a new disk and boots it with its user-data; one
that is switched on again boots the disk that it has, as after a stop, a shelving or a resize.
"""

import json
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.guest.guest import Guest
from tests.guest.roots import this_machine

log = logging.getLogger(__name__)


class Machines:
    """`with Machines(testbed.guests, deployment, folder)`: all servers of that deployment, each on its own address."""

    def __init__(self, told: Path, deployment: str, folder: Path) -> None:
        self._told = told
        self._deployment = deployment
        self._folder = folder
        self._made = 0
        self._on: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self.guests: dict[str, Guest] = {}
        """By server; those that are switched off too."""
        self.first_boots: list[str] = []
        self.trouble: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for guest in self.guests.values():
            guest.stop()

    def _play(self) -> None:
        while not self._ending.wait(0.1):
            wanted = self._switched_on()
            for server in self._on - set(wanted):
                self.guests[server].stop()
            for server in set(wanted) - self._on:
                try:
                    self._boot(server, wanted[server])
                except Exception as error:
                    log.exception("server %s does not boot", server)
                    self.trouble.append(str(error))
            self._on = set(wanted)

    def _switched_on(self) -> dict[str, dict[str, Any]]:
        found = {}
        for file in self._told.glob("*.json"):
            with suppress(FileNotFoundError, ValueError):
                said = json.loads(file.read_text())
                if said["metadata"].get("visa.deployment") == self._deployment:
                    found[file.stem] = said
        return found

    def _boot(self, server: str, said: dict[str, Any]) -> None:
        guest = self.guests.get(server)
        if guest and guest.user_data == said["user_data"]:
            guest.start()
            return
        self._made += 1
        disk = self._folder / f"disk-{self._made}"
        disk.mkdir()
        self.guests[server] = Guest(this_machine(disk), said["user_data"], said["addresses"][0])
        self.first_boots.append(server)
        self.guests[server].first_boot()

"""People who go on asking until they have an answer, whatever breaks meanwhile; and what they may then rely on."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import Error, close_old_connections
from procrastinate.exceptions import ConnectorException
from psycopg_pool import PoolTimeout

from auth.models import User
from instances.errors import Conflict, Invalid
from instances.models import Instance
from instances.services.delete import delete
from instances.services.launch import launch
from instances.services.restart import restart
from instances.services.start import start
from instances.services.stop import stop
from instances.states import Desired, State

from .script import Deed, Story

T = TypeVar("T")
log = logging.getLogger(__name__)
SERVICES = {Deed.STOP: stop, Deed.START: start, Deed.RESTART: restart, Deed.DELETE: delete}
WISHES = {
    Deed.LAUNCH: Desired.RUNNING,
    Deed.START: Desired.RUNNING,
    Deed.RESTART: Desired.RUNNING,
    Deed.STOP: Desired.STOPPED,
    Deed.DELETE: Desired.DELETED,
}
NEEDS = {Deed.RESTART: State.READY, Deed.START: State.STOPPED}
"""What an instance has to be for it; its owner waits a little for that."""
WAITING = 8.0
AT_ONCE = 12
PATIENCE = 60.0


class People:
    """`wishes`: by the name of the instance, what its owner asked for last and was promised."""

    def __init__(self, users: list[User], experiments: list[int], stories: list[Story]) -> None:
        self.users = users
        self.experiments = experiments
        self.stories = stories
        self.wishes: dict[str, Desired] = {}
        self.refused = 0
        self.problems: list[str] = []
        self._began = time.monotonic()
        self._counting = threading.Lock()

    def act(self) -> None:
        """All stories, each in its own order, to their ends."""
        pending = sorted((at, n, i) for n, story in enumerate(self.stories) for i, (at, _) in enumerate(story.deeds))
        chains = [_Chain(story) for story in self.stories]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for at, n, _ in pending:
                time.sleep(max(0.0, self._began + at - time.monotonic()))
                pool.submit(chains[n].next, self._do)

    def _do(self, story: Story, deed: Deed) -> None:
        close_old_connections()
        try:
            accepted = self._launch(story) if deed is Deed.LAUNCH else self._ask(story, deed)
            with self._counting:
                if accepted:
                    self.wishes[story.name] = WISHES[deed]
                else:
                    self.refused += 1
        except Exception as error:
            log.exception("%s: %s", story.name, deed)
            self.problems.append(f"{story.name}: {deed}: {error!r}")
        finally:
            close_old_connections()

    def _launch(self, story: Story) -> bool:
        def once() -> bool:
            if not Instance.objects.filter(name=story.name).exists():
                launch(
                    acting_user=self.users[story.owner],
                    experiments=self.experiments,
                    environment="desktop",
                    flavour="s",
                    display={},
                    name=story.name,
                )
            return True

        return self._insisting(once)

    def _ask(self, story: Story, deed: Deed) -> bool:
        """False: it makes no sense now, as the portal says in words (a start of what runs)."""
        before = self._seen(story, NEEDS.get(deed))

        def once() -> bool:
            try:
                SERVICES[deed](before.pk, acting_user=self.users[story.owner])
            except Conflict:
                # After an answer that was lost this may be what the first attempt has led to.
                row = Instance.objects.get(pk=before.pk)
                return row.generation > before.generation or row.desired == WISHES[deed] != before.desired
            return True

        return self._insisting(once)

    def _seen(self, story: Story, needed: State | None) -> Instance:
        until = time.monotonic() + WAITING
        while True:
            row = self._insisting(lambda: Instance.objects.get(name=story.name))
            if needed in (None, row.state) or time.monotonic() > until:
                return row
            time.sleep(0.3)

    def _insisting(self, once: Callable[[], T]) -> T:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return once()
            # No database, noticed by us or by the queue of jobs; or a cloud that does not answer at the moment.
            except (Error, PoolTimeout, ConnectorException, Invalid) as error:
                if time.monotonic() > until:
                    raise
                log.info("asked again: %s", error)
                close_old_connections()
                time.sleep(0.5)


class _Chain:
    """The deeds of one story, one after the other whatever thread they come to."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._deeds = iter(story.deeds)
        self._lock = threading.Lock()

    def next(self, do: Callable[[Story, Deed], None]) -> None:
        with self._lock:
            _, deed = next(self._deeds)
            do(self._story, deed)

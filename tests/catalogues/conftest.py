"""A world of each kind; its service, if it has one, lives as long as the test. One RabbitMQ serves all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pika.exceptions import AMQPError

from auth.catalogues.useroffice import broker
from auth.catalogues.useroffice.broker import Office
from auth.catalogues.useroffice.config import EXCHANGE

from .offices import DEAD, QUEUE, office
from .rabbit import Publisher, Rabbit
from .services import IcatPlus, SciCat
from .worlds import FilesWorld, IcatWorld, SciCatWorld, World


@pytest.fixture
def icat(tmp_path: Path) -> Iterator[IcatWorld]:
    with IcatPlus() as service:
        yield IcatWorld(tmp_path, service)


@pytest.fixture
def scicat(tmp_path: Path) -> Iterator[SciCatWorld]:
    with SciCat() as service:
        yield SciCatWorld(tmp_path, service)


@pytest.fixture(params=["files", "icat", "scicat"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return FilesWorld(tmp_path) if request.param == "files" else request.getfixturevalue(request.param)


@pytest.fixture(params=["icat", "scicat"])
def remote(request: pytest.FixtureRequest) -> IcatWorld | SciCatWorld:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    with Rabbit(tmp_path_factory.mktemp("rabbit")) as running:
        yield running


@pytest.fixture
def publish(rabbit: Rabbit) -> Iterator[Publisher]:
    """To empty queues: what an earlier test left is gone."""
    with contextlib.closing(rabbit.connect()) as line:
        for queue in (QUEUE, DEAD):
            line.channel().queue_delete(queue)
    publisher = Publisher(rabbit, EXCHANGE)
    yield publisher
    with contextlib.suppress(AMQPError):  # a test may have killed the broker
        publisher.connection.close()


@pytest.fixture
def portal(tmp_path: Path, rabbit: Rabbit, publish: Publisher) -> Office:
    """Its queue is there and bound: whatever is published from now on waits for a consumer."""
    found = office(tmp_path, rabbit.port)
    with broker.connected(found, purpose="a test") as line:
        broker.declare(line, found)
    return found

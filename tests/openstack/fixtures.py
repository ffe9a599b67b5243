"""Loaded by pytest everywhere (`-p tests.openstack.fixtures`): `--openstack`, and the testbed for those who ask for it.

One testbed for all tests of a run. It takes half a minute to start, and minutes where it has to be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .guests import Guests
    from .rig import Rig
    from .testbed.testbed import Testbed

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--openstack", action="store_true", help="what needs the OpenStack testbed, and nothing else")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == HERE and not config.getoption("openstack") else None


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    from .testbed.testbed import Testbed

    with Testbed() as running:
        yield running


@pytest.fixture(scope="session")
def guests(testbed: Testbed) -> Iterator[Guests]:
    from .guests import Guests

    with Guests(testbed.guests) as playing:
        yield playing


@pytest.fixture
def openstack(testbed: Testbed, guests: Guests) -> Iterator[Rig]:
    from .rig import rig

    with rig(testbed, guests) as made:
        yield made

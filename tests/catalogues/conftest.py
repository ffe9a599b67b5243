"""A world of each kind; its service, if it has one, lives as long as the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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

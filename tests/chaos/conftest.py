import pytest

from tests import facility as facilities


@pytest.fixture
def facility(db: None) -> facilities.Facility:
    return facilities.build()

import pytest

from instances.reconcile import compared, watch, worker
from instances.services import observation
from tests import facility as facilities

from .scripted import ScriptedCloud


@pytest.fixture
def facility(db: None) -> facilities.Facility:
    return facilities.build()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> ScriptedCloud:
    scripted = ScriptedCloud()
    for module in (worker, watch, compared, observation):
        monkeypatch.setattr(module, "provider_for", lambda row: scripted)
    return scripted

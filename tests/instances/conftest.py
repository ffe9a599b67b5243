import pytest

from instances.reconcile import watch, worker
from tests import facility as facilities

from .scripted import ScriptedCloud


@pytest.fixture
def facility(db: None) -> facilities.Facility:
    return facilities.build()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> ScriptedCloud:
    scripted = ScriptedCloud()
    for module in (worker, watch):
        monkeypatch.setattr(module, "provider_for", lambda row: scripted)
    return scripted

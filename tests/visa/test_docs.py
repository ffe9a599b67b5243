"""The documentation says what is true: links lead somewhere, and every setting is described."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_setting_is_described() -> None:
    settings = (ROOT / "visa/settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|id_range)\("(VISA_\w+|DATABASE_URL)"', settings))
    described = set(re.findall(r"`(VISA_\w+|DATABASE_URL)`", (ROOT / "docs/reference/settings.md").read_text()))
    assert read - {"VISA_DEBUG"} == described


def test_every_state_and_make_target_is_described() -> None:
    from instances.states import State

    states = (ROOT / "docs/reference/states.md").read_text()
    assert [state for state in State if state.value not in states] == []
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert targets == set(re.findall(r"`make (\w+)", (ROOT / "docs/reference/make.md").read_text()))

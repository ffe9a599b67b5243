"""The demo facility: what the portal is shown with is what a facility would have."""

import ast
import csv
import json
import os
import stat
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import pytest
from django.utils import timezone

from auth.data import Held, Part, entitlement
from auth.models import AuditEvent, Experiment, Instrument, Participation, Proposal, User
from visa import demo
from visa.demo import measurements, render

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def issuer(settings: Any) -> None:
    settings.OIDC = settings.OIDC | {"issuer": "http://localhost:8002"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests: making the measurements is what takes time."""
    return tmp_path_factory.mktemp("facility")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "demo"


def test_the_facility_has_every_kind_of_experiment(data: Path, work: Path) -> None:
    demo.load(data, work)
    now, today = timezone.now(), timezone.now().date()
    assert Instrument.objects.count() == 3
    assert Proposal.objects.count() == 6
    phases = [experiment.phase(now) for experiment in Experiment.objects.all()]
    assert phases.count("running") == 1
    assert {"past", "upcoming"} <= set(phases)
    facts = [experiment.facts for experiment in Experiment.objects.select_related("proposal", "instrument")]
    assert any(fact.proprietary for fact in facts)
    assert any(fact.is_open(today) for fact in facts)
    assert any(fact.doi and fact.released and fact.released > today for fact in facts)


def test_each_person_sees_other_experiments(data: Path, work: Path) -> None:
    demo.load(data, work)
    seen = {}
    for user in User.objects.all():
        actor = user.as_actor()
        parts = {(p.experiment_id, p.part) for p in Participation.objects.filter(user=user)}
        seen[user.username] = frozenset(
            experiment.key
            for experiment in Experiment.objects.select_related("proposal", "instrument")
            if entitlement(
                experiment.facts,
                [Held(Part(part)) for pk, part in parts if pk == experiment.pk]
                + [Held(Part.INSTRUMENT_SCIENTIST)] * (experiment.instrument_id in actor.instruments),
                now=timezone.now(),
            )
        )
    involved = [seen[name] for name in ("alice", "bruno", "chiara", "dirk", "eszter", "ines")]
    assert len(set(involved)) == len(involved)
    assert "hc-5187-2" in seen["alice"] & seen["bruno"] & seen["dirk"]
    assert "in-1450-1" in seen["bruno"] and "in-1450-1" not in seen["eszter"]
    assert seen["ines"] == {"es-1104-1"}


def test_the_people_who_can_sign_in_are_those_of_the_catalogue() -> None:
    with (render.TEMPLATES / "people.csv").open(encoding="utf-8") as file:
        rows = [(row["sub"], row["name"], row["email"]) for row in csv.DictReader(file)]
    assert rows == [(p.sub, p.name, p.claims["email"]) for p in demo.people()]
    assert len(rows) == 9


def test_a_second_start_is_quick_and_changes_nothing(data: Path, work: Path) -> None:
    demo.load(data, work)
    dates = list(Experiment.objects.values_list("key", "start", "end"))
    audited = AuditEvent.objects.count()
    mine = next(data.glob("visitor/hc-5187/id07/*/PROCESSED_DATA")) / "README.txt"
    mine.unlink()
    before = time.monotonic()
    demo.load(data, work)
    assert time.monotonic() - before < 0.5
    assert list(Experiment.objects.values_list("key", "start", "end")) == dates
    assert AuditEvent.objects.count() == audited
    assert not mine.exists()


def test_the_dates_of_the_first_day_hold(work: Path) -> None:
    first = timezone.now() - timedelta(days=5)
    folder = render.catalogue(work, now=first)
    before = (folder / "experiments.csv").read_text()
    assert f"{first - timedelta(days=1):%Y-%m-%d}T08:00:00+00:00" in before
    assert "{" not in before
    assert (render.catalogue(work) / "experiments.csv").read_text() == before


def test_on_another_port_the_people_stay_who_they_are(data: Path, work: Path, settings: Any) -> None:
    demo.load(data, work)
    before = set(User.objects.values_list("pk", "username"))
    settings.OIDC = settings.OIDC | {"issuer": "http://localhost:9002"}
    demo.load(data, work)
    assert set(User.objects.values_list("pk", "username")) == before
    assert set(User.objects.values_list("iss", flat=True)) == {"http://localhost:9002"}
    assert AuditEvent.objects.filter(action="demo.move").count() == 1


def running(data: Path) -> Path:
    return data / Experiment.objects.get(key="hc-5187-2").folder


def test_measurements_are_compressed_nexus_that_says_how_to_plot_itself(data: Path, work: Path) -> None:
    demo.load(data, work)
    shapes = {}
    for file in running(data).glob("RAW_DATA/*.h5"):
        with h5py.File(file) as root:
            entry = root[root.attrs["default"]]
            plot = entry[entry.attrs["default"]]
            signal = plot[plot.attrs["signal"]]
            assert (root.attrs["NX_class"], entry.attrs["NX_class"], plot.attrs["NX_class"]) == (
                "NXroot",
                "NXentry",
                "NXdata",
            )
            assert len(plot.attrs["axes"]) == signal.ndim
            for axis, length in zip(plot.attrs["axes"], signal.shape, strict=True):
                assert axis == "." or len(plot[axis]) == length
            assert signal[len(signal) // 2].max() > 0
            if signal.ndim > 1:
                stored = signal.id.get_storage_size()
                assert 1 << 20 < stored < 8 << 20
                assert stored < 0.8 * signal.nbytes
            shapes[file.stem] = signal.ndim
    assert shapes == {"si_anode_rings": 3, "si_anode_scan": 1, "si_anode_volume": 3}


def test_every_experiment_has_its_three_folders_with_something_in_raw(data: Path, work: Path) -> None:
    demo.load(data, work)
    for experiment in Experiment.objects.all():
        folder = data / experiment.folder
        assert {path.name for path in folder.iterdir()} == {"RAW_DATA", "PROCESSED_DATA", "SCRIPTS"}
        assert list((folder / "RAW_DATA").glob("*.h5"))
    assert set(measurements.SAMPLES) == set(Experiment.objects.values_list("key", flat=True))


def test_folders_are_closed_to_everybody_else(data: Path, work: Path) -> None:
    demo.load(data, work)
    as_root = os.geteuid() == 0
    experiment = Experiment.objects.select_related("proposal").get(key="in-1450-1")
    measurements.generate(data, work.with_name("another"))  # other tests numbered their proposals differently
    folder = data / experiment.folder
    wanted = {".": 0o750, "RAW_DATA": 0o750, "RAW_DATA/tool_edge_volume.h5": 0o640}
    wanted |= {name: 0o2770 if as_root else 0o770 for name in ("PROCESSED_DATA", "SCRIPTS")}
    for name, mode in wanted.items():
        found = (folder / name).stat()
        assert stat.S_IMODE(found.st_mode) == mode, name
        assert not as_root or (found.st_uid, found.st_gid) == (0, experiment.proposal.gid)
    assert stat.S_IMODE((data / "visitor/in-1450").stat().st_mode) == 0o750


def test_the_notebook_s_cells_read_the_raw_data(data: Path, work: Path) -> None:
    demo.load(data, work)
    scripts = running(data) / "SCRIPTS"
    notebook = json.loads((scripts / "first_look.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        ast.parse(cell)
    # Without the plots: matplotlib is part of the JupyterLab environment, not of the portal's.
    code = [cells[0].replace("import matplotlib.pyplot as plt", ""), cells[2]]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=scripts, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (scripts.parent / "PROCESSED_DATA" / "si_anode_rings_mean.txt").exists()

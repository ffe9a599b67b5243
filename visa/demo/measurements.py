"""What the demo's experiments measured: folders as a facility has them, owned as a facility would, filled once."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from auth.models import Experiment

VERSION = 1
SCRIPTS = Path(__file__).with_name("scripts")
NOTE = "Keep your results here. Raw data can be read but not changed; this folder and SCRIPTS belong to your team.\n"


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    kinds: tuple[str, ...]
    """Names of functions in nexus.py."""
    large: bool = False


SAMPLES = {
    "hc-5187-2": Sample("si_anode", ("rings", "scan", "volume"), large=True),
    "hc-5187-1": Sample("si_powder", ("rings", "scan")),
    "ma-6021-1": Sample("ti_crack", ("rings", "scan")),
    "ls-3310-1": Sample("amber_feather", ("volume",)),
    "es-1104-1": Sample("pumice", ("volume", "scan")),
    "in-1450-1": Sample("tool_edge", ("volume",)),
    "hc-5342-1": Sample("alignment", ("scan",)),
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Of what is made for one experiment: as root a group per proposal, else whoever we are."""

    gid: int
    as_root: bool

    @property
    def shared(self) -> int:
        return 0o2770 if self.as_root else 0o770

    def give(self, path: Path, mode: int) -> None:
        if self.as_root:
            os.chown(path, 0, self.gid)
        path.chmod(mode)  # after chown, which drops the set-group-id bit


def generate(data_root: Path, work: Path) -> None:
    """Make what is missing under `data_root`. A finished experiment is known by its stamp and costs no time."""
    work.mkdir(parents=True, exist_ok=True)
    stamps = work / "measurements.json"
    done: dict[str, str] = json.loads(stamps.read_text()) if stamps.exists() else {}
    chosen = Experiment.objects.filter(key__in=SAMPLES).select_related("proposal", "instrument")
    for experiment in chosen:
        stamp = f"{VERSION} {data_root / experiment.folder} {experiment.proposal.gid}"
        if done.get(experiment.key) == stamp and (data_root / experiment.folder).is_dir():
            continue
        _measure(experiment, data_root)
        done[experiment.key] = stamp
        with _whole(stamps) as half:
            half.write_text(json.dumps(done, indent=1))


def _measure(experiment: Experiment, data_root: Path) -> None:
    from . import nexus  # h5py takes a while to import

    owner = Owner(experiment.proposal.gid, os.geteuid() == 0)
    folder = _folders(data_root, Path(experiment.folder), owner)
    sample = SAMPLES[experiment.key]
    for kind in sample.kinds:
        write: Callable[..., None] = getattr(nexus, kind)
        file = folder / "RAW_DATA" / f"{sample.name}_{kind}.h5"
        if not file.exists():
            with _whole(file) as half:
                write(half, nexus.About.of(experiment, sample.name), large=sample.large)
        owner.give(file, 0o640)
    scripts = {name: (SCRIPTS / name).read_text(encoding="utf-8") for name in ("first_look.py", "first_look.ipynb")}
    _shared(folder / "PROCESSED_DATA", {"README.txt": NOTE}, owner)
    _shared(folder / "SCRIPTS", scripts, owner)


def _folders(data_root: Path, relative: Path, owner: Owner) -> Path:
    """The experiment's folder. What leads to it is for its team; only the top is for everybody to pass."""
    top, *rest = relative.parts
    path = data_root / top
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)
    for name in rest:
        path /= name
        path.mkdir(mode=0o700, exist_ok=True)
        owner.give(path, 0o750)
    (path / "RAW_DATA").mkdir(mode=0o700, exist_ok=True)
    owner.give(path / "RAW_DATA", 0o750)
    return path


def _shared(folder: Path, files: dict[str, str], owner: Owner) -> None:
    """A folder that its team can write to, filled before they get it: root writes nothing where others
    could plant a link."""
    if not folder.exists():
        with _whole(folder) as half:
            half.mkdir(mode=0o700)
            for name, text in files.items():
                (half / name).write_text(text, encoding="utf-8")
                owner.give(half / name, 0o660)
    owner.give(folder, owner.shared)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A path to write to, which becomes `file` at the end, or nothing."""
    half = file.with_name(f".{file.name}.new")
    if half.is_dir():
        shutil.rmtree(half)
    half.unlink(missing_ok=True)
    yield half
    half.rename(file)

"""Measurements for the demo facility: real NeXus/HDF5, small, made once.

Each experiment gets a diffraction image stack, a scan and a small tomography volume under RAW_DATA, a first result
under PROCESSED_DATA, and a script and a notebook that read them under SCRIPTS.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

FOLDERS = ("RAW_DATA", "PROCESSED_DATA", "SCRIPTS")
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured; `seed` makes every experiment's data its own, and the same each time."""

    experiment: str
    title: str
    instrument: str
    material: str
    started: str
    seed: int


def write(folder: Path, sample: Sample, *, gid: int | None) -> bool:
    """Fill `folder` unless it is there already; False then. Appears whole or not at all.

    With `gid` (as root) the files belong to the proposal's Unix group: raw data read-only, the rest writable by it.
    """
    if folder.exists():
        return False
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in FOLDERS:
        (unfinished / name).mkdir(parents=True)
    raw = unfinished / "RAW_DATA"
    rings(raw / "rings.h5", sample)
    scan(raw / "scan.h5", sample)
    tomography(raw / "tomography.h5", sample)
    integrated(unfinished / "PROCESSED_DATA" / "integrated.h5", raw / "rings.h5")
    notebook(unfinished / "SCRIPTS", sample)
    _own(unfinished, gid)
    unfinished.rename(folder)
    return True


def rings(file: Path, sample: Sample, frames: int = 24, size: int = 400) -> None:
    """A detector's image stack: powder rings on a falling background, Poisson noise, a beam stop, dead pixels."""
    random = np.random.default_rng(sample.seed)
    y, x = np.indices((size, size))
    radius = np.hypot(x - size * 0.48, y - size * 0.51)
    spots = sorted(random.uniform(40, size * 0.62, 7))
    stack = np.empty((frames, size, size), np.uint16)
    for frame in range(frames):
        strain = 1 + 0.02 * np.sin(frame / frames * np.pi)
        image = 30 * np.exp(-radius / 150) + 2
        for order, position in enumerate(spots):
            image += 220 / (order + 1) ** 0.6 * np.exp(-(((radius - position * strain) / 1.8) ** 2))
        stack[frame] = random.poisson(image)
    stack[:, radius < 14] = 0
    stack[:, random.random((size, size)) < 2e-4] = np.iinfo(np.uint16).max
    with h5py.File(file, "w") as root:
        entry = _entry(root, sample, "Powder diffraction under load")
        detector = _group(entry, "instrument/detector", "NXdetector")
        detector.create_dataset("data", data=stack, chunks=(1, size, size), **hdf5plugin.Bitshuffle())
        detector["count_time"] = np.full(frames, 0.1)
        detector["count_time"].attrs["units"] = "s"
        detector["x_pixel_size"] = detector["y_pixel_size"] = 75e-6
        load = _group(entry, "sample/environment", "NXenvironment").create_dataset(
            "load", data=np.linspace(0, 2, frames)
        )
        load.attrs["units"] = "kN"
        _plot(entry, "data", load=load, data=detector["data"], axes=["load", ".", "."])


def scan(file: Path, sample: Sample, points: int = 301) -> None:
    """Counters against a motor: an absorption edge with its oscillations, and a diode."""
    random = np.random.default_rng(sample.seed + 1)
    energy = np.linspace(7.0, 7.6, points)
    above = energy > 7.112
    edge = 1 / (1 + np.exp(-(energy - 7.112) / 0.002))
    wiggle = 0.08 * np.sin(60 * np.sqrt(np.clip(energy - 7.112, 0, None))) * np.exp(-4 * (energy - 7.112)) * above
    with h5py.File(file, "w") as root:
        entry = _entry(root, sample, "Absorption edge of iron")
        measurement = _group(entry, "measurement", "NXcollection")
        measurement["energy"] = energy
        measurement["energy"].attrs["units"] = "keV"
        measurement["fluorescence"] = random.poisson(1e5 * (0.05 + edge + wiggle)).astype(np.uint32)
        measurement["diode"] = random.normal(1e6, 2e3, points)
        _plot(entry, "plot", energy=measurement["energy"], fluorescence=measurement["fluorescence"], axes=["energy"])


def tomography(file: Path, sample: Sample, size: int = 96) -> None:
    """A reconstructed volume: a porous cylinder with grains."""
    random = np.random.default_rng(sample.seed + 2)
    z, y, x = np.indices((size, size, size), np.float32)
    volume = (np.hypot(x - size / 2, y - size / 2) < size * 0.42).astype(np.float32)
    for value, number, largest in ((0.0, 40, 8), (1.6, 25, 7)):
        for centre, radius in zip(
            random.uniform(0, size, (number, 3)), random.uniform(2, largest, number), strict=True
        ):
            inside = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2
            volume[inside & (volume > 0)] = value
    volume += random.normal(0, 0.05, volume.shape).astype(np.float32)
    with h5py.File(file, "w") as root:
        entry = _entry(root, sample, "Tomography, reconstructed")
        results = _group(entry, "reconstruction/results", "NXcollection")
        quantised = np.round(volume * 64).astype(np.int16)
        results.create_dataset(
            "volume", data=quantised, chunks=(8, size, size), **hdf5plugin.Blosc(cname="zstd", clevel=5)
        )
        _plot(entry, "data", volume=results["volume"], axes=[".", ".", "."], signal="volume")


def integrated(file: Path, raw: Path) -> None:
    """A first result: every frame of the stack averaged over circles."""
    with h5py.File(raw) as source, h5py.File(file, "w") as root:
        stack = source["entry/instrument/detector/data"][()].astype(np.float64)
        stack[stack == np.iinfo(np.uint16).max] = np.nan
        size = stack.shape[1]
        y, x = np.indices((size, size))
        radius = np.hypot(x - size * 0.48, y - size * 0.51).astype(int).ravel()
        keep = radius < size // 2
        profiles = [
            np.bincount(radius[keep], np.nan_to_num(frame).ravel()[keep]) / np.bincount(radius[keep]) for frame in stack
        ]
        root.attrs.update(NX_class="NXroot", default="entry")
        entry = _group(root, "entry", "NXentry")
        entry["title"] = "Azimuthal averages"
        result = _group(entry, "integrated", "NXcollection")
        result["intensity"] = np.asarray(profiles, np.float32)
        result["radius"] = np.arange(len(profiles[0]))
        result["radius"].attrs["units"] = "pixel"
        _plot(entry, "data", radius=result["radius"], intensity=result["intensity"], axes=[".", "radius"])


def notebook(folder: Path, sample: Sample) -> None:
    """A script, and the same as a notebook: they read the raw data and plot it."""
    lines = (SCRIPTS / "plot_rings.py").read_text()
    (folder / "plot_rings.py").write_text(lines)
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {sample.title}\n\n{sample.material}"},
        {"cell_type": "code", "id": "plot", "metadata": {}, "source": lines, "outputs": [], "execution_count": None},
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "first look.ipynb").write_text(json.dumps(content, indent=1))


def _entry(root: h5py.File, sample: Sample, title: str) -> h5py.Group:
    root.attrs.update(NX_class="NXroot", default="entry")
    entry = _group(root, "entry", "NXentry")
    entry["title"] = title
    entry["experiment_identifier"] = sample.experiment
    entry["start_time"] = sample.started
    _group(entry, "instrument", "NXinstrument")["name"] = sample.instrument
    _group(entry, "sample", "NXsample")["name"] = sample.material
    return entry


def _group(parent: h5py.Group, path: str, kind: str) -> h5py.Group:
    group = parent.require_group(path)
    group.attrs["NX_class"] = kind
    return group


def _plot(
    entry: h5py.Group, name: str, *, axes: Iterable[str], signal: str | None = None, **datasets: h5py.Dataset
) -> None:
    """What a viewer shows first: an NXdata with links to where the numbers are."""
    data = _group(entry, name, "NXdata")
    for key, dataset in datasets.items():
        data[key] = dataset
    data.attrs["signal"] = signal or list(datasets)[-1]
    data.attrs["axes"] = list(axes)
    entry.attrs["default"] = name


def _own(folder: Path, gid: int | None) -> None:
    raw = folder / "RAW_DATA"
    for path in [folder, *folder.rglob("*")]:
        in_raw = raw == path or raw in path.parents
        if path.is_dir():
            path.chmod(0o750 if in_raw or path == folder else 0o2770)
        else:
            path.chmod(0o640 if in_raw else 0o660)
        if gid is not None:
            os.chown(path, 0, gid)
            if path.is_dir() and not in_raw and path != folder:
                path.chmod(0o2770)  # chown takes the bit away

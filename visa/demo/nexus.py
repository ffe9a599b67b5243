"""NeXus files as beamlines write them: compressed, self-describing, and plotted by H5Web without a question."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from auth.models import Experiment

KEV = 43.57
DISTANCE = 0.25
PIXEL = 150e-6
SILICON = {"111": 3.1356, "220": 1.9201, "311": 1.6375, "400": 1.3577, "331": 1.2459, "422": 1.1086, "511": 1.0452}
"""Lattice spacings in ångström."""
LITHIATED = {"a": 2.62, "b": 2.04, "c": 1.52}
"""Broad rings of the phase that grows."""


@dataclass(frozen=True, slots=True)
class About:
    experiment: str
    proposal: str
    instrument: str
    title: str
    sample: str
    start: str
    end: str

    @classmethod
    def of(cls, experiment: Experiment, sample: str) -> "About":
        return cls(
            experiment=experiment.key,
            proposal=str(experiment.proposal),
            instrument=str(experiment.instrument),
            title=experiment.title,
            sample=sample,
            start=experiment.start.isoformat(),
            end=experiment.end.isoformat(),
        )

    def noise(self, kind: str) -> np.random.Generator:
        """The same data for the same experiment, on every machine."""
        return np.random.default_rng(zlib.crc32(f"{self.experiment} {kind}".encode()))


def rings(file: Path, about: About, *, large: bool) -> None:
    """A time series of powder patterns on an area detector, Bitshuffle and LZ4."""
    size, frames = (768, 16) if large else (320, 6)
    pixel = PIXEL * 768 / size
    random = about.noise("rings")
    beam = (0.48 * size, 0.53 * size)
    y, x = np.mgrid[0:size, 0:size]
    radius = np.hypot(y - beam[1], x - beam[0]) * pixel
    steps = np.linspace(0, radius.max(), 5000)
    texture = 1 + 0.22 * np.cos(2 * np.arctan2(y - beam[1], x - beam[0]) + 0.6)
    blind = (radius < 3.2e-3) | (np.abs(x - size // 2) < size // 96) | (np.abs(y - size // 2) < size // 96)
    with nexus(file, about, default="plot") as entry:
        detector = group(entry["instrument"], "detector", "NXdetector")
        stored = detector.create_dataset(
            "data", (frames, size, size), "u2", chunks=(1, size, size), **hdf5plugin.Bitshuffle(cname="lz4")
        )
        for frame in range(frames):
            expected = np.interp(radius, steps, profile(steps, charge=frame / (frames - 1))) * texture
            stored[frame] = np.where(blind, 0, random.poisson(expected)).astype("u2")
        quantity(detector, "x_pixel_size", pixel, "m")
        quantity(detector, "y_pixel_size", pixel, "m")
        quantity(detector, "distance", DISTANCE, "m")
        quantity(detector, "beam_center_x", beam[0], "pixel")
        quantity(detector, "beam_center_y", beam[1], "pixel")
        plot = group(entry, "plot", "NXdata", signal="data", axes=["time", ".", "."])
        plot.attrs["title"] = f"{about.sample}: diffraction while it charges"
        plot["data"] = stored
        stored.attrs["interpretation"] = "image"
        quantity(plot, "time", np.arange(frames) * 30.0, "s", long_name="Time (s)")


def profile(radius: Any, *, charge: float) -> Any:
    """Expected counts at `radius` (m) when the sample is charged to `charge` (0 to 1)."""
    wavelength = 12.39842 / KEV
    counts = 2.5 + 7.0 * np.exp(-radius / 0.016)
    for spacing in SILICON.values():
        at = DISTANCE * np.tan(2 * np.arcsin(wavelength / (2 * spacing * (1 + 0.004 * charge))))
        counts = counts + (1 - 0.8 * charge) * 90 / spacing * np.exp(-(((radius - at) / 3.4e-4) ** 2))
    for spacing in LITHIATED.values():
        at = DISTANCE * np.tan(2 * np.arcsin(wavelength / (2 * spacing)))
        counts = counts + charge * 34 / spacing * np.exp(-(((radius - at) / 1.3e-3) ** 2))
    return counts


def scan(file: Path, about: About, *, large: bool) -> None:
    """Counters against a motor, with errors and a second counter."""
    points = 401 if large else 121
    random = about.noise("scan")
    position = np.linspace(-2.0, 2.0, points)
    edges = np.tanh((position + 1.1) / 0.09) - np.tanh((position - 0.9) / 0.12)
    fluorescence = random.poisson(400 + 5200 * edges * (1 + 0.25 * np.sin(9 * position)))
    transmitted = random.poisson(90_000 * np.exp(-0.45 * edges))
    with nexus(file, about, default="plot") as entry:
        plot = group(entry, "plot", "NXdata", signal="fluorescence", axes=["samy"])
        plot.attrs["auxiliary_signals"] = as_text(["transmission"])
        plot.attrs["title"] = f"{about.sample}: scan across the sample"
        quantity(plot, "samy", position, "mm", long_name="samy (mm)")
        quantity(plot, "fluorescence", fluorescence, "counts", long_name="Fluorescence (counts)")
        plot["fluorescence_errors"] = np.sqrt(np.maximum(fluorescence, 1))
        quantity(plot, "transmission", transmitted, "counts", long_name="Transmission (counts)")
        measurement = group(entry, "measurement", "NXcollection")
        for name in ("samy", "fluorescence", "transmission"):
            measurement[name] = plot[name]
        quantity(measurement, "count_time", np.full(points, 0.1), "s")


def volume(file: Path, about: About, *, large: bool) -> None:
    """A reconstructed tomogram: a porous cylinder, Blosc with zstd."""
    depth, width = (112, 176) if large else (40, 80)
    random = about.noise("volume")
    axis = (np.arange(width) - (width - 1) / 2) / (width / 2)
    inside = np.hypot(axis[:, None], axis[None, :]) < 0.86
    density = np.repeat(np.where(inside, 0.62, 0.05)[None], depth, axis=0).astype("f4")
    for _ in range(130 if large else 45):
        carve(density, random.uniform(0, 1, 3), random.uniform(0.025, 0.1) * width, random.choice([0.05, 0.09, 0.92]))
    density += random.normal(0, 0.02, density.shape).astype("f4")
    grey = np.clip(density * 255, 0, 255).astype("u1")
    with nexus(file, about, default="plot") as entry:
        plot = group(entry, "plot", "NXdata", signal="data", axes=["z", "y", "x"])
        plot.attrs["title"] = f"{about.sample}: reconstructed volume"
        packed = hdf5plugin.Blosc(cname="zstd", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
        stored = plot.create_dataset("data", data=grey, chunks=(1, width, width), **packed)
        stored.attrs["interpretation"] = "image"
        stored.attrs["long_name"] = "Density (grey level)"
        for name, number in (("z", depth), ("y", width), ("x", width)):
            quantity(plot, name, np.arange(number) * 0.65, "µm", long_name=f"{name} (µm)")
        reconstruction = group(entry, "reconstruction", "NXprocess")
        reconstruction["program"] = "filtered back-projection"


def carve(density: Any, centre: Any, radius: float, grey: float) -> None:
    """A ball of `grey` at `centre` (fractions of the volume), radius in voxels, where there is material."""
    low = [max(0, int(c * n - radius)) for c, n in zip(centre, density.shape, strict=True)]
    high = [min(n, int(c * n + radius) + 1) for c, n in zip(centre, density.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    place = np.ogrid[box]
    distance = sum((p - c * n) ** 2 for p, c, n in zip(place, centre, density.shape, strict=True))
    part = density[box]
    part[(distance < radius**2) & (part > 0.3)] = grey


@contextmanager
def nexus(file: Path, about: About, *, default: str) -> Iterator[h5py.Group]:
    """A new file with everything that says where it comes from; yields its entry."""
    with h5py.File(file, "w", libver=("v110", "v110")) as root:
        root.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "VISA demo facility"})
        entry = group(root, "entry", "NXentry")
        entry.attrs["default"] = default
        entry["title"] = about.title
        entry["start_time"] = about.start
        entry["end_time"] = about.end
        entry["experiment_identifier"] = about.proposal
        instrument = group(entry, "instrument", "NXinstrument")
        instrument["name"] = about.instrument
        quantity(group(instrument, "beam", "NXbeam"), "incident_energy", KEV, "keV")
        group(entry, "sample", "NXsample")["name"] = about.sample
        yield entry


def group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    for key, value in attributes.items():
        made.attrs[key] = as_text(value) if isinstance(value, list) else value
    return made


def quantity(parent: h5py.Group, name: str, value: Any, unit: str, **attributes: str) -> None:
    parent[name] = value
    parent[name].attrs["units"] = unit
    parent[name].attrs.update(attributes)


def as_text(values: list[str]) -> Any:
    return np.array(values, dtype=h5py.string_dtype())

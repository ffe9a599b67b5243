#!/usr/bin/env python3
# ruff: noqa: T201
"""A first look at everything in RAW_DATA: what is in each file, and its default plot into PROCESSED_DATA.

python3 first_look.py
"""

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (lets h5py read compressed detector images)
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
RAW, RESULTS = HERE.parent / "RAW_DATA", HERE.parent / "PROCESSED_DATA"


def show(file: Path) -> Path:
    """Plot what the file says is its default, and return where the picture is."""
    with h5py.File(file) as h5:
        entry = h5[h5.attrs["default"]]
        plot = entry[entry.attrs["default"]]
        data = plot[plot.attrs["signal"]]
        print(f"{file.name}: {entry['title'][()].decode()}, {data.shape} {data.dtype}")
        figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
        if data.ndim == 1:
            name = plot.attrs["axes"][0]
            axes.plot(plot[name][()], data[()])
            axes.set(xlabel=f"{name} ({plot[name].attrs['units']})", ylabel=plot.attrs["signal"])
        else:
            middle = data[len(data) // 2]
            picture = axes.imshow(middle, vmax=np.percentile(middle, 99.5), cmap="magma")
            figure.colorbar(picture, ax=axes)
        axes.set_title(plot.attrs["title"])
    target = RESULTS / f"{file.stem}.png"
    figure.savefig(target, dpi=120)
    plt.close(figure)
    return target


if __name__ == "__main__":
    for raw in sorted(RAW.glob("*.h5")):
        print("   ->", show(raw))

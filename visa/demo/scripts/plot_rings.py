"""Plot one frame of the diffraction stack and its average over circles."""

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (lets h5py read the detector's compression)
import matplotlib.pyplot as plt
import numpy as np

raw = sorted(Path("/data/visitor").glob("*/*/*/RAW_DATA/rings.h5"))[0]
with h5py.File(raw) as file:
    frame = file["entry/instrument/detector/data"][0].astype(float)
frame[frame == 65535] = np.nan

y, x = np.indices(frame.shape)
radius = np.hypot(x - frame.shape[1] * 0.48, y - frame.shape[0] * 0.51).astype(int)
good = np.isfinite(frame)
profile = np.bincount(radius[good], frame[good]) / np.maximum(1, np.bincount(radius[good]))

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
left.imshow(frame, vmax=np.nanpercentile(frame, 99.5), cmap="magma")
left.set_title("First frame")
right.plot(profile[: frame.shape[0] // 2])
right.set_xlabel("radius / pixel")
right.set_ylabel("mean counts")
figure.tight_layout()
plt.show()

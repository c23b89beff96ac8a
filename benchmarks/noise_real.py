"""Real images whose noise is known from repeats or was added, for `noise_estimate.py`."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.noise_cases import SPECTRA, NoiseCase, noise_of
from meddenoise.io import discover, read_item
from meddenoise.series import Image

MODALITY = {"ct": "CT", "mr": "MR", "xray": "DX", "fluoro": "XA"}
DRIFT = 6.0
"""Pixels of the Gaussian that takes drift out of the difference of two acquisitions."""
BRIGHT = 0.25
"""Share of the brightest signal from which pixels belong to the object, where noise is as good as normal."""
PER_GROUP = 6


def values(path: Path) -> Image:
    """All planes of a file [N, Y, X]."""
    series = read_item(discover([path]).items[0])
    return series.values(0, len(series))


def repeats(data: Path) -> Iterator[NoiseCase]:
    """Two acquisitions of one object: the noise is their difference, less drift, over the root of two."""
    for first in sorted((data / "mr" / "repeats").glob("*_1.nii.gz")):
        a, b = values(first), values(first.with_name(first.name.replace("_1.", "_2.")))
        for index in np.unique(np.linspace(0, len(a) - 1, 3).astype(int)):
            one, two = a[index], b[index] * np.float32(a[index].mean() / max(float(b[index].mean()), 1e-6))
            difference = one - two
            difference -= gaussian_filter(difference, DRIFT)
            smooth = gaussian_filter((one + two) / 2, 2)
            object_ = smooth > BRIGHT * np.percentile(smooth, 99)
            sigma = float(np.sqrt(np.mean(difference[object_] ** 2) / 2))
            span = float(np.percentile(one, 99.9) - one.min())
            yield NoiseCase("MR repeats", f"{first.name[4:-9]} plane {index}", one, sigma, span, "MR")


def cines(data: Path) -> Iterator[NoiseCase]:
    """Static runs: the noise of a frame is what it differs by from the mean of the settled others."""
    for path in sorted((data / "fluoro" / "xa_vessel_phantom_cine_dicom").rglob("*")):
        if not path.is_file():
            continue
        frames = values(path).astype(np.float64)
        for index in np.unique((0, 1, len(frames) // 2, len(frames) - 1)):
            others = [n for n in range(2, len(frames)) if abs(n - index) > 1]
            rest = frames[index] - frames[others].mean(axis=0)
            settled = np.var(frames[others], axis=0, ddof=1).mean() / len(others)
            sigma = float(np.sqrt(max(rest[8:-8, 8:-8].var() - settled, 0)))
            frame = frames[index].astype(np.float32)
            yield NoiseCase("cine frames", f"{path.name} frame {index}", frame, sigma, 255.0, "XA")


def anatomy(data: Path) -> Iterator[NoiseCase]:
    """Validation images with so much noise added that their own is at most a fifth of it by any measure."""
    rng = np.random.default_rng(9)
    with (data / "SPLITS.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for group, modality in MODALITY.items():
        mine = [r for r in rows if r["file"].startswith(group + "/") and "cine" not in r["file"]]
        mine = [r for r in mine if "repeats" not in r["file"] and "real noise" not in r["note"]]
        for row in (mine[i] for i in np.unique(np.linspace(0, len(mine) - 1, PER_GROUP).astype(int))):
            planes = values(data / row["file"])
            plane = planes[len(planes) // 2]
            span = 2000.0 if group == "ct" else float(np.percentile(plane, 99.9) - plane.min())
            own = float(row["wavelet_sigma"] or 0)
            for name, percent in (("white", 6), ("white", 15), ("gauss 0.8", 12)):
                noise, cells = noise_of(plane.shape, SPECTRA[name], rng)
                sigma = span * percent / 100
                if own > 0.2 * sigma:
                    continue
                noisy = plane + np.float32(sigma) * noise
                label = f"{row['file']} {name} {percent} %"
                yield NoiseCase(
                    "anatomy", label, noisy, float(np.hypot(sigma, own)), span, modality, cells, False
                )


REAL = (repeats, cines, anatomy)

"""A series and a noise profile with nothing special about them, but for what a test changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meddenoise.noise.profile import Counts, NoiseProfile
from meddenoise.series import Geometry, Series

FLAT = np.full((1, 32, 32), 100, np.int16)


def series(pixels: np.ndarray[Any, Any] = FLAT, **facts: Any) -> Series:
    count = len(pixels)
    kinds: Any = np.finfo(pixels.dtype) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype)
    plain = Series(
        pixels=pixels,
        slope=np.ones(count),
        intercept=np.zeros(count),
        stored_range=(float(kinds.min), float(kinds.max)),
        geometry=Geometry(),
        format="nifti",
        path=Path("in.nii"),
        files=(Path("in.nii"),),
    )
    return replace(plain, **facts)


def profile(**facts: Any) -> NoiseProfile:
    plain: dict[str, Any] = {
        "unit": "", "modality": "", "source": "one image", "gain": 0.0, "offset": 25.0, "sigma": 5.0,
        "frequency": (0.1, 0.5), "power": (1.0, 1.0), "correlation_px": 1.0, "window": (0.0, 1.0),
        "sigmas": (5.0,), "steps": (1,), "counts": Counts(series=1, planes=1, settled=1),
    }  # fmt: skip
    return NoiseProfile(**plain | facts)

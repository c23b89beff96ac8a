"""Maps that belong to a result, float32 series in its unit and place: what was removed, and the noise."""

from dataclasses import replace

import numpy as np

from meddenoise.engine import Planes
from meddenoise.engine.planes import load_planes
from meddenoise.io.scratch import make_planes, release
from meddenoise.noise import Noise
from meddenoise.series import Series


def subtract(series: Series, result: Series) -> Series:
    """The residual, `series` minus `result`, as a float32 series in their unit.

    Always float32: a difference is signed and the pixel types of most formats are not.
    """
    residual = make_planes(series.pixels.shape, np.float32, series.path)
    for n in range(len(series)):
        valid = series.valid(n, n + 1)
        residual[n : n + 1] = np.where(valid, series.values(n, n + 1) - result.values(n, n + 1), 0)
        release(residual, series.pixels, result.pixels)
    return as_map(result, residual)


def noise_map(series: Series, noise: Noise) -> Series:
    """The standard deviation of the noise in every pixel, as methods are given it: a float32 series."""
    levels = make_planes(series.pixels.shape, np.float32, series.path)
    for n in range(len(series)):
        levels[n : n + 1] = np.where(series.valid(n, n + 1), load_planes(series, n, n + 1, noise, 0)[1], 0)
        release(levels, series.pixels)
    return as_map(series, levels)


def as_map(series: Series, values: Planes) -> Series:
    """`values` [N, Y, X] as a float32 series in the unit and place of `series`."""
    limits = np.finfo(np.float32)
    return replace(
        series,
        pixels=values,
        slope=np.ones(len(values)),
        intercept=np.zeros(len(values)),
        stored_range=(float(limits.min), float(limits.max)),
        padding=None,
    )

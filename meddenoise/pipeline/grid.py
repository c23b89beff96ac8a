"""A series on a finer grid: more rows and columns over the same field of view."""

from dataclasses import replace

import numpy as np

from meddenoise.io.limits import allocate
from meddenoise.io.raster import resample
from meddenoise.series import Geometry, Series

MOST = 32767
"""Rows or columns that every format can hold."""


def finer_shape(series: Series, factor: float) -> tuple[int, int]:
    """Rows and columns of the series `factor` times as fine, rounded."""
    rows, columns = series.pixels.shape[1:]
    return round(rows * factor), round(columns * factor)


def refine(series: Series, shape: tuple[int, int]) -> Series:
    """`series` on a grid of `shape` (rows, columns): each stored pixel the nearest of the source.

    The corners of the field of view stay where they are; spacing and the centre of the first pixel follow.
    Raises InputError where it would not fit into memory.
    """
    count, rows, columns = series.pixels.shape
    pixels = allocate((count, *shape), series.pixels.dtype, series.path)
    for n, plane in enumerate(series.pixels):
        pixels[n] = resample(plane, shape)
    finer = shape[0] / rows, shape[1] / columns
    return replace(series, pixels=pixels, geometry=_refined(series.geometry, finer), finer=finer)


def _refined(geometry: Geometry, finer: tuple[float, float]) -> Geometry:
    step, rows, columns = geometry.spacing_mm
    new = step, rows / finer[0], columns / finer[1]
    origin = np.array(geometry.origin_mm)
    for axis, before, after in zip(geometry.axes[1:], geometry.spacing_mm[1:], new[1:], strict=True):
        origin = origin + np.array(axis) * (after - before) / 2
    x, y, z = map(float, origin)
    return replace(geometry, spacing_mm=new, origin_mm=(x, y, z))

"""Filled holes: as smooth as they can be known, and with grain if asked for."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from meddenoise.noise import SeriesNoise
from meddenoise.pipeline.grain import grain_like
from meddenoise.series import Mask

REACH = 0.5
"""Width of the blur over the distance to the nearest known pixel."""
WIDTHS = (0.0, 1.0, 2.0, 4.0, 6.0)
"""Of the blurs in pixels, between which every filled pixel takes its own; rising from 0."""

Planes = NDArray[np.float32]


def smooth_filled(planes: Planes, hole: Mask) -> Planes:
    """`planes` [N, Y, X] with what lies in `hole` blurred the more the farther in; the rest bit for bit.

    The mean of all that could lie in a hole has no detail finer than the distance to what is known: lines and
    crosses there come from the network's grid. At the border known pixels join in, which softens a step.
    """
    result = planes.copy()
    for plane, inside, new in zip(planes, hole, result, strict=True):
        if inside.any() and not inside.all():
            new[inside] = _blurred(plane, inside)[inside]
    return result


def add_grain(planes: Planes, hole: Mask, valid: Mask, noise: SeriesNoise, start: int, seed: int) -> Planes:
    """`planes` [N, Y, X], in the stored polarity, with fresh noise in `hole`; the rest bit for bit.

    It has the level and signal dependence that `noise` says of each plane, and the texture of flat places
    around the hole that are `valid`; `start` is the place of the first plane in the series. Nothing goes
    below 0 where no known pixel does.
    """
    result = planes.copy()
    for n, (plane, inside, new) in enumerate(zip(planes, hole, result, strict=True), start):
        if not inside.any():
            continue
        rng = np.random.default_rng((seed, n))
        grain = grain_like(noise.plane(n), plane, inside, valid[n - start], rng)
        new[inside] += grain[inside]
        known = plane[~inside]
        if known.size and known.min() >= 0:
            np.maximum(new, 0, out=new, where=inside)
    return result


def _blurred(plane: Planes, inside: NDArray[np.bool_]) -> Planes:
    wanted = np.minimum(REACH * distance_transform_edt(inside), WIDTHS[-1]).astype(np.float32)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    around = round(4 * WIDTHS[-1])
    cut = tuple(slice(max(0, part[0] - around), part[-1] + around + 1) for part in (rows, columns))
    filled, width = np.nan_to_num(plane[cut]), wanted[cut]
    levels = np.stack([gaussian_filter(filled, sigma) if sigma else filled for sigma in WIDTHS])
    mixed = sum(level * np.interp(width, WIDTHS, np.eye(len(WIDTHS))[n]) for n, level in enumerate(levels))
    result: Planes = plane.copy()
    result[cut] = mixed
    return result

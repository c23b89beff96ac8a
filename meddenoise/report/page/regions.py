"""What is worth a look: planes of a series, and places where what was removed holds most structure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from meddenoise.series import Mask, Plane

SCANNED = 8
"""Planes of a series that are looked through, evenly spread."""
SCANNED_PIXELS = 8 << 20
REGIONS = 3
SMOOTH, SHADE, AROUND = 1.5, 6.0, 33
"""Pixels: noise is averaged away over the first, what is even over the second is brightness and no structure,
and the level of the noise is taken over the third."""
SIDES = (32, 224)
"""Smallest and largest side of a region; a quarter of the plane between them."""
USABLE = 0.9
"""Share of a region that must be image."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of a plane, and how much structure the residual holds there, for comparison."""

    plane: int
    top: int
    left: int
    side: int
    score: float


def spread_planes(count: int, pixels: int) -> list[int]:
    """Planes to look through, of `count` with so many `pixels` each: evenly spread, the middle among them."""
    most = max(1, min(SCANNED, count, SCANNED_PIXELS // max(pixels, 1)))
    spread = np.linspace(0, count - 1, most + 2)[1:-1] if most < count else np.arange(count)
    return sorted({*np.rint(spread).astype(int).tolist(), count // 2})


def find_regions(residual: Plane, valid: Mask, plane: int) -> list[Region]:
    """The regions of a plane in which the residual [Y, X] holds most structure, best first, none overlapping.

    Noise averages away over a few pixels, an edge does not: what counts is the power of the smoothed
    residual over that of the residual around it.
    """
    height, width = residual.shape
    side = int(np.clip(min(height, width) // 4, *SIDES))
    if min(height, width) < SIDES[0] or not residual.any():
        return []
    shade = gaussian_filter(residual, SHADE)
    level = uniform_filter(np.square(residual - shade), AROUND)
    floor = 0.1 * float(level.mean()) or 1.0
    share = np.square(gaussian_filter(residual, SMOOTH) - shade) / np.maximum(level, floor)
    score = _squares_mean(share, side)
    usable = _squares_mean(valid.astype(np.float32), side)
    found: list[Region] = []
    score[usable < USABLE] = 0
    step = max(1, side // 8)
    score = score[::step, ::step].copy()
    while len(found) < REGIONS and score.max(initial=0) > 0:
        top, left = (int(index) for index in np.unravel_index(int(score.argmax()), score.shape))
        found.append(Region(plane, top * step, left * step, side, float(score[top, left])))
        near = side // step
        score[max(0, top - near) : top + near + 1, max(0, left - near) : left + near + 1] = 0
    return found


def _squares_mean(values: Plane, side: int) -> NDArray[np.float64]:
    """Mean over every square of that side that lies inside, by its upper left corner."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    bands = total[side:] - total[:-side]
    mean: NDArray[np.float64] = (bands[:, side:] - bands[:, :-side]) / side**2
    return mean

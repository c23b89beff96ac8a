"""What is worth a look: the planes of a series, and the places where what was removed holds most structure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

SCANNED = 8
"""Planes of a series that are looked through, evenly spread."""
SCANNED_PIXELS = 8 << 20
REGIONS = 3
SMOOTH, AROUND = 1.5, 33
"""Pixels: noise is averaged away over the first, and its level taken over the second."""
SIDES = (32, 224)
"""Smallest and largest side of a region; a quarter of the plane between them."""
USABLE = 0.9
"""Share of a region that must be image."""

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a plane, and how much structure the residual holds there, for comparison."""

    plane: int
    top: int
    left: int
    height: int
    width: int
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
    sides = tuple(int(np.clip(min(height, width) // 4, *SIDES)) for _ in range(2))
    if min(height, width) < SIDES[0] or not residual.any():
        return []
    level = uniform_filter(np.square(residual), AROUND)
    floor = 0.1 * float(np.mean(np.square(residual)))
    share = np.square(gaussian_filter(residual, SMOOTH)) / np.maximum(level, floor)
    score = _windows_mean(share, sides)
    usable = _windows_mean(valid.astype(np.float32), sides)
    found: list[Region] = []
    score[usable < USABLE] = 0
    step = max(1, min(sides) // 8)
    score = score[::step, ::step].copy()
    while len(found) < REGIONS and score.max(initial=0) > 0:
        top, left = (int(index) for index in np.unravel_index(int(score.argmax()), score.shape))
        found.append(Region(plane, top * step, left * step, *sides, float(score[top, left])))
        near = max(sides) // step
        score[max(0, top - near) : top + near + 1, max(0, left - near) : left + near + 1] = 0
    return found


def _windows_mean(values: Plane, sides: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean over every rectangle of that size that lies inside, by its upper left corner."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    height, width = sides
    sums = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
    mean: NDArray[np.float64] = sums / (height * width)
    return mean

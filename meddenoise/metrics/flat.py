"""Noise in the flattest places of a plane, the same places before and after: its size and its spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.metrics.nps import detrend
from meddenoise.noise.blocks import usable_pixels
from meddenoise.series import Floats, Mask, Numbers

SIDES = (16, 32, 64)
"""Sides of a place, in pixels: the larger one where as many as FEWEST are as flat."""
CELL = 8
"""Places begin at multiples of this many pixels."""
MOST, FEWEST = 24, 6
"""Places that are kept, and those that it takes."""
GUIDE_PX = 2.0
"""Width of the blur that shows where an image is flat: of white noise it leaves a seventh."""
CHANCE = 2.0
"""Structure in the blurred image of nothing but noise, at most, in multiples of that in the flattest."""
EVEN = 1.75
"""Half of the places of nothing but noise have less structure than this many times the flattest."""
FLAT = 0.2
"""Of anatomy, a flat place may add this share of the noise to what the flattest have."""
NEVER = 0.5
"""Structure in the flattest places, as a share of the noise, from which these are not flat."""
DEAD = 0.25
"""A place with less noise than this share of the usual was masked or clipped: it shows nothing."""
UNEVEN = 1.5
"""Places that vary by this many times as much as the calm ones (a tenth are calmer) hold structure."""
DARK = 0.2
"""Share of the range of brightness that counts as what surrounds the patient."""


@dataclass(frozen=True, slots=True)
class Places:
    """Squares of `side` pixels of one plane, by their upper left `corners` [N, 2]."""

    side: int
    corners: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.corners)

    def cut(self, plane: Numbers) -> Floats:
        """Patches of a plane [Y, X] at these places, each without its slope: [N, side, side]."""
        view = np.lib.stride_tricks.sliding_window_view(plane, (self.side, self.side))
        return detrend(view[self.corners[:, 0], self.corners[:, 1]].astype(np.float64))


def find_places(noisy: Numbers, valid: Mask) -> Places | None:
    """The flat places of a noisy plane [Y, X], spread over it; None where there are too few.

    They go by the noisy plane and its blur only, so that they are the same for whatever was made of it. Of an
    image with a dark surrounding only the bright part counts: air has another noise than what is looked at.
    """
    if min(noisy.shape) < SIDES[-1]:
        return None
    plane = noisy.astype(np.float32)
    usable = usable_pixels(plane, valid)
    if not usable.any():
        return None
    low, high = np.quantile(plane[usable], (0.01, 0.99))
    guide = gaussian_filter(plane - low, GUIDE_PX)
    cells, dark = _Cells(usable, guide, plane - low - guide), DARK * float(high - low)
    found, ratio = None, 0.0
    for side in (side for side in SIDES if side <= min(noisy.shape)):
        squares = _bright(cells.measure(side), dark)
        if squares is None:
            break
        if side == SIDES[0]:
            ratio = _limit(np.sort(squares.ratio))
        flat = squares.index[squares.ratio <= ratio]
        if len(flat) < FEWEST:
            break
        found = Places(side, flat[np.linspace(0, len(flat) - 1, min(MOST, len(flat))).astype(int)] * CELL)
    return found


def _limit(ratios: Floats) -> float:
    """The ratio up to which places are flat, 0 where none is; `ratios` of all, in ascending order.

    Noise that is coarse by itself varies in the blur too, in some places less than in others by chance. With
    anatomy in most of them, few are as flat as the flattest.
    """
    flattest = float(np.sqrt(np.mean(np.square(ratios[:FEWEST]))))
    if flattest >= NEVER:
        return 0.0
    more = (CHANCE**2 - 1) * flattest**2
    if np.median(ratios) > EVEN * flattest:
        more = min(more, FLAT**2)
    return max(float(np.sqrt(flattest**2 + more)), float(ratios[FEWEST - 1]))


@dataclass(frozen=True, slots=True)
class _Squares:
    """Squares that are image throughout: place among the cells [N, 2], brightness, structure, noise."""

    index: NDArray[np.intp]
    level: Floats
    structure: Floats
    noise: Floats

    @property
    def ratio(self) -> Floats:
        """Structure over the usual noise: that of a place with edges counts these too."""
        return self.structure / float(np.quantile(self.noise, 0.25))


def _bright(squares: _Squares, dark: float) -> _Squares | None:
    """Those that hold noise, and of these the ones that are no surrounding; None where they are too few."""
    if len(squares.index) < FEWEST:
        return None
    bright = squares.level > dark
    kept = bright if bright.sum() >= FEWEST else np.ones_like(bright)
    kept = kept & (squares.noise > DEAD * np.quantile(squares.noise[kept], 0.25))
    size = np.hypot(squares.structure, squares.noise)
    kept &= size < UNEVEN * np.quantile(size[kept], 0.1, method="higher") if kept.any() else kept
    if kept.sum() < FEWEST:
        return None
    return _Squares(squares.index[kept], squares.level[kept], squares.structure[kept], squares.noise[kept])


class _Cells:
    """Sums over cells of CELL x CELL pixels, from which squares of any multiple are measured."""

    def __init__(self, usable: Mask, guide: Numbers, rough: Numbers) -> None:
        rows, columns = (size // CELL for size in guide.shape)
        y, x = np.mgrid[: rows * CELL, : columns * CELL].astype(np.float64)
        cut = (slice(rows * CELL), slice(columns * CELL))
        g, r = guide[cut].astype(np.float64), rough[cut].astype(np.float64)
        parts = (usable[cut].astype(np.float64), g, g * g, g * y, g * x, r * r)
        sums = np.stack([part.reshape(rows, CELL, columns, CELL).sum(axis=(1, 3)) for part in parts])
        self._total = np.zeros((len(parts), rows + 1, columns + 1))
        self._total[:, 1:, 1:] = sums.cumsum(axis=1).cumsum(axis=2)

    def measure(self, side: int) -> _Squares:
        """All squares that are `usable` throughout, overlapping by at least half."""
        n, step = side // CELL, max(1, side // CELL // 2)
        t = self._total
        boxes = t[:, n:, n:] - t[:, :-n, n:] - t[:, n:, :-n] + t[:, :-n, :-n]
        boxes = boxes[:, ::step, ::step]
        index = np.argwhere(boxes[0] >= side * side - 0.5)
        _, g, gg, gy, gx, rr = boxes[:, index[:, 0], index[:, 1]]
        index = index * step
        count, centre = side * side, index * CELL + (side - 1) / 2
        spread = count * (side * side - 1) / 12
        slopes = np.square(gy - centre[:, 0] * g) + np.square(gx - centre[:, 1] * g)
        structure = np.sqrt(np.maximum(gg - g * g / count - slopes / spread, 0) / count)
        return _Squares(index, g / count, structure, np.sqrt(np.maximum(rr, 0) / count))  # sums are rounded

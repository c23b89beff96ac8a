"""The most noise that the quietest squares of a plane leave room for: anatomy is everywhere, noise too."""

from functools import lru_cache

import numpy as np
from scipy.ndimage import correlate1d, minimum_filter

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import spectrum_of
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.spectrum import radial_frequency
from meddenoise.series import Floats, Image, Mask

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)
"""Along both axes it passes white noise with variance 1, and nothing of slopes and straight edges along them.
Source: Immerkaer 1996."""
SIDE, STEP = 16, 8
"""Of the squares, and from one to the next, in pixels."""
SHARE = 0.03
"""The share of squares that are called the quietest."""
FEWEST = 30
"""Squares it takes."""
ROOM = 1.2
"""The level over that of the quietest squares: what chance makes of noise that is the same in all."""
COARSE = 0.15
"""Share of white noise that noise must show in second differences; of coarser noise they tell nothing."""
_GRID = 64


def most_noise(noise: NoiseEstimate, plane: Image, usable: Mask) -> float:
    """The highest level that noise of this spectrum, place and signal dependence can have in a plane [Y, X].

    Where it is higher, some square has less of it than there is everywhere. Infinity where there are too few
    squares that are `usable` [Y, X], or the noise is too coarse.
    """
    gain = _gain(noise.bands)
    if gain < COARSE or noise.sigma <= 0:
        return float("inf")
    relative = sigma_map(noise, plane) / noise.sigma
    rough = correlate1d(plane.astype(np.float64), SECOND_DIFFERENCE, axis=0)
    rough = correlate1d(rough, SECOND_DIFFERENCE, axis=1) / np.maximum(relative, 1e-6)
    inside = _squares(minimum_filter(usable, 3, mode="constant").astype(np.float64)) == SIDE * SIDE
    if inside.sum() < FEWEST:
        return float("inf")
    power = float(np.quantile(_squares(rough**2)[inside], SHARE)) / SIDE**2
    return ROOM * float(np.sqrt(power)) / gain


def _squares(values: Floats) -> Floats:
    """Sums of values of at least 0 over all squares."""
    sums = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    boxes: Floats = sums[SIDE:, SIDE:] - sums[:-SIDE, SIDE:] - sums[SIDE:, :-SIDE] + sums[:-SIDE, :-SIDE]
    return np.maximum(boxes[::STEP, ::STEP], 0)  # sums are rounded


@lru_cache(maxsize=64)
def _gain(bands: tuple[float, ...]) -> float:
    """Root mean square of second differences of noise of level 1."""
    frequency = radial_frequency(_GRID, _GRID)
    power = np.square(spectrum_of(NoiseEstimate(1.0, bands))(frequency), dtype=np.float64)
    power[:, 1:-1] *= 2  # the half of the plane that `rfft2` leaves out
    passed = np.square((2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(_GRID))) / 6**0.5)
    through = passed[:, None] * passed[: power.shape[1]]
    return float(np.sqrt((power * through).sum() / power.sum()))

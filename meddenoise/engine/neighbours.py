"""Neighbouring slices: whether they may help, by where they are, what they show and the noise they share."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.io.scratch import release
from meddenoise.metrics.flat import find_places
from meddenoise.series import Image, Series, fill_holes

FEWEST = 3
MOST_APART = 4.0
"""Distance of two slices, in pixels, from which the next one shows another place."""
MOST_SHARED = 0.4
"""Correlation of the noise of two slices from which the second adds little, and what both share stays."""
PAIRS = 6
"""Pairs of slices that the correlation is measured on."""
ALIKE = 0.8
"""Correlation of what two slices show, from which they show the same place."""
CELL = 4
"""Side in pixels of the means by which slices are compared: noise averages out."""


def slices_help(series: Series) -> bool:
    """True if a slice can be denoised better with the one before and the one after.

    They must be close to each other, of known geometry, with noise that is mostly their own. Not measurable
    without flat places; then the answer is no.
    """
    rows = len(series) // series.channels
    if series.is_cine or rows < FEWEST or not series.geometry.known:
        return False
    between, *pixel = series.geometry.spacing_mm
    if not 0 < between <= MOST_APART * max(pixel):
        return False
    shared = shared_noise(series)
    return shared is not None and shared <= MOST_SHARED


def shared_noise(series: Series) -> float | None:
    """Correlation of the noise of a slice with that of the next, at the same flat places; the median of some
    pairs, None without flat places. Overlapping slices, and interpolated ones, share noise.
    """
    step = series.channels
    starts = np.arange(0, len(series) - step, step)
    chosen = starts[np.unique(np.linspace(0, len(starts) - 1, PAIRS).astype(int))]
    found = [one for n in chosen.tolist() if (one := _shared(series, n, n + step)) is not None]
    release(series.pixels)
    return float(np.median(found)) if found else None


def _shared(series: Series, first: int, second: int) -> float | None:
    valid = series.valid(first, first + 1) & series.valid(second, second + 1)
    planes = [fill_holes(series.values(n, n + 1), valid)[0] for n in (first, second)]
    places = find_places(planes[0], valid[0])
    if places is None:
        return None
    a, b = (places.cut(plane) for plane in planes)
    power = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / power if power > 0 else None


def alike(planes: Image, pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True for pairs [..., 2] of indices into `planes` [N, Y, X] that show the same place."""
    height, width = (max(1, side // CELL) for side in planes.shape[1:])
    cut = planes[:, : height * CELL, : width * CELL]
    if min(planes.shape[1:]) < CELL:
        return np.ones(pairs.shape[:-1], bool)
    means = cut.reshape(len(planes), height, CELL, width, CELL).mean(axis=(2, 4)).reshape(len(planes), -1)
    means = means - means.mean(axis=1, keepdims=True)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    first, second = pairs[..., 0], pairs[..., 1]
    same = np.sum(means[first] * means[second], axis=-1) >= ALIKE
    return np.asarray(same | (first == second), bool)

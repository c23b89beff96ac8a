"""The sixteen cells of a noise spectrum: eight radial bands, each along the rows and along the columns."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import BAND_EDGES, SPECTRUM_EDGES
from meddenoise.series import Image

CELLS = 2 * (len(SPECTRUM_EDGES) - 1)
_FINE = 512


def spectrum_cells(amplitude: Image, width: int) -> NDArray[np.float64]:
    """Amplitude in each cell [CELLS], relative to white noise of the same variance.

    `amplitude` [H, W // 2 + 1] belongs to the coefficients of `rfft2` of planes `width` wide, in any unit.
    1 everywhere where it is 0 everywhere; a cell without a coefficient has the mean amplitude.
    """
    cell, times = _grid(amplitude.shape[0], width)
    power = np.square(amplitude, dtype=np.float64) * times
    if not power.any():
        return np.ones(CELLS)
    sums = np.bincount(cell.ravel(), power.ravel(), minlength=CELLS)
    counts = np.bincount(cell.ravel(), times.ravel(), minlength=CELLS)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), power.sum() / times.sum())
    return np.asarray(np.sqrt(mean / (mean * cell_shares()).sum()))


@lru_cache
def cell_shares() -> tuple[float, ...]:
    """Part of all frequencies that is in each cell."""
    cell, times = _grid(_FINE, _FINE)
    counts = np.bincount(cell.ravel(), times.ravel(), minlength=CELLS)
    return tuple((counts / counts.sum()).tolist())


def bands_of_cells(spectrum: tuple[float, ...]) -> tuple[float, ...]:
    """`NoiseEstimate.bands` of a `NoiseEstimate.spectrum`: each band is two radial bands, both directions."""
    shares = np.asarray(cell_shares()).reshape(len(BAND_EDGES) - 1, -1)
    power = np.square(spectrum).reshape(shares.shape)
    total = float((shares * power).sum())
    return tuple(np.sqrt((shares * power).sum(axis=1) / shares.sum(axis=1) / max(total, 1e-12)).tolist())


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cell of every coefficient of `rfft2`, and how often the full spectrum has it."""
    fy, fx = np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)[None, :]
    radial = np.digitize(np.hypot(fy, fx), SPECTRUM_EDGES[1:-1])
    cell = 2 * radial + (fy > fx)
    times = np.full(cell.shape, 2.0)
    times[:, 0] = 1.0
    if width % 2 == 0:
        times[:, -1] = 1.0
    return cell, times

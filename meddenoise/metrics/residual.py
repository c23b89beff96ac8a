"""What was removed from one plane, held against the noise that is known of it; no reference is needed.

Planes are [Y, X] in one unit. `valid` is True where a pixel is image, `sigma` the map of the noise level.
Every function raises UndefinedError where it has no value.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.blind import residual_structure
from meddenoise.noise import BAND_EDGES

Plane = NDArray[np.floating]
Mask = NDArray[np.bool_]

SMALLEST = 32
"""Sides of a plane below which the lowest band holds too few frequencies to be measured."""


def std_ratio(residual: Plane, sigma: Plane, valid: Mask) -> float:
    """Standard deviation of residual / sigma, pixel by pixel: 1 when just the noise went, 0 when nothing."""
    inside = valid & (sigma > 0)
    if not inside.any():
        raise UndefinedError("no valid pixel has noise")
    return float(np.std(residual[inside].astype(np.float64) / sigma[inside]))


def gradient_correlation(clean: Plane, noisy: Plane, valid: Mask) -> float:
    """Correlation of |noisy - clean| with the gradient of `clean`: 0 when no edge went with the noise."""
    return residual_structure(clean[None], noisy[None], Protocol(mask=valid[None]))


def nps_distance(residual: Plane, sigma: Plane, bands: Sequence[float], valid: Mask) -> float:
    """Relative L1 distance between the radial power spectra of residual / sigma and of the noise.

    0 when the residual has level and spectrum of the noise, 1 when nothing was removed. `bands` are the
    noise amplitudes between BAND_EDGES relative to white noise (NoiseEstimate), as fine as its spectrum is
    known.
    """
    inside = valid & (sigma > 0)
    height, width = residual.shape
    # without the window, noise of low frequencies leaks from the borders into the quiet high bands
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]) * inside
    energy = float(np.square(window).sum())
    if min(height, width) < SMALLEST or energy <= 0:
        raise UndefinedError(f"the plane has fewer than {SMALLEST} pixels a side, or none with noise")
    relative = np.divide(residual, sigma, out=np.zeros(residual.shape), where=inside)
    power = np.square(np.abs(scipy.fft.fft2(relative * window))) / energy
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    band = np.digitize(frequency, BAND_EDGES[1:-1]).ravel()
    counts = np.bincount(band, minlength=len(bands))
    removed = np.bincount(band, power.ravel(), minlength=len(bands)) / counts
    share = counts / counts.sum()
    noise = np.square(np.asarray(bands, np.float64))
    noise /= (share * noise).sum()
    return float((share * np.abs(removed - noise)).sum())


def sure(residual: Plane, sigma: Plane, valid: Mask, kept: float) -> float:
    """Stein's unbiased estimate of the mean square error against the unknown truth, in the unit squared.

    mean(residual²) - mean(sigma²) + 2 mean(sigma²) kept, for Gaussian noise. `kept` is the share of the
    noise that the result keeps: `leak.leak` for independent noise, `leak.kept_share` of steps with the
    spectrum of the noise for correlated noise. Single images may come out below 0.

    Source: Stein 1981, Annals of Statistics 9(6); with correlated noise Eldar 2009, IEEE TSP 57(2).
    """
    if not valid.any():
        raise UndefinedError("no pixel is valid")
    power = float(np.mean(np.square(sigma[valid], dtype=np.float64)))
    return float(np.mean(np.square(residual[valid], dtype=np.float64))) - power + 2 * power * kept

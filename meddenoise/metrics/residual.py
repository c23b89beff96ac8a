"""The part removed from one plane, compared with its known noise; no reference is needed.

Planes are [Y, X] in one unit. `valid` is True where a pixel is image, `sigma` the map of the noise level.
Every function raises UndefinedError where it has no value.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.nps import difference_nps, flatness
from meddenoise.metrics.planes import NO_PIXEL, mean_of_planes, paired_planes
from meddenoise.noise import BAND_EDGES
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Mask, Numbers

SMALLEST = 32
"""Sides of a plane below which the lowest band holds too few frequencies to be measured."""


def std_ratio(residual: Numbers, sigma: Numbers, valid: Mask) -> float:
    """Standard deviation of residual / sigma, pixel by pixel: 1 when just the noise went, 0 when nothing."""
    inside = valid & (sigma > 0)
    if not inside.any():
        raise UndefinedError("no valid pixel has noise")
    return float(np.std(residual[inside].astype(np.float64) / sigma[inside]))


def gradient_correlation(clean: Numbers, noisy: Numbers, valid: Mask) -> float:
    """Correlation of |noisy - clean| with the gradient of `clean`: 0 when no edge went with the noise."""
    return residual_structure(clean[None], noisy[None], Protocol(mask=valid[None]))


def nps_distance(residual: Numbers, sigma: Numbers, bands: Sequence[float], valid: Mask) -> float:
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


def sure(residual: Numbers, sigma: Numbers, valid: Mask, kept: float) -> float:
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


def residual_ratio(result: Numbers, noisy: Numbers, protocol: Protocol) -> float:
    """Standard deviation of noisy minus result over the noise standard deviation; 1 when all noise went.

    Above 1 more than the noise was removed. Raises UndefinedError where the noise level is unknown or zero.
    """
    if protocol.sigma is None:
        raise UndefinedError("the noise level of the noisy image is not known")
    if protocol.sigma <= 0:
        raise UndefinedError("the noisy image has no noise")
    count, total, squares = 0, 0.0, 0.0
    for clean, before, mask in paired_planes(result, noisy, protocol):
        values = before[mask] - clean[mask]
        count += values.size
        total += float(values.sum())
        squares += float(np.square(values).sum())
    if count == 0:
        raise UndefinedError(NO_PIXEL)
    variance = max(squares / count - (total / count) ** 2, 0.0)
    return float(np.sqrt(variance)) / protocol.sigma


def residual_structure(result: Numbers, noisy: Numbers, protocol: Protocol) -> float:
    """Correlation of |noisy - result| with the gradient of the result, -1 to 1; 0 when no edge was removed.

    Noise that follows the signal correlates with the image, not with its edges; above about 0.3 edges went
    out with the noise. Raises UndefinedError where the residual or the gradient is constant.
    """
    moments = np.zeros(6)
    for clean, before, mask in paired_planes(result, noisy, protocol):
        if min(clean.shape) < 2:
            raise UndefinedError("an image one pixel wide has no gradient")
        size = np.abs(before[mask] - clean[mask])
        slope = np.hypot(*np.gradient(gaussian_filter(np.where(mask, clean, 0.0), 1.0)))[mask]
        products = (np.ones_like(size), size, slope, size * size, slope * slope, size * slope)
        moments += [float(values.sum()) for values in products]
    count = moments[0]
    if count == 0:
        raise UndefinedError(NO_PIXEL)
    _, a, b, aa, bb, ab = moments / count
    variances = aa - a * a, bb - b * b
    # Below this share of the mean square a variance is rounding of the moments.
    if variances[0] <= 1e-12 * aa or variances[1] <= 1e-12 * bb:
        raise UndefinedError("what was removed, or the result itself, is constant")
    return float((ab - a * b) / np.sqrt(variances[0] * variances[1]))


def residual_nps_distance(result: Numbers, noisy: Numbers, protocol: Protocol) -> float:
    """Relative distance between the power spectra of what was removed and of the noise, 0 or more.

    0 when the residual has level and spectrum of the noise, 1 when nothing was removed; mean over planes, by
    the noise that is known of each place (`residual.nps_distance`). Raises UndefinedError where the noise is
    not known, and for planes of fewer than 32 pixels a side.
    """
    noise = protocol.noise
    if noise is None or noise.sigma <= 0:
        raise UndefinedError("the noisy image has no noise, or it is not known")
    values = []
    for n, (clean, before, mask) in enumerate(paired_planes(result, noisy, protocol)):
        own = noise.plane(n)
        sigma = sigma_map(own, np.where(mask, before, 0.0).astype(np.float32))
        if min(clean.shape) >= SMALLEST and (mask & (sigma > 0)).any():
            residual = np.where(mask, before - clean, 0.0)
            values.append(nps_distance(residual, sigma, own.bands, mask))
    return mean_of_planes(values, f"no plane has {SMALLEST} pixels a side and noise")


def residual_whiteness(result: Numbers, noisy: Numbers, protocol: Protocol) -> float:
    """Flatness of the radial spectrum of what was removed: 1 for white noise, towards 0 for a pattern.

    Geometric over arithmetic mean of the power up to Nyquist. Raises UndefinedError where nothing was
    removed, or no patch of 16 pixels fits.
    """
    return flatness(difference_nps(noisy, result, protocol))

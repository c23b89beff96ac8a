"""Correlation length of noise, the blind radius that follows, and fresh noise of an estimated spectrum."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import BAND_EDGES, WHITE, NoiseEstimate
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.spectrum import Amplitude, coloured_noise, radial_frequency, white_noise
from meddenoise.series import Image

REACH = 8
"""Largest lag, in pixels, at which the autocorrelation is stated."""
LARGEST_RADIUS = 4
"""Blind radii beyond this leave too little to look at; smoother noise than that is shading."""
UNCORRELATED = 0.05
"""Correlation below which two pixels count as independent."""
PASSES_FOR_WHITE = 0.1
"""Fine anatomy makes white noise look correlated: of 25/255 on real images 0.00 to 0.06 was estimated, and
0.17 to 0.21 of the least correlated noise worth a blind box, that of a Gaussian kernel of 0.3 pixels."""

_GRID = 128
_SEAM = 16
_CENTRES = (0.0884, 0.198, 0.318, 0.5)
"""Frequencies at which the power of a band is about its mean: root mean squares, Nyquist for the last."""


def autocorrelation(noise: NoiseEstimate) -> Image:
    """R(dy, dx) / R(0) of the noise for lags up to REACH, [2 REACH + 1, 2 REACH + 1], 1 in the middle."""
    power = np.square(spectrum_of(noise)(radial_frequency(_GRID, _GRID)), dtype=np.float64)
    covariance = np.fft.fftshift(np.fft.irfft2(power, s=(_GRID, _GRID)))
    middle = slice(_GRID // 2 - REACH, _GRID // 2 + REACH + 1)
    correlation: Image = (covariance[middle, middle] / covariance.max()).astype(np.float32)
    return correlation


def blind_radius(noise: NoiseEstimate) -> int:
    """The smallest rho with |R(d) / R(0)| < UNCORRELATED for every |d|inf > rho, at most LARGEST_RADIUS.

    0 where nothing is known of the spectrum: noise is then taken as white.
    """
    correlation = np.abs(autocorrelation(_without_anatomy(noise)))
    far = np.max(np.abs(np.indices(correlation.shape) - REACH), axis=0)
    if correlation[far > 0].max() < PASSES_FOR_WHITE:
        return 0
    return min(int(far[correlation >= UNCORRELATED].max()), LARGEST_RADIUS)


def nearest_radius(rho: int, have: Iterable[int]) -> int:
    """The smallest of the radii `have` that is at least `rho`; the largest where none is."""
    radii = sorted(have)
    return next((radius for radius in radii if radius >= rho), radii[-1])


def spectrum_of(noise: NoiseEstimate) -> Amplitude:
    """Amplitude sqrt(NPS) at radial frequencies, smooth, with the mean power of every band of the estimate.

    The logarithm of the power is linear in f² between the bands, exact for Gaussian kernels. 1 everywhere
    where nothing is known.
    """
    if not any(noise.bands):
        return lambda f: np.ones_like(f)
    logs = _fitted(noise.bands)
    return lambda f: np.exp(_interpolated(np.square(f), logs) / 2).astype(np.float32)


def noise_like(noise: NoiseEstimate, plane: Image, rng: np.random.Generator) -> Image:
    """Fresh normal noise for a plane [Y, X]: the level, spectrum, place and signal dependence of `noise`."""
    return np.asarray(sigma_map(noise, plane) * unit_noise(noise, plane.shape, rng), np.float32)


def unit_noise(noise: NoiseEstimate, shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Normal noise of `shape` [..., Y, X] with the spectrum of `noise` and variance 1, not periodic."""
    if noise.bands == WHITE or not any(noise.bands):
        return white_noise(shape, rng)
    height, width = shape[-2:]
    wider = (*shape[:-2], height + _SEAM, width + _SEAM)
    return coloured_noise(wider, spectrum_of(noise), rng)[..., :height, :width]


def _without_anatomy(noise: NoiseEstimate) -> NoiseEstimate:
    """The estimate with a lowest band no further above the second than the second is above the third.

    Where noise is weak the lowest band catches anatomy; blurred noise rises less and less towards 0.
    """
    lowest, second, third, highest = noise.bands
    most = second * max(second / max(third, 1e-3), 1.0)
    return replace(noise, bands=(min(lowest, most), second, third, highest))


@lru_cache(maxsize=64)
def _fitted(bands: tuple[float, ...]) -> NDArray[np.float64]:
    """The log powers at _CENTRES that give the mean power of each band."""
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(_GRID)] * 2)).ravel()
    inside = [(f >= low) & (f < high) for low, high in pairwise(BAND_EDGES)]
    # 40 dB under the mean is silence.
    target = np.log(np.maximum(np.square(bands), 1e-4))
    logs: NDArray[np.float64] = target.copy()
    for _ in range(20):
        power = np.exp(_interpolated(f * f, logs))
        logs += target - np.log([power[ring].mean() for ring in inside])
    return logs


def _interpolated(squares: NDArray[np.floating], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log power at squared frequencies, linear between _CENTRES, going on as it rises towards 0."""
    nodes = np.square(_CENTRES)
    first = logs[0] + nodes[0] * max((logs[0] - logs[1]) / (nodes[1] - nodes[0]), 0.0)
    result: NDArray[np.float64] = np.interp(squares, [0.0, *nodes], [first, *logs])
    return result

"""The radial power spectrum of noise, averaged over the patches of many planes."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from meddenoise.noise import BAND_EDGES
from meddenoise.noise.spectrum import Amplitude, radial_frequency
from meddenoise.series import Floats, Image, Mask

PATCH = 64
"""Side of a patch: frequencies are 1 / PATCH apart."""
SMALLEST_PATCH = 16
FULL = 0.8
"""Share of a patch, under its window, that must be usable; holes count as no noise."""
REACH = 16
"""Largest lag, in pixels, that counts for the correlation length."""

_PLANE = 256


class RadialSpectrum:
    """Sums up planes of noise, all of one shape."""

    def __init__(self) -> None:
        self.side = self.patches = 0
        self._power = np.zeros(1)

    def add(self, noise: Image, usable: Mask) -> None:
        """Take in the patches of a plane [Y, X] that are usable enough."""
        self.side = _side(min(noise.shape))
        if self.side == 0:
            return
        if not self.patches:
            self._power = np.zeros(_rings(self.side)[1])
        window, ring = _window(self.side), _rings(self.side)[0]
        share = _patches(usable, self.side) @ np.square(window).ravel()
        picked = share >= FULL
        if not picked.any():
            return
        parts = _patches(np.where(usable, noise, np.float32(0)), self.side)[picked]
        waves = scipy.fft.rfft2(parts.reshape(-1, self.side, self.side) * window)
        power = (waves.real**2 + waves.imag**2) / share[picked, None, None]
        self._power += np.bincount(ring.ravel(), power.sum(axis=0).ravel(), len(self._power))
        self.patches += int(picked.sum())

    def mean(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Frequencies in cycles a pixel and power at them, mean over all frequencies 1; flat without patches.

        The lowest frequency is 1 / side of a patch: what is slower is no noise that a patch could show.
        """
        if self.patches == 0:
            return (0.0, 0.5), (1.0, 1.0)
        _, count, sizes = _rings(self.side)
        power = self._power[1:] / sizes[1:]
        power *= sizes[1:].sum() / (power * sizes[1:]).sum()
        frequency = np.arange(1, count) / self.side
        return tuple(frequency.tolist()), tuple(power.tolist())


def bands_of(amplitude: Amplitude) -> tuple[float, ...]:
    """`NoiseEstimate.bands` of noise with this amplitude."""
    axis = np.fft.fftfreq(_PLANE)
    f = np.hypot(axis[:, None], axis[None, :])
    power = np.square(amplitude(f.astype(np.float32)), dtype=np.float64)
    band = np.digitize(f, BAND_EDGES[1:-1])
    counts, sums = (np.bincount(band.ravel(), w.ravel()) for w in (np.ones_like(power), power))
    return tuple(np.sqrt(sums / counts / power.mean()).tolist())


def correlation_length(amplitude: Amplitude) -> float:
    """Pixels along a line that share their noise: the sum of its autocorrelation up to lags of REACH.

    1 for white noise, 2 sqrt(pi) k for white noise blurred with a Gaussian kernel of k pixels, less than 1
    where neighbours differ more than by chance, as in sharp CT images.
    """
    power = np.square(amplitude(radial_frequency(_PLANE, _PLANE)), dtype=np.float64)
    covariance = np.fft.irfft2(power, s=(_PLANE, _PLANE))[0]
    return float(1 + 2 * covariance[1 : REACH + 1].sum() / covariance[0])


def _side(least: int) -> int:
    """PATCH, or the largest half of it that fits; 0 where none does."""
    side = PATCH
    while side > least:
        side //= 2
    return side if side >= SMALLEST_PATCH else 0


def _patches(plane: NDArray[np.generic], side: int) -> Image:
    """Patches of a plane that overlap by half, [n, side x side]."""
    view = np.lib.stride_tricks.sliding_window_view(plane, (side, side))[:: side // 2, :: side // 2]
    return np.ascontiguousarray(view, np.float32).reshape(-1, side * side)


@lru_cache
def _window(side: int) -> Image:
    """A Hann window whose square sums up to 1: noise of a steep spectrum must not leak."""
    hann = np.hanning(side + 1)[:-1]
    window = np.outer(hann, hann)
    unit: Image = (window / np.sqrt(np.square(window).sum())).astype(np.float32)
    return unit


@lru_cache
def _rings(side: int) -> tuple[NDArray[np.intp], int, Floats]:
    """Ring of each coefficient of `rfft2`, number of rings, and coefficients of the whole plane in each."""
    ring = np.rint(radial_frequency(side, side) * side).astype(np.intp)
    count = int(ring.max()) + 1
    return ring, count, np.bincount(ring.ravel(), minlength=count).astype(np.float64)

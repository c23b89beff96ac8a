"""Variance stabilisation: a transform after which the noise has one level, and its unbiased inverse."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import chndtrix

from meddenoise.noise.rician import mean_magnitude
from meddenoise.series import Floats, Numbers


@dataclass(frozen=True, slots=True)
class Rician:
    """Magnitudes of a complex signal with noise `sigma` (one or a map) in each channel, brought to about 1.

    The transform integrates 1 / standard deviation over the mean, tabulated; its inverse maps the mean of
    the transformed values to the signal, which takes the bias out.
    Source: Foi 2011, ISBI, "Noise estimation and removal in MR imaging: the variance-stabilization approach".
    """

    sigma: float | Numbers

    def forward(self, magnitudes: Numbers) -> Numbers:
        """Stabilised values: noise of standard deviation about 1."""
        return _transform(magnitudes / self.sigma, *_tables()[1:3])

    def inverse(self, stable: Numbers) -> Numbers:
        """The signal whose stabilised magnitudes average to `stable`."""
        signal, _, _, expected = _tables()
        return self.sigma * np.interp(stable, expected, signal).astype(stable.dtype)


@cache
def _tables() -> tuple[Floats, Floats, Floats, Floats]:
    """Signal, mean magnitude, its transform, and the mean of the transform; all in units of sigma."""
    signal = np.concatenate([np.linspace(0, 8, 200), np.linspace(8.1, 2000, 4000)])
    mean, spread = signal.copy(), np.sqrt(1 - 0.5 / np.maximum(signal, 1) ** 2)
    low = signal <= 20
    mean[low] = mean_magnitude(signal[low], 1.0)
    spread[low] = np.sqrt(np.square(signal[low]) + 2 - np.square(mean[low]))
    mean[~low] += 0.5 / signal[~low]
    steps = np.diff(mean) / (0.5 * (spread[1:] + spread[:-1]))
    stable = np.concatenate([[0.0], np.cumsum(steps)])
    expected = stable.copy()
    quantiles = (np.arange(400) + 0.5) / 400
    near = np.flatnonzero(signal <= 8)
    # the square of a Rician magnitude is noncentral chi squared with two degrees of freedom
    draws = np.sqrt(chndtrix(quantiles[None], 2, np.square(signal[near, None])))
    expected[near] = _transform(draws, mean, stable).mean(axis=1)
    return signal, mean, stable, np.maximum.accumulate(expected)


def _transform(magnitudes: Numbers, mean: Floats, stable: Floats) -> Numbers:
    """`stable` at `magnitudes`, its ends carried on as straight lines."""
    first, last = stable[1] / (mean[1] - mean[0]), 1.0
    inner = np.interp(magnitudes, mean, stable)
    below, above = np.minimum(magnitudes - mean[0], 0), np.maximum(magnitudes - mean[-1], 0)
    result: Numbers = (inner + first * below + last * above).astype(magnitudes.dtype)
    return result

"""Variance stabilisation for the peers: what BM3D is told when it is told the true noise model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rice

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Anscombe:
    """Noise of variance a m + b around the mean m; the transform brings it to 1.

    Source: Makitalo and Foi 2013, IEEE TIP 22(1), with the closed-form unbiased inverse.
    """

    a: float
    b: float

    def forward(self, z: Plane) -> Plane:
        """Stabilised values: noise of standard deviation 1."""
        stable: Plane = (2 / self.a) * np.sqrt(np.maximum(self.a * z + 0.375 * self.a**2 + self.b, 0))
        return stable

    def inverse(self, d: Plane) -> Plane:
        """The mean whose stabilised values average to `d`."""
        d = np.maximum(d, 2 * np.sqrt(0.375 + self.b / self.a**2))
        root = np.sqrt(1.5)
        counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 0.125
        mean: Plane = self.a * counts - self.b / self.a
        return mean


@dataclass(frozen=True)
class SigmaMap:
    """Noise of known standard deviation at each place; the plane is divided by it."""

    sigma: Plane

    def forward(self, z: Plane) -> Plane:
        """Values in units of the noise."""
        return z / self.sigma

    def inverse(self, d: Plane) -> Plane:
        """Values in the image's units."""
        return d * self.sigma


class Rician:
    """Magnitude of a complex signal with noise `sigma` in each channel; the transform brings it to about 1.

    The transform integrates 1 / standard deviation over the mean, tabulated; its inverse maps the mean of
    the transformed values to the signal, which takes the bias out.
    Source: Foi 2011, ISBI, "Noise estimation and removal in MR imaging: the variance-stabilization approach".
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.signal = np.concatenate([np.linspace(0, 8, 400), np.linspace(8.1, 2000, 4000)])
        mean, spread = self.signal.copy(), np.sqrt(1 - 0.5 / np.maximum(self.signal, 1) ** 2)
        low = self.signal <= 20
        mean[low], spread[low] = rice.mean(self.signal[low]), rice.std(self.signal[low])
        mean[~low] += 0.5 / self.signal[~low]
        steps = np.diff(mean) / (0.5 * (spread[1:] + spread[:-1]))
        self.mean, self.table = mean, np.concatenate([[0.0], np.cumsum(steps)])
        self.slope = 1 / spread[0]
        self.expected = self._expected()

    def forward(self, z: Plane) -> Plane:
        """Stabilised values: noise of standard deviation about 1."""
        return self._transform(z / self.sigma)

    def inverse(self, d: Plane) -> Plane:
        """The signal whose stabilised magnitudes average to `d`."""
        signal: Plane = self.sigma * np.interp(d, self.expected, self.signal)
        return signal

    def _transform(self, z: Plane) -> Plane:
        stable: Plane = np.interp(z, self.mean, self.table)
        return np.where(z < self.mean[0], (z - self.mean[0]) * self.slope, stable)

    def _expected(self) -> Plane:
        """Mean of the transform at each tabulated signal, by quantiles of the distribution."""
        expected = self._transform(self.mean)
        quantiles = (np.arange(400) + 0.5) / 400
        for index in np.flatnonzero(self.signal <= 8):
            expected[index] = self._transform(rice.ppf(quantiles, self.signal[index])).mean()
        return np.maximum.accumulate(expected)

"""Variance stabilisation for the peers: what BM3D is told when it is told the true noise model."""

from dataclasses import dataclass

import numpy as np

from meddenoise.series import Floats


@dataclass(frozen=True)
class Anscombe:
    """Noise of variance a m + b around the mean m; the transform brings it to 1.

    Source: Makitalo and Foi 2013, IEEE TIP 22(1), with the closed-form unbiased inverse.
    """

    a: float
    b: float

    def forward(self, z: Floats) -> Floats:
        """Stabilised values: noise of standard deviation 1."""
        stable: Floats = (2 / self.a) * np.sqrt(np.maximum(self.a * z + 0.375 * self.a**2 + self.b, 0))
        return stable

    def inverse(self, d: Floats) -> Floats:
        """The mean whose stabilised values average to `d`."""
        d = np.maximum(d, 2 * np.sqrt(0.375 + self.b / self.a**2))
        root = np.sqrt(1.5)
        counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 0.125
        mean: Floats = self.a * counts - self.b / self.a
        return mean


@dataclass(frozen=True)
class SigmaMap:
    """Noise of known standard deviation at each place; the plane is divided by it."""

    sigma: Floats

    def forward(self, z: Floats) -> Floats:
        """Values in units of the noise."""
        return z / self.sigma

    def inverse(self, d: Floats) -> Floats:
        """Values in the image's units."""
        return d * self.sigma

"""SHELF of noise: what is known of it in one plane (`NoiseEstimate`) and in a series (`SeriesNoise`)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BAND_EDGES = (0.0, 0.125, 0.25, 0.375, 0.7072)
"""Edges of the radial frequency bands in cycles a pixel (Nyquist 0.5; corners reach 0.707)."""
SPECTRUM_EDGES = (0.0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.7072)
"""Edges of the radial bands of `NoiseEstimate.spectrum`: every band of BAND_EDGES in two."""
WHITE: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)


QUIET = 0.02
"""Smallest local variance relative to the largest: no part of an image is taken as free of noise."""
TINY = 1e-30
OUTLYING = 0.1
"""Percentage of pixels at either end whose noise is that of the others: exponentials know no bounds."""


@dataclass(frozen=True, slots=True)
class SignalVariance:
    """Noise variance as a function of the local mean m: slope m + constant (quanta and electronics), or
    exp(slope m + constant) (the same on a logarithmic scale, as radiographs are stored)."""

    slope: float
    constant: float
    exponential: bool = False

    def at(self, mean: NDArray[np.floating]) -> NDArray[np.float64]:
        """The variance where the local mean is `mean` (any shape); nowhere 0."""
        if self.exponential:
            inside = np.clip(mean, *np.percentile(mean, (OUTLYING, 100 - OUTLYING))) if mean.size else mean
            found: NDArray[np.float64] = np.exp(self.slope * inside.astype(np.float64) + self.constant)
            return found
        variance = self.slope * mean.astype(np.float64) + self.constant
        return np.maximum(variance, QUIET * max(float(variance.max(initial=0)), TINY))

    def nearest_line(self, plane: NDArray[np.floating]) -> "SignalVariance":
        """The straight line nearest to it over the values of `plane`."""
        values = np.percentile(plane[np.isfinite(plane)], np.linspace(0, 100, 101))
        if values[0] == values[-1]:
            return SignalVariance(0.0, float(self.at(values).mean()))
        slope, constant = np.polyfit(values, self.at(values), 1)
        return SignalVariance(float(slope), float(constant))

    def in_units(self, scale: float, low: float) -> "SignalVariance":
        """The same of values `scale` times as large above `low`."""
        constant = self.slope * low + self.constant
        if self.exponential:
            return replace(self, slope=self.slope / scale, constant=constant + 2 * log(scale))
        return replace(self, slope=scale * self.slope, constant=scale**2 * constant)

    def times(self, factor: float) -> "SignalVariance":
        """The same dependence of `factor` times the variance."""
        if self.exponential:
            return replace(self, constant=self.constant + log(max(factor, TINY)))
        return replace(self, slope=factor * self.slope, constant=factor * self.constant)


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """Level, spectrum and signal dependence of the noise, in the units of the image it was estimated from.

    `sigma` is the root mean square noise standard deviation over the image. `bands[k]` is the noise
    amplitude in the radial band BAND_EDGES[k] to BAND_EDGES[k + 1], relative to white noise of the same
    sigma: sqrt(mean power in the band / mean power); all 1 for white noise.
    `variance` is its dependence on the signal, None where it has none. `field` is a coarse map [H, W] of
    local sigma relative to `sigma`, laid over the whole plane (CT: the middle of the patient is noisier);
    None where it is flat.
    `given` is a map [Y, X] of the standard deviation in every pixel, which then is what counts in place of
    `variance` and `field`; `sigma` is its root mean square where it is above 0.
    `model` "rician" tells magnitude MR data, whose mean is lifted near zero.
    `spectrum` is finer than `bands` and consistent with it: the relative amplitude in each radial band of
    SPECTRUM_EDGES, first where |fx| >= |fy|, then where |fy| > |fx| (16 numbers); None where only `bands` is
    known. `uncertainty` is the relative error of `sigma` to be expected, `second` the level by another
    estimator; None where they are not known. `coils` is the level where there is signal, by the background,
    in magnitudes that several coils made.
    """

    sigma: float
    bands: tuple[float, ...] = WHITE
    variance: SignalVariance | None = None
    field: NDArray[np.float32] | None = None
    model: Literal["gaussian", "rician"] = "gaussian"
    given: NDArray[np.float32] | None = None
    spectrum: tuple[float, ...] | None = None
    uncertainty: float | None = None
    second: float | None = None
    coils: float | None = None

    def plane(self, index: int) -> "NoiseEstimate":
        """Itself: one estimate may serve every plane of a series, as `SeriesNoise` has one for each."""
        return self

    @property
    def middle(self) -> "NoiseEstimate":
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class SeriesNoise:
    """The noise of every plane of a series, in the order of its planes.

    It changes along a series: tube-current modulation and the patient's shape in CT, the first frames of a
    fluoroscopy run, the distance to the coil in MR.
    """

    planes: tuple[NoiseEstimate, ...]
    neighbours: bool | None = None
    """True if methods that take neighbouring planes get them: the same place, with noise of their own. None
    for the frames of a cine, but no slices."""

    def __len__(self) -> int:
        return len(self.planes)

    def plane(self, index: int) -> NoiseEstimate:
        """The noise of one plane."""
        return self.planes[index]

    @property
    def levels(self) -> tuple[float, ...]:
        """The level of each plane."""
        return tuple(plane.sigma for plane in self.planes)

    @property
    def sigma(self) -> float:
        """Root mean square level of the planes that have noise; 0 where none has."""
        levels = self._levels()
        return sqrt(sum(level**2 for level in levels) / len(levels)) if levels else 0.0

    def range(self) -> tuple[float, float]:
        """Lowest and highest level of the planes that have noise; (0, 0) where none has."""
        levels = self._levels()
        return (min(levels), max(levels)) if levels else (0.0, 0.0)

    @property
    def middle(self) -> NoiseEstimate:
        """The noise of the plane of middle level, to stand for all; of level 0 where none has any."""
        noisy = sorted((plane for plane in self.planes if plane.sigma > 0), key=lambda plane: plane.sigma)
        return noisy[len(noisy) // 2] if noisy else NoiseEstimate(0.0)

    def pick(self, order: Iterable[int]) -> "SeriesNoise":
        """The noise of some planes, in this order."""
        return replace(self, planes=tuple(self.planes[index] for index in order))

    def with_sigma(self, sigma: float) -> "SeriesNoise":
        """The same spectra and dependences, every plane at one level."""
        planes = (replace(plane, sigma=sigma, uncertainty=None, second=None) for plane in self.planes)
        return replace(self, planes=tuple(planes))

    def _levels(self) -> list[float]:
        return [plane.sigma for plane in self.planes if plane.sigma > 0]


Noise = NoiseEstimate | SeriesNoise
"""The noise of a series, whose planes may share one: `sigma` of them all, `middle` and `plane(index)`."""

"""The variance of noise against brightness: some levels of it, and the line through them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.series import Floats

BINS = 32
LEAST = 1e-3
"""Smallest variance relative to the largest, so that noise can be stated in units of it."""
LEAST_CHANGE = 0.05
"""Relative change over the levels under which the variance counts as constant."""


KEPT_SIGMAS = 3.0
"""Values further off are taken for something else than noise."""
KEPT_SHARE = 1 - KEPT_SIGMAS * math.exp(-(KEPT_SIGMAS**2) / 2) * math.sqrt(2 / math.pi) / math.erf(
    KEPT_SIGMAS / math.sqrt(2)
)
"""Variance of normal noise within KEPT_SIGMAS, relative to all of it."""

_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """Noise variance at rising levels of brightness, and the number of values it is from; each [n]."""

    mean: Floats
    variance: Floats
    count: Floats

    def at(self, mean: NDArray[np.floating]) -> Floats:
        """Variance at other levels, linear between, nowhere below LEAST of the largest."""
        floor = LEAST * float(self.variance.max(initial=0))
        return np.asarray(np.interp(mean, self.mean, np.maximum(self.variance, floor)))

    def mean_variance(self) -> float:
        """Mean over all values; 0 for an empty curve."""
        return float(np.average(self.variance, weights=self.count)) if self.count.sum() else 0.0

    def scaled(self, factor: float) -> "Curve":
        """The curve of noise with `factor` times the variance."""
        return replace(self, variance=self.variance * factor)

    def line(self) -> tuple[float, float]:
        """(a, b) of variance = a mean + b, every level weighted by how surely its variance is known.

        a is 0 where the variance hardly changes. It is below 0 where noise falls with brightness, as in
        images whose stored values fall with exposure; b where values begin above 0.
        """
        centre, fitted = float(np.average(self.mean, weights=self.count)), np.full_like(self.variance, 1.0)
        fitted *= self.mean_variance()
        slope, height = 0.0, self.mean_variance()
        for _ in range(8):
            weight = self.count / np.maximum(fitted, LEAST * fitted.max()) ** 2
            centre = float(np.average(self.mean, weights=weight))
            height = float(np.average(self.variance, weights=weight))
            away = self.mean - centre
            spread = float((weight * away**2).sum())
            slope = float((weight * away * self.variance).sum()) / spread if spread > 0 else 0.0
            fitted = height + slope * away
        if abs(slope) * float(np.ptp(self.mean)) < LEAST_CHANGE * height:
            return 0.0, self.mean_variance()
        return slope, height - slope * centre


def bin_edges(means: NDArray[np.floating]) -> Floats:
    """Edges of BINS levels with as many values each, fewer where the values do not differ."""
    if not means.size:
        return np.array([0.0, 1.0])
    edges = np.unique(np.quantile(means.astype(np.float64), np.linspace(0, 1, BINS + 1)))
    return edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])


def rough_curve(edges: Floats, pairs: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Curve:
    """The robust variance in each level of what `pairs` of (means, values) hold."""
    means, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
    index = np.clip(np.searchsorted(edges, means, "right") - 1, 0, len(edges) - 2)
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index, minlength=len(edges) - 1)
    parts = np.split(order, np.cumsum(counts)[:-1])
    filled = [part for part in parts if part.size]
    return Curve(
        np.array([means[part].mean(dtype=np.float64) for part in filled]),
        np.array([robust_variance(values[part]) for part in filled]),
        np.array([float(part.size) for part in filled]),
    )


def robust_variance(values: NDArray[np.floating]) -> float:
    """Variance of noise of mean 0, its far values left out and made up for; 0 where most values are 0.

    Begins at the median deviation, which whole numbers make coarse, and ends at the variance within
    KEPT_SIGMAS, which they do not.
    """
    if not values.size:
        return 0.0
    size = np.abs(values)
    sigma = float(np.median(size)) / 0.6745
    if sigma == 0:  # weak noise in whole numbers
        sigma = float(np.sqrt(np.mean(np.square(size, dtype=np.float64))))
    for _ in range(_ROUNDS):
        kept = size[size <= KEPT_SIGMAS * sigma]
        sigma = float(np.sqrt(np.mean(np.square(kept, dtype=np.float64)) / KEPT_SHARE)) if kept.size else 0.0
    return sigma**2

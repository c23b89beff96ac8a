"""Means with 95 % bootstrap intervals: whole patients are drawn, for their images are alike."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean, and the 2.5 and 97.5 percentiles of the means of resampled patients."""

    mean: float
    low: float
    high: float

    def text(self, form: str) -> str:
        """As `mean (low to high)`, each by the format `form`."""
        return f"{self.mean:{form}} ({self.low:{form}} to {self.high:{form}})"


def mean_interval(values: Sequence[float], patients: Sequence[str]) -> Interval:
    """The mean of `values`, one an image, and its interval by the patients they belong to."""
    groups = defaultdict(list)
    for value, patient in zip(values, patients, strict=True):
        groups[patient].append(value)
    sums = np.array([sum(group) for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))

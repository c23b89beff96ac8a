"""What can be said of a mean over patients, and of a difference between two methods on the same patients."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics import UndefinedError

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST = 6
"""Patients below which no signed rank test can fall under 0.05, whatever the differences."""

_AT_ONCE = 500

Floats = NDArray[np.float64]


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The interval of 95 % around the mean of values, one a patient, by 10 000 resamples of patients.

    Percentiles; the same seed gives the same interval. Raises UndefinedError for fewer than two patients.
    Source: Efron, Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    known = np.asarray(values, np.float64)
    if len(known) < 2:
        raise UndefinedError("an interval takes two patients or more")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            known[rng.integers(0, len(known), (_AT_ONCE, len(known)))].mean(axis=1)
            for _ in range(RESAMPLES // _AT_ONCE)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def signed_rank(differences: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed rank test that paired differences, one a patient, lie around 0.

    Raises UndefinedError for fewer than FEWEST patients, or where no difference is other than 0.
    """
    from scipy.stats import wilcoxon

    if len(differences) < FEWEST:
        raise UndefinedError(f"a signed rank test takes {FEWEST} patients or more")
    if not np.any(differences):
        raise UndefinedError("there is no difference")
    return float(wilcoxon(np.asarray(differences, np.float64)).pvalue)

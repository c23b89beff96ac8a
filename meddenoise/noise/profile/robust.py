"""The variance of noise among which some values are something else."""

import math

import numpy as np
from numpy.typing import NDArray

KEPT_SIGMAS = 3.0
"""Values further off are taken for something else than noise."""
KEPT_SHARE = 1 - KEPT_SIGMAS * math.exp(-(KEPT_SIGMAS**2) / 2) * math.sqrt(2 / math.pi) / math.erf(
    KEPT_SIGMAS / math.sqrt(2)
)
"""Variance of normal noise within KEPT_SIGMAS, relative to all of it."""

_ROUNDS = 6


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

"""Weighted sums of frames in which a steady scene cancels, and what a recursive filter makes of them.

A first-order recursive filter carries a part rho of the noise of each frame over to the next: frames n
apart correlate by rho^n.
"""

from functools import lru_cache
from math import comb

import numpy as np

from meddenoise.series import Floats

MOST = 0.95
"""Largest rho that differs from a scene that does not move."""


def differences(order: int) -> Floats:
    """Weights [order + 1] of the difference of that order, scaled to leave white noise its variance.

    A scene that moves evenly cancels in the second, which the first turns into what looks like noise.
    """
    weights: Floats = np.array([(-1.0) ** k * comb(order, k) for k in range(order + 1)])
    weights /= np.sqrt(np.square(weights).sum())
    return weights


def predictions(frame: int, count: int) -> tuple[Floats, Floats]:
    """Weights [count], twice: a frame minus what other frames say of it, not the same ones both times.

    Their covariance is the variance of this frame's own noise, that of the others cancels. Frames on both
    sides are taken where there are any, so that even motion cancels too; a series of two frames gives both
    the same variance.
    """
    first, second = np.zeros(count), np.zeros(count)
    first[frame] = second[frame] = 1.0
    if count == 2:
        first[1 - frame] = second[1 - frame] = -1.0
        return first / np.sqrt(2), second / np.sqrt(2)
    others = sorted((k for k in range(count) if k != frame), key=lambda k: abs(k - frame))
    if count == 3:
        first[others[0]], second[others[1]] = -1.0, -1.0
        return first, second
    if abs(others[0] - frame) == abs(others[1] - frame):
        first[others[:2]] = -0.5
    else:  # at an end: straight on from the next two
        first[others[:2]] = -2.0, 1.0
    if count > 4 and abs(others[2] - frame) == abs(others[3] - frame):
        second[others[2:4]] = -0.5
    else:
        second[others[2]] = -1.0
    return first, second


def covariance(first: Floats, second: Floats, rho: float, apart: int = 0) -> float:
    """Covariance of two weighted sums of frames with noise of variance 1, the second begun `apart` later."""
    i, j = np.arange(len(first))[:, None], np.arange(len(second))[None, :] + apart
    return float(first @ np.power(rho, np.abs(i - j)) @ second)


def lag_of(correlation: float, order: int) -> float:
    """The rho (0 to MOST) at which successive differences of that order correlate so.

    For the first order that is 1 + 2 correlation.
    """
    rhos, correlations = _table(order)
    return float(np.interp(correlation, correlations, rhos))


@lru_cache
def _table(order: int) -> tuple[Floats, Floats]:
    weights, rhos = differences(order), np.linspace(0, MOST, 200)
    ratios = [covariance(weights, weights, rho, 1) / covariance(weights, weights, rho) for rho in rhos]
    return rhos, np.array(ratios)

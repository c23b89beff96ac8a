"""How much of a distribution's spread few steps give back: few steps denoise, many re-create the noise."""

from collections.abc import Sequence
from itertools import pairwise


def contraction(sigmas: Sequence[float], spread: float) -> float:
    """gamma, the standard deviation of DDIM runs over `spread`, where the truth is N(m, spread^2).

    sigmas: falling ratios from pure noise to 0; spread: in the units of the image, > 0. A run with the exact
    network ends at m + gamma * spread * eps: near 0 for one step, 1 in the limit of many.

    Derivation: the exact estimate is m + s^2 / (s^2 + r^2) (x - m), so a step from ratio r to r' multiplies
    x - m by (s^2 + r r') / (s^2 + r^2).
    """
    gain = sigmas[0] / spread
    for ratio, lower in pairwise(sigmas):
        gain *= (spread**2 + ratio * lower) / (spread**2 + ratio**2)
    return gain

"""Recognise the background of magnitude MR images, where the noise is Rayleigh distributed."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.blocks import Blocks

RAYLEIGH_RATIO = float(np.sqrt(np.pi / (4 - np.pi)))
"""Mean over standard deviation of a Rayleigh distribution, 1.913; multi-coil backgrounds have more."""
LEAST_SHARE = 0.03
"""A background smaller than this share of the blocks is no evidence."""


def find_rayleigh(blocks: Blocks) -> float | None:
    """Sigma of the two channels of a magnitude image, from its empty background; None where there is none.

    Source: Gudbjartsson and Patz 1995, M = sigma sqrt(pi / 2) where there is no signal.
    """
    if len(blocks) == 0 or blocks.mean.min() <= 0:
        return None
    ratio = blocks.mean / np.maximum(blocks.std, 1e-6 * blocks.mean)
    like = np.abs(ratio / RAYLEIGH_RATIO - 1) < 0.15
    # Empty blocks share one low mean; an edge with the same ratio is brighter or darker.
    level = np.quantile(blocks.mean, LEAST_SHARE)
    empty = like & (blocks.mean < 1.3 * level)
    if np.count_nonzero(empty) < max(LEAST_SHARE * len(blocks) / 2, 4):
        return None
    return float(np.median(blocks.mean[empty]) / np.sqrt(np.pi / 2))


def in_signal(blocks: Blocks, sigma: float) -> NDArray[np.bool_]:
    """True for blocks bright enough for Rician noise to be Gaussian (3 sigma: its spread is within 5 %)."""
    bright: NDArray[np.bool_] = blocks.mean > 3 * sigma
    return bright

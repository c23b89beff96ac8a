"""The noise floor under anatomy: what the flattest blocks hold, corrected for being the lowest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from meddenoise.noise.blocks import Blocks, ring_areas, ring_freedom

LOW_SHARE = 0.03
"""The lower quantile read; the upper is three times as high."""
FEWEST = 6
"""A quantile needs some blocks below it."""
EXTRAPOLATE, EXTRAPOLATE_CT = 5.4, 2.2
"""Extent to which the fall from the upper to the lower quantile is continued, in e-folds of the share. Read
off a few real MR and CT images with known white noise; less in CT, chosen by hand between 0 and 5.4 on a
few slices with simulated dose, where streaks make the quantiles fall as anatomy does."""
STEEPEST = (2.5, 4.2, 6.2, 9.0)
"""Largest ratio of power between a ring and the next: Gaussian noise correlated over 1.2 pixels."""
SHARED = 0.5
"""Part of the fall common to all rings that is put down to the noise changing from place to place."""


def ring_floors(
    blocks: Blocks, modality: str = "", steepest: Sequence[float] = STEEPEST
) -> NDArray[np.float64]:
    """Noise power in each ring [rings], from two low quantiles of the blocks' powers.

    In pure noise a ring's power is Gamma distributed with known shape, so each quantile is a known multiple
    of the mean and both quantiles tell the same mean. Anatomy only adds power; where even the flattest
    blocks hold some, the quantiles still fall with the share, and that fall is continued to where blocks
    free of anatomy would be. A ring has no more than `steepest` times the power of the next.
    """
    low = float(np.clip(FEWEST / max(len(blocks), 1), LOW_SHARE, 0.2))
    shares = np.array([low, 3 * low])
    reach = EXTRAPOLATE_CT if modality == "CT" else EXTRAPOLATE
    shape = ring_freedom(blocks.size)
    expected = gammaincinv(shape, shares[:, None]) / shape
    levels = np.quantile(blocks.power.astype(np.float64), shares, axis=0) / expected
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.log(levels[1] / levels[0]) / np.log(3)
    # Chance alone makes the quantiles differ by about 1.7 / sqrt(shape x independent blocks).
    fall = np.nan_to_num(fall - 0.85 / np.sqrt(shape * max(blocks.independent, 1)))
    fall = np.clip(fall - SHARED * max(float(fall[1:].min()), 0), 0, 0.6)
    floors: NDArray[np.float64] = levels[0] * np.exp(-reach * fall)
    for ring, most in reversed(list(enumerate(steepest))):
        floors[ring] = min(floors[ring], floors[ring + 1] * most)
    return floors


def total_variance(floors: NDArray[np.float64], first: int = 0) -> float:
    """Noise variance summed over the rings from `first` on."""
    return float((floors * ring_areas())[first:].sum())


def estimate_tiny(planes: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Sigma of planes [N, Y, X] too small for blocks, as if the noise were white; 0 below 3 x 3 pixels.

    Source: Immerkaer 1996, with the median in place of the mean.
    """
    if planes.size == 0 or min(planes.shape[1:]) < 3:
        return 0.0
    mask = np.lib.stride_tricks.sliding_window_view(valid, (3, 3), axis=(1, 2)).all(axis=(3, 4))
    windows = np.lib.stride_tricks.sliding_window_view(planes, (3, 3), axis=(1, 2))[mask]
    kernel = np.outer((1, -2, 1), (1, -2, 1)) / 6
    rest = np.abs((windows * kernel).sum(axis=(1, 2)))
    return float(np.median(rest) / 0.6745) if rest.size else 0.0

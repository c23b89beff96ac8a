"""The noise floor under anatomy: what the flattest blocks hold, corrected for being the lowest."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from meddenoise.noise.blocks import Blocks, ring_areas, ring_freedom

LOW_SHARE = 0.05
"""The quantile read: on real anatomy at least this share of 32 x 32 blocks is flat to within the noise."""
FEWEST = 8
"""A quantile needs some blocks below it."""


def ring_floors(blocks: Blocks) -> NDArray[np.float64]:
    """Noise power in each ring [rings], from the low quantile of the blocks' powers.

    In pure noise a ring's power is Gamma distributed with known shape, so its quantile is a known multiple
    of its mean; anatomy only adds power, and the low quantile hardly sees it.
    """
    share = float(np.clip(FEWEST / max(len(blocks), 1), LOW_SHARE, 0.3))
    shape = ring_freedom(blocks.size)
    expected = gammaincinv(shape, share) / shape
    floors: NDArray[np.float64] = np.quantile(blocks.power.astype(np.float64), share, axis=0) / expected
    return floors


def total_variance(floors: NDArray[np.float64], first: int = 0) -> float:
    """Noise variance summed over the rings from `first` on."""
    return float((floors * ring_areas())[first:].sum())

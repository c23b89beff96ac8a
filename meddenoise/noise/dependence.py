"""How the noise follows the signal: floors of blocks of like brightness, and a line through them."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.blocks import Blocks
from meddenoise.noise.floor import ring_floors, total_variance

MOST_BINS = 8
BLOCKS_A_BIN = 60
"""Fewer give no steady quantile."""
LEAST_CHANGE = 1.6
"""Ratio of variances over the brightness range below which noise counts as independent of the signal."""
QUIET = 0.6
"""A darkest part with less than this share of the noise elsewhere was masked or filtered by the scanner."""


def brightness_bins(blocks: Blocks) -> list[NDArray[np.intp]]:
    """Block indices in groups of like count, from dark to bright."""
    count = int(np.clip(len(blocks) // BLOCKS_A_BIN, 1, MOST_BINS))
    return np.array_split(np.argsort(blocks.mean, kind="stable"), count)


def bin_floors(blocks: Blocks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean brightness and noise variance (without the lowest ring, where anatomy lies) of each bin."""
    bins = [blocks.pick(index) for index in brightness_bins(blocks)]
    means = np.array([np.median(part.mean) for part in bins], np.float64)
    return means, np.array([total_variance(ring_floors(part), first=1) for part in bins])


def fit_variance(blocks: Blocks) -> tuple[float, float] | None:
    """(a, b) of variance = a m + b up to a factor; None where noise does not follow the signal."""
    means, floors = bin_floors(blocks)
    if len(means) < 3 or floors.max() <= 0 or np.ptp(means) == 0:
        return None
    weight = 1 / np.maximum(floors, 0.02 * floors.max())
    for _ in range(5):
        a, b = (float(c) for c in np.polyfit(means, floors, 1, w=weight))
        line = np.maximum(a * means + b, 0.02 * floors.max())
        # Anatomy lifts floors, nothing lowers them: distrust what lies above the line.
        above = np.maximum(floors / line - 1, 0)
        weight = 1 / line / (1 + (above / 0.25) ** 2)
    flat = np.std(np.log(np.maximum(floors, 1e-12) / np.median(floors)))
    off = np.std(np.log(np.maximum(floors, 1e-12) / line))
    if line.max() < LEAST_CHANGE * line.min() or off > 0.6 * flat:
        return None
    return a, b

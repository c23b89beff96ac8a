"""Noise of a cine from the differences of its frames, where nothing but noise changes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.blocks import Blocks, join_blocks, measure_blocks, usable_pixels

LAGS = (1, 2, 4)
"""Frames between the two of a difference: a recursive filter of the machine makes near frames alike."""
PAIRS = 4
"""Differences looked at for each lag, evenly spread."""

Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]


def difference_blocks(planes: Planes, valid: Mask, size: int) -> Iterator[Blocks]:
    """For each lag the blocks of differences over sqrt(2), with the mean brightness of the two frames."""
    for lag in LAGS:
        if lag >= len(planes):
            return
        starts = np.unique(np.linspace(0, len(planes) - 1 - lag, PAIRS).astype(int))
        yield join_blocks([_pair(planes, valid, (start, start + lag), size) for start in starts])


def _pair(planes: Planes, valid: Mask, frames: tuple[int, int], size: int) -> Blocks:
    first, second = (planes[i].astype(np.float32) for i in frames)
    usable = usable_pixels(first, valid[frames[0]]) & usable_pixels(second, valid[frames[1]])
    change = np.where(usable, (second - first) * np.float32(np.sqrt(0.5)), np.float32(0))
    brightness = measure_blocks(np.where(usable, (first + second) / 2, np.float32(0)), usable, size)
    return replace(measure_blocks(change, usable, size), mean=brightness.mean)

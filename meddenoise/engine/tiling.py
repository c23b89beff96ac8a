"""Tiles of a plane: where they lie, how they blend, and the plane put together again.

Knows nothing of networks. Blend weights are separable (rows times columns) and sum to one at every pixel,
so a plane cut and stitched unchanged comes back as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, pi

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import UsageError


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Equal tiles over one plane: `size` (height, width), top left corners along each axis, blend weights.

    Tile i lies at `corners[i]`, rows growing slowest; every tile of a plan has the same size.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    corners: tuple[tuple[int, int], ...]
    windows: tuple[NDArray[np.float32], ...]
    """One blend window [height, width] a tile; over any pixel the windows of all tiles sum to one."""

    def __len__(self) -> int:
        return len(self.corners)


def plan_tiles(shape: tuple[int, int], tile: int, overlap: int) -> TilePlan:
    """Tiles of at most `tile` x `tile` pixels over a plane of `shape`, overlapping by at least `overlap`.

    A plane smaller than a tile along an axis gets one tile as long as the plane there. Tiles are spread
    evenly, so the last is not narrower than the others.

    Raises UsageError where tile and overlap do not fit each other.

    >>> plan = plan_tiles((200, 300), tile=128, overlap=32)
    >>> len(plan.windows)
    6
    """
    if tile < 1:
        raise UsageError(f"--tile is {tile}: give a size of at least 1 pixel.")
    if not 0 <= overlap < tile:
        raise UsageError(f"--overlap is {overlap} with tiles of {tile}: give 0 to {tile - 1} pixels.")
    rows, row_weights = _plan_axis(shape[0], tile, overlap)
    columns, column_weights = _plan_axis(shape[1], tile, overlap)
    return TilePlan(
        shape=shape,
        size=(min(tile, shape[0]), min(tile, shape[1])),
        corners=tuple(product(rows, columns)),
        windows=tuple(np.outer(y, x) for y, x in product(row_weights, column_weights)),
    )


def cut(plane: NDArray[np.float32], plan: TilePlan, index: int) -> NDArray[np.float32]:
    """Tile `index` of a plane [..., Y, X] as a view [..., height, width]."""
    (y, x), (height, width) = plan.corners[index], plan.size
    return plane[..., y : y + height, x : x + width]


def stitch(tiles: Sequence[NDArray[np.float32]], plan: TilePlan) -> NDArray[np.float32]:
    """The plane [Y, X] of all tiles of a plan, blended where they overlap."""
    if len(plan) == 1:
        return tiles[0]
    plane = np.zeros(plan.shape, np.float32)
    for index, (tile, window) in enumerate(zip(tiles, plan.windows, strict=True)):
        cut(plane, plan, index)[...] += tile * window
    return plane


def _plan_axis(length: int, tile: int, overlap: int) -> tuple[list[int], list[NDArray[np.float32]]]:
    """Starts of the tiles along one axis and the blend weights of each."""
    size = min(tile, length)
    count = 1 if length <= tile else ceil((length - overlap) / (tile - overlap))
    starts = [round(start) for start in np.linspace(0, length - size, count)]
    total = np.zeros(length)
    ramps = []
    for index, start in enumerate(starts):
        before = size - (start - starts[index - 1]) if index else 0
        after = size - (starts[index + 1] - start) if index + 1 < count else 0
        ramps.append(_ramp(size, before) * _ramp(size, after)[::-1])
        total[start : start + size] += ramps[-1]
    weights = [
        (ramp / total[start : start + size]).astype(np.float32)
        for start, ramp in zip(starts, ramps, strict=True)
    ]
    return starts, weights


def _ramp(size: int, length: int) -> NDArray[np.float64]:
    """Ones with a raised-cosine rise over the first `length` samples, never zero; [size]."""
    window = np.ones(size)
    length = min(length, size)
    window[:length] = np.sin(pi / 2 * (np.arange(length) + 0.5) / max(length, 1)) ** 2
    return window

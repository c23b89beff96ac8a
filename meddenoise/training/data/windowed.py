"""Clean planes in one window of values, as [-1, 1], and the patches drawn or cut from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from meddenoise.errors import TrainingError
from meddenoise.series import Image
from meddenoise.training import TrainingSet
from meddenoise.training.data import draw_shares, turn
from meddenoise.training.data.corrupt import draw_plain
from meddenoise.training.data.load import halved, walk
from meddenoise.training.recipe import DataRow

FILLED = 0.5
"""Share of a patch that must lie inside the window, as in OrganAMNIST: the rest is air, lung or metal."""
HALVED = 0.25
"""Share of patches drawn at half the resolution."""
TRIES = 6


@dataclass(frozen=True, slots=True)
class WindowedPlane:
    """One clean plane in [-1, 1], the recipe's data row it is of, and its file in the data folder."""

    plane: Image
    source: str
    group: str
    content: int = 0
    """As of `load.FoundImages`; 0 where it is drawn."""


Sides = tuple[list[WindowedPlane], list[WindowedPlane]]
"""Planes to train on, and planes of other patients to validate on."""


def load_windowed(
    images: TrainingSet,
    rows: Sequence[DataRow],
    window: tuple[float, float],
    patch: int,
    progress: Callable[[int, int], None],
) -> Sides:
    """Both sides of the split of a data folder; folders, split and `progress` as of `load_images`.

    Raises TrainingError where a folder is missing, a side is empty, or a row has a window of its own;
    NothingReadableError where a folder holds no image.
    """
    if any(row.range or row.low for row in rows):
        raise TrainingError(
            "this method knows one window for all images: give it in [score], not in [[data]]."
        )
    training: list[WindowedPlane] = []
    validation: list[WindowedPlane] = []
    low, high = window
    for item in walk(images, rows, progress):
        volume = item.series.values(0, len(item.series))[:: item.series.channels]
        for plane in np.clip(np.nan_to_num(2 * (volume - low) / (high - low) - 1, nan=-1.0), -1, 1):
            if min(plane.shape) >= patch and _is_filled(plane, 0.0):
                side = validation if item.held_out else training
                place = item.row.folder, item.group
                side.append(WindowedPlane(plane.astype(np.float32), *place, item.content))
    if not training and not validation:
        raise TrainingError(
            f"{images.folder} gives no image of {patch} x {patch} pixels with values from {low:g} to "
            f"{high:g}: add larger images, or set another window in the recipe."
        )
    if not training or not validation:
        empty, other = ("validation", "training") if training else ("training", "validation")
        raise TrainingError(
            f"{images.folder} gives no {empty} image: the split puts every patient whose images can be used "
            f"into {other}; add images of more patients, or choose with --val."
        )
    return training, validation


class PatchDraws:
    """Random patches of planes, turned and mirrored, some at half the resolution; of (seed, step) alone."""

    def __init__(
        self,
        planes: Sequence[WindowedPlane],
        weights: dict[str, float],
        patch: int,
        seed: int,
        plain: float = 0.0,
    ) -> None:
        """`plain`: share of patches that are drawn by `draw_plain`."""
        self.planes, self.patch, self.seed, self.plain = planes, patch, seed, plain
        self.shares = np.cumsum(draw_shares([(plane.source, plane.group) for plane in planes], weights))

    def batch(self, step: int, size: int) -> torch.Tensor:
        """The `size` patches of training step `step`, [B, 1, patch, patch] in [-1, 1]."""
        rng = np.random.default_rng((self.seed, step))
        return torch.from_numpy(np.stack([self._draw(rng) for _ in range(size)]))[:, None]

    def _draw(self, rng: np.random.Generator) -> Image:
        """A patch, inside the window for the most part if one of `TRIES` is."""
        if self.plain and rng.random() < self.plain:
            return np.clip(draw_plain(self.patch, rng)[0], -1, 1)
        for _ in range(TRIES):
            plane = self.planes[int(np.searchsorted(self.shares, rng.random() * self.shares[-1]))].plane
            reduced = rng.random() < HALVED and min(plane.shape) >= 2 * self.patch
            side = self.patch * (2 if reduced else 1)
            y, x = (int(rng.integers(length - side + 1)) for length in plane.shape)
            patch = plane[y : y + side, x : x + side]
            patch = halved(patch) if reduced else patch
            if _is_filled(patch, FILLED):
                break
        return turn(patch, int(rng.integers(4)), rng.random() < 0.5)


def cut_patches(plane: Image, side: int) -> Iterator[Image]:
    """The patches of a grid over a plane, side by side, that lie inside the window for the most part."""
    for y in range(0, plane.shape[0] - side + 1, side):
        for x in range(0, plane.shape[1] - side + 1, side):
            patch = plane[y : y + side, x : x + side]
            if _is_filled(patch, FILLED):
                yield patch


def _is_filled(patch: Image, share: float) -> bool:
    return float(np.mean(np.abs(patch) < 1)) > share

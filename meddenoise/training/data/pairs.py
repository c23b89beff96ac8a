"""Training data of conditional diffusion: clean patches and their conditions, in network units."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name

import numpy as np
import torch
from torch import Tensor

from meddenoise.methods.conditional import Condition
from meddenoise.series import Image
from meddenoise.training.data import NAMES, PatchSource, TrainingImage, middle
from meddenoise.training.data.corrupt import PLAIN, draw_plain
from meddenoise.training.data.frames import TYPICAL, FrameSource, degrade_frames, draw_frames, tell_frames
from meddenoise.training.data.motion import MARGIN
from meddenoise.training.loop import LoopOptions, Share
from meddenoise.training.recipe import Recipe
from meddenoise.training.table import TrainingRow, find_row

VALIDATION_CROP = 128
VALIDATION_PER_SOURCE = 4
RANGE = 255.0

Degrade = Callable[[Image, np.random.Generator, float, str], Image]
"""The condition [C, H, W] of a clean patch [H, W] with own noise of that level, of that modality."""


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """Clean patches [B, 1, H, W] and their condition, in network units; `counts`: 1 where the loss counts."""

    clean: Tensor
    condition: Condition
    counts: Tensor


Case = tuple[str, TrainingPair]
"""A modality and a pair of one patch."""
Draw = Callable[[np.random.Generator], tuple[Image, Image]]
"""A clean patch [H, W] and the channels of its condition [C, H, W], in network units."""


class PairSource:
    """Random patches with their degraded versions; a batch is a function of (seed, step) alone."""

    def __init__(self, recipe: Recipe, images: list[TrainingImage], options: LoopOptions) -> None:
        weights = {row.source: row.weight for row in recipe.data}
        self.seed, self.row = options.seed, find_row(recipe.method)
        place = (images, weights, recipe.noise, options.patch, options.seed)
        self.draw = (
            _frames(FrameSource(*place)) if self.row.frames else _patches(self.row, PatchSource(*place))
        )

    def batch(self, step: int, size: int, share: Share) -> TrainingPair:
        """This share of the `size` patches of training step `step`."""
        rng = np.random.default_rng((self.seed, step))
        drawn = [self.draw(rng) for _ in range(size)][share.index :: share.count]
        clean, channels = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return _to_pair(self.row, clean, channels, share.device)


def validation_pairs(method: str, images: Sequence[TrainingImage]) -> list[Case]:
    """Middle crops of a few images of each source, degraded the same way at every validation."""
    row, rng, taken = find_row(method), np.random.default_rng(0), defaultdict[str, int](int)
    pairs = []
    for image in images:
        taken[image.source] += 1
        if taken[image.source] <= VALIDATION_PER_SOURCE:
            clean, channels = _middle(row, image, rng)
            pair = _to_pair(row, clean[None], channels[None], torch.device("cpu"))
            pairs.append((NAMES.get(image.modality, image.modality), pair))
    return pairs


def _to_pair(row: TrainingRow, clean: Image, channels: Image, device: torch.device) -> TrainingPair:
    """Clean patches [B, H, W] and the channels of their conditions [B, C, H, W] as tensors."""
    told = torch.from_numpy(channels).to(device)
    image = torch.from_numpy(clean)[:, None].to(device)
    if not row.holes:
        return TrainingPair(image, Condition(told), torch.ones_like(image))
    return TrainingPair(image, Condition(told, known=1 - told[:, 1:]), told[:, 1:])


def _patches(row: TrainingRow, patches: PatchSource) -> Draw:
    degrade: Degrade = resolve_name(row.degrade)

    def draw(rng: np.random.Generator) -> tuple[Image, Image]:
        image, patch, _ = patches.draw_patch(rng)
        chosen, own = scaled(patch), 2 * image.own.sigma / RANGE
        if rng.random() < PLAIN:
            chosen, own = draw_plain(len(patch), rng)
        return chosen, degrade(chosen, rng, own, image.modality)

    return draw


def _frames(frames: FrameSource) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Image, Image]:
        noisy, clean = frames.draw(rng)
        return scaled(clean), tell_frames(noisy)

    return draw


def _middle(row: TrainingRow, image: TrainingImage, rng: np.random.Generator) -> tuple[Image, Image]:
    if row.frames and image.run is not None:
        frames = middle(image.run, VALIDATION_CROP)
        noisy = degrade_frames(frames, image.own, TYPICAL, rng, image.device)
        return scaled(frames[1]), tell_frames(noisy)
    if row.frames:
        crop = middle(image.plane, VALIDATION_CROP + 2 * MARGIN)
        layers = crop, np.ascontiguousarray(crop[::-1])
        noisy, clean = draw_frames(layers, image.own, TYPICAL, rng, image.device)
        return scaled(clean), tell_frames(noisy)
    clean = scaled(middle(image.plane, VALIDATION_CROP))
    degrade: Degrade = resolve_name(row.degrade)
    return clean, degrade(clean, rng, 2 * image.own.sigma / RANGE, image.modality)


def scaled(plane: Image) -> Image:
    """Values of 0 to 255 in network units."""
    return (plane * np.float32(2 / RANGE) - 1).astype(np.float32)

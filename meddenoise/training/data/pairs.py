"""Training data of conditional diffusion: clean patches and their conditions, in network units."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from meddenoise.methods.conditional import Condition
from meddenoise.noise import WHITE
from meddenoise.series import Image
from meddenoise.training.data import NAMES, PatchSource, TrainingImage, middle
from meddenoise.training.data.corrupt import PLAIN, degrade_coarse, degrade_holed, degrade_noisy, draw_plain
from meddenoise.training.data.frames import TYPICAL, FrameSource, degrade_frames, draw_frames, tell_frames
from meddenoise.training.data.motion import MARGIN
from meddenoise.training.loop import LoopOptions, Share
from meddenoise.training.recipe import Recipe

BEFOI = "befoi"
VALIDATION_CROP = 128
VALIDATION_PER_SOURCE = 4
RANGE = 255.0

Degrade = Callable[[Image, float, np.random.Generator, str], Image]
"""The condition [C, H, W] of a clean patch [H, W] with own noise of that level, of that modality."""
DEGRADE: dict[str, Degrade] = {
    "medcdiff": degrade_noisy,
    "medcdiff-upscale": lambda clean, own, rng, modality: degrade_coarse(clean, rng),
    "medcdiff-inpaint": lambda clean, own, rng, modality: degrade_holed(clean, rng),
}
"""The degradation of each task of Med-cDiff, by the name its checkpoint has as a method."""


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
        self.seed, self.method = options.seed, recipe.method
        place = (images, weights, recipe.noise, options.patch, options.seed)
        if recipe.method == BEFOI:
            self.draw: Draw = _frames(FrameSource(*place))
        else:
            self.draw = _patches(PatchSource(*place), DEGRADE[recipe.method])

    @property
    def channels(self) -> int:
        """Of the condition."""
        return count_channels(self.method)

    def batch(self, step: int, size: int, share: Share) -> TrainingPair:
        """This share of the `size` patches of training step `step`."""
        rng = np.random.default_rng((self.seed, step))
        drawn = [self.draw(rng) for _ in range(size)][share.index :: share.count]
        clean, channels = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return to_pair(self.method, clean, channels, share.device)


def count_channels(method: str) -> int:
    """Of the condition: the noisy frame, its neighbours and its noise for BeFOI, a noisy image with the level
    and the bands of its noise, else an image and a map."""
    return {BEFOI: 4, "medcdiff": 2 + len(WHITE)}.get(method, 2)


def validation_pairs(method: str, images: Sequence[TrainingImage]) -> list[Case]:
    """Middle crops of a few images of each source, degraded the same way at every validation."""
    rng, taken = np.random.default_rng(0), defaultdict[str, int](int)
    pairs = []
    for image in images:
        taken[image.source] += 1
        if taken[image.source] <= VALIDATION_PER_SOURCE:
            clean, channels = _middle(method, image, rng)
            pair = to_pair(method, clean[None], channels[None], torch.device("cpu"))
            pairs.append((NAMES.get(image.modality, image.modality), pair))
    return pairs


def to_pair(method: str, clean: Image, channels: Image, device: torch.device) -> TrainingPair:
    """Clean patches [B, H, W] and the channels of their conditions [B, C, H, W] as tensors."""
    told = torch.from_numpy(channels).to(device)
    image = torch.from_numpy(clean)[:, None].to(device)
    if method != "medcdiff-inpaint":
        return TrainingPair(image, Condition(told), torch.ones_like(image))
    return TrainingPair(image, Condition(told, known=1 - told[:, 1:]), told[:, 1:])


def _patches(patches: PatchSource, degrade: Degrade) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Image, Image]:
        image, patch, _ = patches.draw_patch(rng)
        chosen, own = scaled(patch), 2 * image.own.sigma / RANGE
        if rng.random() < PLAIN:
            chosen, own = draw_plain(len(patch), rng)
        return chosen, degrade(chosen, own, rng, image.modality)

    return draw


def _frames(frames: FrameSource) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Image, Image]:
        noisy, clean = frames.draw(rng)
        return scaled(clean), tell_frames(noisy)

    return draw


def _middle(method: str, image: TrainingImage, rng: np.random.Generator) -> tuple[Image, Image]:
    if method == BEFOI and image.run is not None:
        frames = middle(image.run, VALIDATION_CROP)
        noisy = degrade_frames(frames, image.own, TYPICAL, rng, image.device)
        return scaled(frames[1]), tell_frames(noisy)
    if method == BEFOI:
        crop = middle(image.plane, VALIDATION_CROP + 2 * MARGIN)
        layers = crop, np.ascontiguousarray(crop[::-1])
        noisy, clean = draw_frames(layers, image.own, TYPICAL, rng, image.device)
        return scaled(clean), tell_frames(noisy)
    clean = scaled(middle(image.plane, VALIDATION_CROP))
    return clean, DEGRADE[method](clean, 2 * image.own.sigma / RANGE, rng, image.modality)


def scaled(plane: Image) -> Image:
    """Values of 0 to 255 in network units."""
    return (plane * np.float32(2 / RANGE) - 1).astype(np.float32)

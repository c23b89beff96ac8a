"""Noisy slices with their neighbours, for networks that see three: good neighbours, bad ones, and none."""

import numpy as np
import torch
from torch.nn import functional

from meddenoise.series import Image
from meddenoise.training.data import Batch, PatchSource, TrainingImage, to_batch
from meddenoise.training.data.degradation import EXACT, Degraded, blank, degrade, degrade_like, pair
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.motion import warp
from meddenoise.training.spectra import KSpaceWindow, Scan

SHARED, MOST_SHARED = 0.5, 0.7
"""Share of volumes whose slices share noise with the next (overlapping or interpolated slices), and the
most they share."""
ELSEWHERE = 0.12
"""Share of neighbours that show another place: a gap, a hole, another contrast."""
ALONE, ONE_SIDED = 0.3, 0.1
"""Shares of slices that come three times, as a single one does, and of first or last ones."""
SHIFT, BEND = 0.8, 1.2
"""Means in pixels of how far a slice's structures move to the next: all of them, and each by itself."""
CHANGES = 0.5
"""Share of single images whose made neighbours show something else in some places."""
KNOTS = 5


class SliceSource:
    """Random slices with the one before and the one after, noisy, of (seed, step) only."""

    def __init__(
        self, images: list[TrainingImage], weights: dict[str, float], mix: NoiseMix, side: int, seed: int
    ) -> None:
        """`side` of the patches. Raises TrainingError if no image is as large as a patch."""
        self.patches = PatchSource(images, weights, mix, side, seed, runs=True)
        self.mix, self.seed = mix, seed

    def batch(self, step: int, size: int) -> Batch:
        """The `size` patches of training step `step`; the same step always gives the same batch."""
        rng = np.random.default_rng((self.seed, step))
        return to_batch([self.draw(rng) for _ in range(size)])

    def draw(self, rng: np.random.Generator) -> tuple[Degraded, Image]:
        """Three noisy slices [3, side, side] in 0..255, and the clean middle one."""
        image, patch, noise = self.patches.draw_patch(rng)
        magnitude = image.modality == "MR"
        if noise is not None:
            made = pair(patch, noise, image.own, magnitude, self.mix, rng)
            return _thrice(made), patch
        other = self.patches.draw_patch(rng)[1]
        clean = draw_neighbours(patch, other if other.ndim == 2 else other[1], rng)
        if image.like is not None:
            made = degrade_like(clean[1], image.like, magnitude, self.mix, rng)
            return _thrice(made), clean[1]
        exact, window = image.own.sigma < EXACT, None
        if exact and magnitude and clean.min() >= 0 and rng.random() < self.mix.windowed:
            window = KSpaceWindow.draw(rng)
            clean = window.scan(clean)
        clean, sigma = self.patches.spotted(clean, image, rng)
        rho = float(rng.uniform(0, MOST_SHARED)) if rng.random() < SHARED else 0.0
        made = degrade(clean, image.own, image.modality, self.mix, rng, Scan(window, rho, sigma))
        noisy, truth = _without_some(made, rng), clean[1]
        if exact and rng.random() < self.mix.blanked:
            return blank(noisy, truth, rng)
        return noisy, truth


def draw_neighbours(patch: Image, other: Image, rng: np.random.Generator) -> Image:
    """Slices [3, H, W] with the middle of `patch` in the middle.

    A patch of three slices keeps its neighbours; a single one [H, W] gets its own structures, moved and
    changed. Now and then a neighbour shows `other` [H, W] instead.
    """
    slices = patch[:: int(rng.choice((-1, 1)))].copy() if patch.ndim == 3 else made_slices(patch, other, rng)
    for side in (0, 2):
        if rng.random() < ELSEWHERE:
            slices[side] = other
    return slices


def made_slices(patch: Image, other: Image, rng: np.random.Generator) -> Image:
    """Neighbours of a single slice: what it shows goes on through them, bent, and parts of `other` begin."""
    size = patch.shape[-1]
    knots = rng.normal(0, rng.exponential(BEND), (1, 2, KNOTS, KNOTS))
    angle, shift = rng.uniform(0, 2 * np.pi), rng.exponential(SHIFT)
    knots += shift * np.array([np.cos(angle), np.sin(angle)])[None, :, None, None]
    field = functional.interpolate(
        torch.from_numpy(knots).float(), patch.shape, mode="bicubic", align_corners=True
    )[0].clamp(-size / 8, size / 8)
    slices = np.stack([warp(patch, -field), patch, warp(patch, float(rng.uniform(0.5, 1.5)) * field)])
    if rng.random() < CHANGES:
        for side in (0, 2):
            mask = _blobs(patch.shape, rng)
            slices[side] += mask * (other - slices[side])
    return slices


def _blobs(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A mask of 0 to 1: 1 in some places of a random size."""
    cells = int(rng.integers(3, 12))
    field = torch.from_numpy(rng.standard_normal((1, 1, cells, cells))).float()
    smooth = functional.interpolate(field, shape, mode="bicubic", align_corners=True)[0, 0]
    mask: Image = ((smooth - float(rng.uniform(0.5, 1.5))) * 4).clamp(0, 1).numpy()
    return mask


def _without_some(made: Degraded, rng: np.random.Generator) -> Degraded:
    """The slices as a method gets them: where there is no neighbour, the slice itself stands in for it."""
    drawn = rng.random()
    if drawn < ALONE:
        return _thrice(made)
    if drawn < ALONE + ONE_SIDED:
        noisy = made.noisy.copy()
        noisy[int(rng.choice((0, 2)))] = noisy[1]
        return made.with_noisy(noisy)
    return made


def _thrice(made: Degraded) -> Degraded:
    own = made.noisy if made.noisy.ndim == 2 else made.noisy[1]
    return made.with_noisy(np.repeat(own[None], 3, axis=0))

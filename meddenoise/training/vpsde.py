"""Training task of `vpsde`: prediction of the noise in clean patches with noise of any level."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from meddenoise.diffusion.schedules import cosine_levels, cosine_time
from meddenoise.errors import TrainingError
from meddenoise.methods.score import ScoreModel
from meddenoise.networks import build
from meddenoise.networks.vpsde_unet import VpsdeUNet
from meddenoise.training.data.windowed import PatchDraws, Sides, WindowedPlane, cut_patches
from meddenoise.training.described import describe_checkpoint
from meddenoise.training.digest import describe, name_images
from meddenoise.training.loop import Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import Checkpoint, load_state, save_checkpoint

VALIDATION_SIGMAS = (0.03, 0.1, 0.3)
"""Of [-1, 1]; 0.3 is the slides'."""
VALIDATION_PATCHES = 256
CLEAN_LIMIT = 1.5
WEAK = (0.0065, 1.0)
"""Ratios of noise to signal, of [-1, 1], that count as weak noise; the first is that of time 0."""
MATCHED = 0.5
"""Share of patches of a `plus` network whose noisy image is the state itself, as in one evaluation."""


class ScoreTask:
    """Prediction of the noise at all levels, as `training.loop.TrainingTask`.

    Source of the loss: Chaurasia (slides): the squared error, plus a weighted distance of the Fourier
    amplitudes of the estimated image from the true ones.
    """

    def __init__(self, recipe: Recipe, images: Sides, start: Checkpoint | None = None) -> None:
        self.recipe, self.options, self.start = recipe, recipe.score, start
        self.plus = bool(recipe.network_options.get("plus", False))
        training, validation = images
        weights = {plane.source: 1.0 for plane in training} | {row.source: row.weight for row in recipe.data}
        self.source = PatchDraws(training, weights, recipe.loop.patch, recipe.loop.seed, self.options.plain)
        self.cases = _cases(validation, recipe.loop.patch)
        self.digest = describe(
            network=[recipe.network, recipe.network_options],
            **settings(recipe.loop),
            **asdict(self.options),
            data=[(row.source, row.weight) for row in recipe.data],
            **name_images(training),
            start=start.sha256 if start else None,
        )

    def network(self) -> nn.Module:
        """A freshly initialised network of the recipe, or the one to fine-tune."""
        network = build(self.recipe.network, self.recipe.network_options)
        if self.start is not None:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """The slides' loss over this share of the step's patches, levels spread evenly over all times."""
        whole = self.source.batch(step, self.recipe.loop.batch)
        generator = torch.Generator().manual_seed(step * 1_000_003 + self.recipe.loop.seed)
        eps, more = (torch.randn(whole.shape, generator=generator) for _ in range(2))
        parts = torch.rand(3, len(whole), generator=generator)
        time = self._times((torch.arange(len(whole)) + parts[0]) / len(whole))
        later = torch.where(parts[1] < MATCHED, time, time + (1 - time) * parts[2])
        part = slice(share.index, None, share.count)
        clean, eps, more, time, later = (x[part].to(share.device) for x in (whole, eps, more, time, later))
        alpha, sigma = (level[:, None, None, None] for level in cosine_levels(time))
        measured = _measured(clean + sigma / alpha * eps, more, (time, later)) if self.plus else None
        state = alpha * clean + sigma * eps
        noise = network(state, time, measured)
        loss: Tensor = (noise - eps).square().mean()
        if self.options.frequency_weight:
            loss = loss + self.options.frequency_weight * self._frequency(
                (state - sigma * noise.float()) / alpha, clean, alpha
            )
        return loss

    def _times(self, spread: Tensor) -> Tensor:
        """Times of levels, of `spread` [B] from 0 to 1: the first `weak` of it for weak noise."""
        weak = self.options.weak
        if not weak:
            return spread
        low, high = (math.log(ratio) for ratio in WEAK)
        ratio = (low + (high - low) * spread / weak).clamp(max=high).exp()
        return torch.where(spread < weak, cosine_time(ratio), (spread - weak) / (1 - weak))

    def _frequency(self, estimate: Tensor, clean: Tensor, alpha: Tensor) -> Tensor:
        """Mean absolute difference of Fourier amplitudes.

        "slides" is as published: its errors are those of the noise times sigma / alpha, up to 640, times the
        side of the patch. "bounded" weighs by alpha squared, limits the estimate and keeps the transform's
        scale.
        """
        bounded = self.options.frequency == "bounded"
        if bounded:
            estimate = estimate.clamp(-CLEAN_LIMIT, CLEAN_LIMIT)
        norm = "ortho" if bounded else "backward"
        mine, true = (torch.fft.fft2(x, norm=norm).abs() for x in (estimate, clean))
        difference = (mine - true).abs()
        mean: Tensor = (difference * alpha.square() if bounded else difference).mean()
        return mean

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean PSNR (range 2, clipped to [-1, 1]) of the one evaluation, by level; "score" is their mean."""
        assert isinstance(network, VpsdeUNet)
        model = ScoreModel(network, (-1.0, 1.0), self.recipe.loop.patch)
        scores = {}
        for sigma in VALIDATION_SIGMAS:
            generator = torch.Generator().manual_seed(0)
            noisy = self.cases + sigma * torch.randn(self.cases.shape, generator=generator)
            errors = []
            for y, clean in zip(torch.split(noisy, 64), torch.split(self.cases, 64), strict=True):
                level = torch.full((len(y),), sigma, device=device)
                y = y.to(device)
                result = model.estimate(y, level, y, level).cpu().clamp(-1, 1)
                errors.append((result - clean).square().mean(dim=(1, 2, 3)))
            scores[f"psnr-{sigma:g}"] = float((10 * torch.log10(4 / torch.cat(errors))).mean())
        return scores | {"score": float(np.mean(list(scores.values())))}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the checkpoint: the averaged weights in half precision and all it takes to use them."""
        recipe, (low, high) = self.recipe, self.options.window
        ends = cosine_levels(torch.tensor([0.0, 1.0]))
        metadata = describe_checkpoint(
            recipe,
            step,
            scores,
            normalisation={"name": "window", "low": low, "high": high},
            sigma_range=(float(ends[1][0] / ends[0][0]), float(ends[1][1] / ends[0][1])),
            schedule={"name": "cosine-1000", "prediction": "eps"},
            method_options={"tile": recipe.loop.patch},
        )
        tensors = {name: weights.half() for name, weights in network.state_dict().items()}
        save_checkpoint(path, tensors, metadata)


def _measured(x: Tensor, more: Tensor, times: tuple[Tensor, Tensor]) -> Tensor:
    """The noisy image a state came from, as a state: `x` with noise added up to the later time's level."""
    (alpha, sigma), (later_alpha, later_sigma) = (
        tuple(level[:, None, None, None] for level in cosine_levels(time)) for time in times
    )
    added = ((later_sigma / later_alpha).square() - (sigma / alpha).square()).clamp(min=0).sqrt()
    return later_alpha * (x + added * more)


def _cases(planes: Sequence[WindowedPlane], side: int) -> Tensor:
    """Patches [N, 1, side, side] of the validation planes, evenly spread over all there are."""
    patches = [patch for plane in planes for patch in cut_patches(plane.plane, side)]
    if not patches:
        raise TrainingError(
            f"no validation image has a patch of {side} x {side} pixels inside the window: "
            "check window in [score]."
        )
    chosen = np.linspace(0, len(patches) - 1, min(len(patches), VALIDATION_PATCHES)).astype(int)
    return torch.from_numpy(np.stack([patches[n] for n in chosen]))[:, None]

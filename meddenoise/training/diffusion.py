"""Stage 1 of DiffDenoise: a diffusion model of noisy images, given a blind estimate."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.diffusion.schedules import get_schedule, target
from meddenoise.methods.srds import CONDITION_CHANNELS, Srds, condition_channels
from meddenoise.networks import build
from meddenoise.training.blindspot import noisy_settings, noisy_source, stage_metadata, take, validation_cases
from meddenoise.training.data.noisy import NoisyBatch, NoisySet
from meddenoise.training.digest import describe
from meddenoise.training.loop import Share, settings
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import Checkpoint, load_state, save_checkpoint

DIFFUSION = "cond-unet"
VALIDATION_STEPS = 2
"""Of the sampler: its mean is the same at every number."""
Condition = Callable[[NoisyBatch], Tensor]
"""The condition [B, 1, H, W] of noisy patches: the blind-spot network, or an earlier student."""


class DiffusionTask:
    """Prediction of the noise (or v) in noised noisy images, as `training.loop.TrainingTask`; nothing clean.

    X_t = alpha_t u + sigma_t eps with u = (y - c) / sigma, see `methods.srds`. With masked conditioning the
    condition is computed from patches with random boxes filled from around them, and the loss counts at
    their centres only: there the condition is independent of the noise, and nothing can leak.
    Source: Demir et al. 2025 (arXiv 2504.00264); the masked form is our own.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: NoisySet,
        condition: tuple[Condition, str],
        start: Checkpoint | None = None,
    ) -> None:
        """`condition` comes with the checksum of what computes it."""
        assert recipe.stages is not None
        self.recipe, self.options, self.sampler = recipe, recipe.stages.diffusion, recipe.stages.sampler
        self.network_options = {**recipe.stages.diffusion_network, "condition": CONDITION_CHANNELS}
        self.schedule = get_schedule(self.sampler.schedule)
        self.source = noisy_source(recipe, images.training, self.options)
        self.cases = [
            NoisyBatch(case.noisy, case.sigma, case.bands, case.rho)
            for case in validation_cases(images.validation)
        ]
        (self.condition, identity), self.start = condition, start
        self.digest = describe(
            network=[DIFFUSION, self.network_options],
            sampler=self.sampler,
            **settings(self.options),
            **noisy_settings(recipe, images.training),
            condition=identity,
            start=start.sha256 if start else None,
        )

    def network(self) -> nn.Module:
        """A freshly initialised conditional U-Net, or the one to go on with."""
        network = build(DIFFUSION, self.network_options)
        if self.start is not None:
            load_state(network, self.start)
        return network

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Mean error of the prediction over the pixels that count, for this share of the step's patches."""
        whole = self.source.batch(step, self.options.batch)
        generator = torch.Generator().manual_seed(step * 1_000_003 + self.options.seed)
        index = torch.randint(len(self.schedule), (len(whole.noisy),), generator=generator)
        eps, other = (torch.randn(whole.noisy.shape, generator=generator) for _ in range(2))
        centres = draw_centres(whole.noisy.shape, whole.rho, self.sampler.share, generator)
        batch = take(whole, share)
        part = slice(share.index, None, share.count)
        eps, other, centres, index = (x[part].to(share.device) for x in (eps, other, centres, index))
        condition, counts = self._condition(batch, centres, other)
        alpha, sigma = self.schedule.levels(index)
        residual = (batch.noisy - condition) / batch.sigma
        wanted = target(self.sampler.prediction, residual, eps, alpha, sigma)
        told = condition_channels(condition, batch.sigma, batch.bands)
        time = (index + 1).float() / len(self.schedule)
        error = network(alpha * residual + sigma * eps, told, time) - wanted
        size = error.abs() if self.sampler.loss == "l1" else error.square()
        mean: Tensor = (size * counts).sum() / counts.sum().clamp(min=1)
        return mean

    def _condition(self, batch: NoisyBatch, centres: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """The condition, and 1 where the loss counts."""
        with torch.no_grad():
            if self.sampler.conditioning == "masked":
                filled = fill_boxes(batch.noisy, centres, batch.rho)
                seen = NoisyBatch(filled, batch.sigma, batch.bands, batch.rho)
                return self.condition(seen), centres.float()
            condition = self.condition(batch)
            if self.sampler.conditioning == "noise":
                condition = condition + self.sampler.condition_noise * batch.sigma * other
            return condition, torch.ones_like(condition)

    @torch.no_grad()
    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Blind error of the sampler's mean at masked pixels of held-out images, and that of its condition.

        In units of the noise variance: 1 plus the mean square error against the clean image, without one.
        "score" is minus the error.
        """
        srds = Srds(network, self.schedule, self.sampler.prediction, VALIDATION_STEPS)
        mine: list[float] = []
        before: list[float] = []
        for number, case in enumerate(self.cases):
            generator = torch.Generator().manual_seed(number)
            batch = take(case, Share(device))
            centres = draw_centres(case.noisy.shape, case.rho, self.sampler.share, generator).to(device)
            filled = NoisyBatch(
                fill_boxes(batch.noisy, centres, batch.rho), batch.sigma, batch.bands, batch.rho
            )
            condition = self.condition(filled)
            mean, _ = srds(condition, batch.sigma, batch.bands, [generator])
            for errors, estimate in ((mine, mean), (before, condition)):
                errors.append(float(((estimate - batch.noisy) / batch.sigma)[centres].square().mean()))
        scores = {"blind-error": sum(mine) / len(mine), "condition-error": sum(before) / len(before)}
        return scores | {"score": -scores["blind-error"]}

    def export(self, network: nn.Module, scores: dict[str, float], step: int, path: Path) -> None:
        """Write the stage's checkpoint; `training.stages` packs it with the others."""
        plain = stage_metadata(self.recipe, self.recipe.method, DIFFUSION, self.network_options, step, scores)
        schedule = {"name": self.schedule.name, "prediction": self.sampler.prediction}
        save_checkpoint(path, network.state_dict(), replace(plain, schedule=schedule))


def draw_centres(shape: torch.Size, rho: int, share: float, generator: torch.Generator) -> Tensor:
    """Random box centres, boolean [B, 1, H, W]; their boxes of (2 rho + 1)^2 cover about `share` of it."""
    return torch.rand(shape, generator=generator) < share / (2 * rho + 1) ** 2


def fill_boxes(noisy: Tensor, centres: Tensor, rho: int) -> Tensor:
    """`noisy` [B, 1, H, W] with the box around every centre replaced by the mean of unmasked pixels near it.

    Never by the value of a masked one, so that what is computed from the result is independent of the noise
    at the centres.
    """
    mask = functional.max_pool2d(centres.float(), 2 * rho + 1, stride=1, padding=rho)
    kept = 1 - mask
    near = _mean_of_kept(noisy, kept, 2 * rho + 5)
    far = _mean_of_kept(noisy, kept, 8 * rho + 17)
    filling = torch.where(near.isfinite(), near, torch.where(far.isfinite(), far, torch.zeros_like(far)))
    return torch.where(mask > 0, filling, noisy)


def _mean_of_kept(noisy: Tensor, kept: Tensor, side: int) -> Tensor:
    """Mean of the kept pixels in a window; not finite where there is none."""
    total, count = (_box(x, side) for x in (noisy * kept, kept))
    return torch.where(count > 0.5, total / count.round().clamp(min=1), torch.full_like(total, torch.nan))


def _box(x: Tensor, side: int) -> Tensor:
    """Sums over windows of side x side pixels, zeros outside."""
    pad = side // 2
    rows = functional.avg_pool2d(x, (side, 1), stride=1, padding=(pad, 0)) * side
    return functional.avg_pool2d(rows, (1, side), stride=1, padding=(0, pad)) * side

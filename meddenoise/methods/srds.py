"""Stabilized reverse diffusion sampling: the mean of noisy images given a blind estimate, in units of noise.

The diffusion variable is the residual u = (y - c) / sigma of a noisy image y and its condition c. Given c
that is an affine change of variable, so the theorem of symmetric pairs holds as it stands, and no intensity
window exists: one network serves every unit and modality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.diffusion import Denoise
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.draws import draw_from
from meddenoise.diffusion.samplers import ddim
from meddenoise.diffusion.schedules import Prediction, Schedule, as_denoiser
from meddenoise.networks.trunk import compand

LOCAL = 33
"""Side in pixels of the window whose mean is taken off the condition: only local contrast tells of noise."""
CONDITION_CHANNELS = 5
EPS_START = 20.0
"""Ratio of noise to signal from which networks that predict eps are sampled: above it their rounding, divided
by alpha, shows in the result."""


@dataclass(frozen=True, slots=True)
class Srds:
    """The conditional diffusion network of one checkpoint and how it is sampled."""

    network: nn.Module
    schedule: Schedule
    prediction: Prediction
    steps: int = 10
    pairs: int = 1

    def __call__(
        self, condition: Tensor, sigma: Tensor, bands: Tensor, noise: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Mean over symmetric pairs of runs, and the standard deviation of one run, both [B, 1, H, W].

        condition: the blind estimate [B, 1, H, W]; sigma: [B, 1, H, W] in its units; bands: [B, 4];
        noise: one CPU generator a plane. NFE = 2 steps a pair. The spread is that of y given the condition
        as far as `steps` resolve it: pair half-differences, pooled over pairs.
        Source: Demir et al. 2025 (arXiv 2504.00264), figure 4.
        """
        draw = draw_from(noise)
        denoise, ratios = self.over(condition, sigma, bands)
        total, squares = torch.zeros_like(condition), torch.zeros_like(condition)
        for _ in range(self.pairs):
            start = ratios[0] * draw(condition)
            mean, half = antithetic(ddim, denoise, start, ratios)
            total += mean
            squares += half.square()
        return condition + sigma * total / self.pairs, sigma * (squares / self.pairs).sqrt()

    def over(self, condition: Tensor, sigma: Tensor, bands: Tensor) -> tuple[Denoise, tuple[float, ...]]:
        """The clean residual of a doubled batch of states given a condition, and the ratios to sample at."""
        told = condition_channels(condition, sigma, bands).repeat(2, 1, 1, 1)

        def network(state: Tensor, index: int) -> Tensor:
            time = torch.full((len(state),), (index + 1) / len(self.schedule), device=state.device)
            out: Tensor = self.network(state, told, time)
            return out

        ratios = step_ratios(self.schedule, self.prediction, self.steps)
        return as_denoiser(network, self.schedule, self.prediction), ratios


def step_ratios(schedule: Schedule, prediction: Prediction, steps: int) -> tuple[float, ...]:
    """The falling ratios of a run of `steps` evaluations, ending in 0; from EPS_START for eps networks."""
    ratios = schedule.trailing(steps)
    if prediction != "eps":
        return ratios
    return (EPS_START, *(ratio for ratio in ratios if ratio < EPS_START))


def condition_channels(condition: Tensor, sigma: Tensor, bands: Tensor) -> Tensor:
    """What the network is told [B, 5, H, W]: local contrast of the condition in sigmas, and the spectrum."""
    contrast = compand((condition - mean_filter(condition, LOCAL)) / sigma)
    known = (bands.sum(dim=1, keepdim=True) > 0).float()
    told = torch.log2(bands.clamp(min=0.05)) * known
    return torch.cat([contrast, told[:, :, None, None].expand(-1, -1, *condition.shape[-2:])], dim=1)


def mean_filter(x: Tensor, side: int) -> Tensor:
    """Mean over the part of a window of `side` pixels, odd, that lies inside the plane; x [B, C, H, W]."""
    for shape, pad in (((side, 1), (side // 2, 0)), ((1, side), (0, side // 2))):
        x = functional.avg_pool2d(x, shape, stride=1, padding=pad, count_include_pad=False)
    return x

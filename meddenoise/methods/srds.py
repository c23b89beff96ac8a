"""Stabilized reverse diffusion sampling: the mean of noisy images given a blind estimate, in units of noise.

The diffusion variable is the residual u = (y - c) / sigma of a noisy image y and its condition c. Given c
that is an affine change of variable, so the theorem of symmetric pairs holds as it stands, and no intensity
window exists: one network serves every unit and modality.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.diffusion import Denoise
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import ddim, draw_from
from meddenoise.diffusion.schedules import Prediction, Schedule, as_denoiser
from meddenoise.networks.trunk import compand

LOCAL = 33
"""Side in pixels of the window whose mean is taken off the condition: only local contrast tells of noise."""
CONDITION_CHANNELS = 5
EPS_START = 20.0
"""Ratio of noise to signal from which networks that predict eps are sampled: above it their rounding, divided
by alpha, shows in the result."""

POOL, TIMES = 9, 3
"""Squares are pooled by a mean over so many pixels a side, so many times: nearly a Gaussian window."""
POOLED = math.pi * TIMES * (POOL**2 - 1) / 3
"""Independent pixels in that window, 4 pi times its variance."""
LEAST_SHRUNK = 0.1
"""Runs that keep less than this share of their spread tell nothing of it."""


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
            share = (index + 1) / len(self.schedule)
            time = torch.full((len(state),), share, dtype=torch.float32, device=state.device)
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
    """Condition of the network [B, 5, H, W]: local contrast of the condition in sigmas, and the spectrum."""
    contrast = compand((condition - mean_filter(condition, LOCAL)) / sigma)
    known = (bands.sum(dim=1, keepdim=True) > 0).float()
    told = torch.log2(bands.clamp(min=0.05)) * known
    return torch.cat([contrast, told[:, :, None, None].expand(-1, -1, *condition.shape[-2:])], dim=1)


def mean_filter(x: Tensor, side: int) -> Tensor:
    """Mean over the part of a window of `side` pixels, odd, that lies inside the plane; x [B, C, H, W]."""
    for shape, pad in (((side, 1), (side // 2, 0)), ((1, side), (0, side // 2))):
        x = functional.avg_pool2d(x, shape, stride=1, padding=pad, count_include_pad=False)
    return x


def remaining_spread(change: Tensor, runs: Tensor, shrunk: float, pairs: int, fused: bool) -> Tensor:
    """Standard deviation [B, 1, H, W] of the clean image, in units of the noise, given all that was used.

    change: noisy minus blind estimate, runs: standard deviation of single runs around their mean, both
    [B, 1, H, W] in units of the noise; shrunk: the share of the spread that so few steps give back
    (`diffusion.antithetic.contraction`); pairs: how many of them. Each is a sample of noisy images given the
    estimate, whose variance is 1, the noise, plus S, the clean image's own. Pooled over a window the variance
    is known to tau, and the mean of all S >= 0 that explain it is S = V - 1 + tau phi(z) / Phi(z) with
    z = (V - 1) / tau: never 0, for nothing is sure. Fusion with the noisy image leaves S / (S + 1).

    Source: the spread of pairs is that of figure 4 of Demir et al. 2025 (arXiv 2504.00264); the mean of a
    truncated normal distribution; the posterior variance of Laine et al. 2019 (arXiv 1901.10277).
    """
    weight = pairs if shrunk >= LEAST_SHRUNK else 0
    variance = change.square()
    if weight:
        variance = (variance + weight * (runs / shrunk).square()) / (weight + 1)
    for _ in range(TIMES):
        variance = mean_filter(variance, POOL)
    tau = variance * math.sqrt(2 / (POOLED * (weight + 1)))
    excess = _mean_above_zero((variance - 1).double(), tau.double())
    left: Tensor = (excess / (excess + 1) if fused else excess).sqrt().to(change.dtype)
    return left


def _mean_above_zero(mean: Tensor, spread: Tensor) -> Tensor:
    """The mean of a normal distribution cut off below 0."""
    z = (mean / spread).clamp(min=-30)
    log_ratio = -0.5 * z.square() - 0.5 * math.log(2 * math.pi) - torch.special.log_ndtr(z)
    mean_above: Tensor = (spread * (z + log_ratio.exp())).clamp(min=0)
    return mean_above

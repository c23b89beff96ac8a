"""How sure a blind estimate is: the standard deviation left, from runs of a sampler and from the data."""

import math

import torch
from torch import Tensor

from meddenoise.methods.srds import mean_filter

POOL, TIMES = 9, 3
"""Squares are pooled by a mean over so many pixels a side, so many times: nearly a Gaussian window."""
POOLED = math.pi * TIMES * (POOL**2 - 1) / 3
"""Independent pixels in that window, 4 pi times its variance."""
LEAST_SHRUNK = 0.1
"""Runs that keep less than this share of their spread tell nothing of it."""


def remaining_spread(change: Tensor, runs: Tensor, shrunk: float, pairs: int, fused: bool) -> Tensor:
    """Standard deviation [B, 1, H, W] of the clean image, in units of the noise, given all that was used.

    change: noisy minus blind estimate, runs: standard deviation of single runs around their mean, both
    [B, 1, H, W] in units of the noise; shrunk: the share of the spread that so few steps give back
    (`diffusion.contraction`); pairs: how many of them. Each is a sample of noisy images given the estimate,
    whose variance is 1, the noise, plus S, the clean image's own. Pooled over a window the variance is known
    to tau, and the mean of all S >= 0 that explain it is S = V - 1 + tau phi(z) / Phi(z), z = (V - 1) / tau:
    never 0, for nothing is sure. Fusion with the noisy image leaves S / (S + 1).

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

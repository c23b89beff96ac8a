"""Symmetric pairs of runs: what is odd in the start noise cancels, the mean of the distribution stays."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from meddenoise.diffusion import Denoise, Noise, Sampler
from meddenoise.diffusion.samplers import precise


def antithetic(
    sampler: Sampler,
    denoise: Denoise,
    start: Tensor,
    sigmas: Sequence[float],
    *,
    centre: Tensor | None = None,
    noise: Noise | None = None,
) -> tuple[Tensor, Tensor]:
    """Half sum and half difference of two runs, from centre + start and from centre - start.

    start: [B, C, H, W], the noise of the first state, `sigmas[0]` * eps with eps ~ N(0, 1). centre: the image
    under it for a start from partial noise, None from pure noise. Both runs are one batch: `denoise` gets
    [2 B, C, H, W], the B plus runs first, so a condition [B, ...] becomes `condition.repeat(2, 1, 1, 1)`.
    Whatever a sampler draws from `noise` [B, C, H, W] enters the second run with its sign changed.

    With an exact network the half sum is the mean of q(x0 | condition) wherever q is symmetric about it, at
    any number of steps; the half difference is one draw of its spread, shrunk by few steps (`contraction`).
    Both come in the dtype of `start`. Source: stabilised reverse diffusion sampling of Demir et al. 2025
    (DiffDenoise, arXiv 2504.00264).
    """
    shift = precise(start)
    base = torch.zeros_like(shift) if centre is None else precise(centre)
    ends = sampler(
        denoise,
        torch.cat([base + shift, base - shift]),
        sigmas,
        noise=None if noise is None else _mirror(noise),
    )
    plus, minus = ends.chunk(2)
    return ((plus + minus) / 2).to(start.dtype), ((plus - minus) / 2).to(start.dtype)


def _mirror(noise: Noise) -> Noise:
    """Noise for a doubled batch: the second half is the first with its sign changed."""

    def draw(like: Tensor) -> Tensor:
        half = noise(like[: len(like) // 2])
        return torch.cat([half, -half])

    return draw


def contraction(sigmas: Sequence[float], spread: float) -> float:
    """gamma, the standard deviation of DDIM runs over `spread`, where the truth is N(m, spread^2).

    sigmas: falling ratios from pure noise to 0; spread: in the units of the image, > 0. A run with the exact
    network ends at m + gamma * spread * eps: near 0 for one step, 1 in the limit of many.

    Derivation: the exact estimate is m + s^2 / (s^2 + r^2) (x - m), so a step from ratio r to r' multiplies
    x - m by (s^2 + r r') / (s^2 + r^2).
    """
    gain = sigmas[0] / spread
    for ratio, lower in pairwise(sigmas):
        gain *= (spread**2 + ratio * lower) / (spread**2 + ratio**2)
    return gain

"""The samplers: plain functions over a callable of (state, ratio) that returns the clean estimate.

States are in ratio form and float64 (float32 on devices that have no more): the first is some 1000 times
the image. All are linear in states and estimates, without clipping, as symmetric pairs of runs demand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from meddenoise.diffusion import Denoise, Noise


def ddim(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None, eta: float = 0.0
) -> Tensor:
    """The clean end of a DDIM path: deterministic at `eta` 0, a draw at every step up to `eta` 1.

    Contract: `Sampler`. Source: Song, Meng, Ermon 2021 (arXiv 2010.02502), equations 12 and 16.
    """
    state = precise(x)
    for ratio, lower in _steps(sigmas):
        clean = denoise(state, ratio)
        fresh = eta * lower * math.sqrt(1 - (lower / ratio) ** 2)
        state = clean + (math.sqrt(lower**2 - fresh**2) / ratio) * (state - clean)
        state = _add(state, fresh, noise)
    return state.to(x.dtype)


def ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    noise: Noise | None = None,
    variance: Literal["large", "small"] = "small",
) -> Tensor:
    """The clean end of a DDPM path: the posterior mean plus noise at every step but the last.

    `variance` "large" injects beta, right for unit-variance images of independent pixels; "small" the
    variance of the posterior given the estimate, the same path as `ddim` with `eta` 1.
    Contract: `Sampler`. Source: Ho, Jain, Abbeel 2020 (arXiv 2006.11239), section 3.2.
    """
    state = precise(x)
    for ratio, lower in _steps(sigmas):
        clean = denoise(state, ratio)
        kept = (lower / ratio) ** 2
        gone = ratio**2 - lower**2
        spread = kept * gone if variance == "small" else gone * (1 + lower**2) / (1 + ratio**2)
        state = clean + kept * (state - clean)
        state = _add(state, math.sqrt(spread) if lower else 0.0, noise)
    return state.to(x.dtype)


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None) -> Tensor:
    """The clean end of a DPM-Solver++(2M) path; the last step, to 0, is the estimate itself.

    Contract: `Sampler`; draws nothing. Source: Lu et al. 2022 (arXiv 2211.01095), algorithm 2.
    """
    state = precise(x)
    before: Tensor | None = None
    width = 0.0
    for ratio, lower in _steps(sigmas):
        clean = denoise(state, ratio)
        if not lower:
            return clean.to(x.dtype)
        step = math.log(ratio / lower)
        slope = clean if before is None else clean + (step / (2 * width)) * (clean - before)
        state = slope + (lower / ratio) * (state - slope)
        before, width = clean, step
    return state.to(x.dtype)


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise | None = None) -> Tensor:
    """The clean end of a path of Heun's second-order steps, two estimates each; the last, to 0, is Euler's.

    Contract: `Sampler`; draws nothing. Source: Karras et al. 2022 (arXiv 2206.00364), algorithm 1.
    """
    state = precise(x)
    for ratio, lower in _steps(sigmas):
        slope = (state - denoise(state, ratio)) / ratio
        ahead = state + (lower - ratio) * slope
        if lower:
            slope = (slope + (ahead - denoise(ahead, lower)) / lower) / 2
            ahead = state + (lower - ratio) * slope
        state = ahead
    return state.to(x.dtype)


def precise(x: Tensor) -> Tensor:
    """`x` in float64, or in float32 on Apple's GPUs, which have no float64."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def _steps(sigmas: Sequence[float]) -> list[tuple[float, float]]:
    """The steps (from, to) between ratios that must fall to 0."""
    steps = list(pairwise(sigmas))
    if not steps or sigmas[-1] != 0 or any(low >= high for high, low in steps):
        raise ValueError(f"the ratios of a sampler fall strictly to 0, these do not: {list(sigmas)}")
    return steps


def _add(state: Tensor, amplitude: float, noise: Noise | None) -> Tensor:
    """`state` with fresh noise of standard deviation `amplitude`; nothing is drawn for 0."""
    if not amplitude:
        return state
    if noise is None:
        raise ValueError("a sampler that draws noise was given none to draw from")
    return state + amplitude * noise(state)


def draw_from(generators: Sequence[torch.Generator]) -> Noise:
    """Noise for batches of `len(generators)` planes, plane b drawn from `generators[b]`, a CPU generator."""

    def draw(like: Tensor) -> Tensor:
        planes = [
            torch.randn(plane.shape, generator=generator, dtype=torch.float32)
            for plane, generator in zip(like, generators, strict=True)
        ]
        return torch.stack(planes).to(like)

    return draw


@dataclass(frozen=True, slots=True)
class MeasuredFrame:
    """The image [B, C, H, W] to mix in, its noise level in the same units, and the share `delta` of it.

    Without `budgeted` it is noised to every level as if it had no noise of its own, down to the last but
    one: the published rule, which ends with that noise. With it the noise that it has counts, and nothing
    is mixed in below the level of it.
    """

    image: Tensor
    level: Tensor
    delta: float
    budgeted: bool


def mixing(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, measured: MeasuredFrame
) -> Tensor:
    """The clean end of a deterministic path that the measured image is mixed into.

    States, ratios and `noise` as of `Sampler`. Source: Hu, Huang 2024 (BeFOI), equation 6; Choi et al. 2021
    (ILVR, arXiv 2108.02938).
    """
    state, image, level = (precise(part) for part in (x, measured.image, measured.level))
    for ratio, lower in pairwise(sigmas):
        clean = denoise(state, ratio)
        state = clean + (lower / ratio) * (state - clean)
        if not lower:
            break
        room = lower**2 - level.square() if measured.budgeted else torch.full_like(level, lower**2)
        reference = image + room.clamp(min=0).sqrt() * noise(state)
        share = measured.delta * (room > 0).to(state.dtype)
        state = share * reference + (1 - share) * state
    return state.to(x.dtype)

"""Reverse diffusion that mixes in the measured image at every level, as iterative latent refinement does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from meddenoise.diffusion import Denoise, Noise
from meddenoise.diffusion.samplers import precise


@dataclass(frozen=True, slots=True)
class Measured:
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
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, measured: Measured
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

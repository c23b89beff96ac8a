"""Noise that depends on the plane alone: not on the batch it runs in, nor on the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from meddenoise.diffusion import Noise


def draw_from(generators: Sequence[torch.Generator]) -> Noise:
    """Noise for batches of `len(generators)` planes, plane b drawn from `generators[b]`, a CPU generator."""

    def draw(like: Tensor) -> Tensor:
        planes = [
            torch.randn(plane.shape, generator=generator)
            for plane, generator in zip(like, generators, strict=True)
        ]
        return torch.stack(planes).to(like)

    return draw

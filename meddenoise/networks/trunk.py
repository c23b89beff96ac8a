"""The plain U-Net body that networks here share: residual blocks of 3x3 convolutions with ReLU, no norms."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.networks.sizes import check_levels


class Trunk(nn.Module):
    """Features [B, channels[0], H, W] in and out; H and W multiples of 2^(levels - 1)."""

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        """Raises UsageError for channels and blocks that are not those of the same levels."""
        check_levels(channels, blocks)
        super().__init__()
        self.encoder = nn.ModuleList([_stage(*level) for level in zip(channels, blocks, strict=True)])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairs])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs])
        self.decoder = nn.ModuleList([_stage(*level) for level in zip(channels[:-1], blocks, strict=False)])

    def mix(self, features: Tensor) -> Tensor:
        """`features` through all levels, in their own dtype."""
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=False):
            features = stage(features)
            skips.append(features)
            features = down(features)
        features = self.encoder[-1](features)
        for level in reversed(range(len(skips))):
            features = self.decoder[level](self.up[level](features) + skips[level])
        return features


def pad_to(x: Tensor, multiple: int, mode: str = "replicate") -> Tensor:
    """`x` [B, C, H, W] grown to the right and below to a multiple of `multiple`; `mode` as in `pad`."""
    height, width = x.shape[-2:]
    if height % multiple == 0 and width % multiple == 0:
        return x
    return functional.pad(x, (0, -width % multiple, 0, -height % multiple), mode=mode)


def compand(steps: Tensor, linear: float = 32.0) -> Tensor:
    """sign(x) s log(1 + |x| / s): nearly linear up to s sigmas, so that edges of any height stay in range.

    Fewer sigmas hide weak noise on steps, no companding at all is unstable in bfloat16.
    """
    return torch.copysign(torch.log1p(steps.abs() / linear) * linear, steps)


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(functional.relu(self.first(x), inplace=True))
        return out


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width) for _ in range(blocks)))

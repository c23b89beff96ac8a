"""The score network of the VP-SDE denoiser: a small U-Net with attention at its coarsest level."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.diffusion.schedules import cosine_levels
from meddenoise.errors import UsageError
from meddenoise.networks.sizes import WIDEST, check_sizes

HEADS = 8
GROUPS = 12
FREQUENCIES = 16
SLOWEST, FASTEST = 0.05, 4.0
"""Cycles per unit of log sigma, which runs over about 5 units."""


class VpsdeUNet(nn.Module):
    """The noise in a state X_t = alpha x0 + sigma eps, from the state and its time.

    With `width` 96 it has the 6,614,881 parameters of the slides. SiLU follows every convolution but the
    last, and both skips are concatenated, which the slides leave open. Attention sees 7 x 7 places of the
    28 x 28 patches it was made for: planes of other sizes are to be cut.
    `plus` is a corrected variant: a second channel, the noisy image as a state of its own level; Fourier
    features of log sigma instead of the bare time; GroupNorm before every SiLU.
    Source: Chaurasia, "Generative Denoising for Medical Image Reconstruction Using Score-Based Diffusion
    Models" (slides).
    """

    def __init__(self, width: int = 96, plus: bool = False) -> None:
        """`width`: channels at full resolution, a multiple of 6 (heads and groups of 4 x width); with `plus`
        of 12 (groups of `width`).

        Raises UsageError for other widths, and a `plus` that is no truth value.
        """
        check_sizes(1, WIDEST, width=width)
        if not isinstance(plus, bool):
            raise UsageError(f"plus is {plus!r}: give true or false.")
        step = GROUPS if plus else math.lcm(GROUPS, HEADS) // 4
        if width % step:
            raise UsageError(f"width is {width}: give a multiple of {step}.")
        super().__init__()
        w, self.plus = width, plus
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES if plus else 1, 4 * w), nn.SiLU(), nn.Linear(4 * w, w)
        )
        self.head = nn.Conv2d(1 + plus, w, 3, padding=1)
        self.down1 = nn.Conv2d(w, 2 * w, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1)
        self.mid1 = nn.Conv2d(4 * w, 4 * w, 3, padding=1)
        self.attention = _SelfAttention(4 * w)
        self.told = nn.Linear(w, 4 * w)
        self.mid2 = nn.Conv2d(4 * w, 4 * w, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(4 * w, 2 * w, 4, stride=2, padding=1)
        self.skip1 = nn.Conv2d(2 * w, 2 * w, 1)
        self.up2 = nn.ConvTranspose2d(4 * w, w, 4, stride=2, padding=1)
        self.skip2 = nn.Conv2d(w, w, 1)
        self.tail = nn.Conv2d(2 * w, 1, 3, padding=1)
        self.norms = nn.ModuleDict(
            {name: nn.GroupNorm(GROUPS, size * w) for name, size in _NORMED.items()} if plus else {}
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run the network in `dtype` (bfloat16)."""
        self.to(dtype)

    def forward(self, state: Tensor, time: Tensor, measured: Tensor | None = None) -> Tensor:
        """The noise [B, 1, H, W], float32, in `state` [B, 1, H, W]; H and W multiples of 4.

        time: tau in [0, 1], [B]. measured: the noisy image times the alpha of its own level, [B, 1, H, W],
        for a `plus` network alone.
        """
        dtype = self.tail.weight.dtype
        if self.plus:
            assert measured is not None
            state = torch.cat([state, measured], dim=1)
        told = _fourier(time) if self.plus else time[:, None]
        embedded = self.told(self.time(told.to(dtype)))[:, :, None, None]
        x0 = self._silu("head", self.head(state.to(dtype).contiguous(memory_format=torch.channels_last)))
        x1 = self._silu("down1", self.down1(x0))
        x = self._silu("down2", self.down2(x1))
        x = self.attention(self._silu("mid1", self.mid1(x))) + embedded
        x = self._silu("mid2", self.mid2(x))
        x = torch.cat([self._silu("up1", self.up1(x)), self.skip1(x1)], dim=1)
        x = torch.cat([self._silu("up2", self.up2(x)), self.skip2(x0)], dim=1)
        out: Tensor = self.tail(x)
        return out.float()

    def _silu(self, name: str, x: Tensor) -> Tensor:
        return functional.silu(self.norms[name](x) if self.plus else x)


class _SelfAttention(nn.Module):
    """Multi-head self-attention over all places, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, HEADS, c // HEADS, h * w).transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = x + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))
        return result


_NORMED = {"head": 1, "down1": 2, "down2": 4, "mid1": 4, "mid2": 4, "up1": 2, "up2": 1}
"""The layers that SiLU follows, and their channels in widths."""


def _fourier(time: Tensor) -> Tensor:
    """[B, 32] sines and cosines of log sigma."""
    steps = torch.arange(FREQUENCIES, dtype=torch.float32, device=time.device) / (FREQUENCIES - 1)
    cycles = SLOWEST * (FASTEST / SLOWEST) ** steps
    angles = 2 * math.pi * cosine_levels(time)[1].log()[:, None] * cycles
    return torch.cat([angles.sin(), angles.cos()], dim=1)

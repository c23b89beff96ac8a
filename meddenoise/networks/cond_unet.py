"""The conditional U-Net of the diffusion methods: a noisy state and its condition in, a prediction out."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.errors import unknown_name
from meddenoise.networks.sizes import COARSEST, WIDEST, check_sizes
from meddenoise.networks.trunk import pad_to

PROFILES: dict[str, dict[str, object]] = {
    "paper": {"base": 64, "multipliers": (1, 2, 4, 8, 8), "blocks": 2, "attention": (4,)},
    "base": {"base": 64, "multipliers": (1, 2, 4, 4), "blocks": 2, "attention": (3,)},
    "small": {"base": 32, "multipliers": (1, 2, 4), "blocks": 2},
    "tiny": {"base": 16, "multipliers": (1, 2, 4), "blocks": 1},
    "fast": {"base": 40, "multipliers": (1, 1.5, 2), "blocks": 2, "norm": False, "unshuffle": 2},
}
"""Sizes by name: `paper` as SR3 (Saharia et al. 2021), `fast` the one for CPUs: plain convolutions on
pixel-unshuffled input, and without norms, whose statistics would make a tile differ from the whole."""
HEADS = 4
MOST_GROUPS = 32


class CondUNet(nn.Module):
    """U-Net over concat[X_t, condition], told the time; the condition is never noised.

    Without attention and norms it is fully convolutional; any size will do, inputs are padded.
    Source: the U-Net of improved DDPM (Nichol and Dhariwal 2021, arXiv 2102.09672) with scale and shift by
    the time embedding, conditioned by concatenation as in SR3 (Saharia et al. 2021, arXiv 2104.07636).
    """

    def __init__(
        self,
        profile: str = "small",
        condition: int = 1,
        unshuffle: int | None = None,
    ) -> None:
        """`condition`: channels of the condition.

        Raises UsageError for a profile that is not in PROFILES and for sizes that make no network.
        """
        if not isinstance(profile, str) or profile not in PROFILES:
            raise unknown_name("profile", str(profile), PROFILES)
        check_sizes(1, WIDEST, condition=condition)
        if unshuffle is not None:
            check_sizes(1, COARSEST, unshuffle=unshuffle)
        super().__init__()
        size = _Size(**PROFILES[profile])  # type: ignore[arg-type]
        self.unshuffle = size.unshuffle if unshuffle is None else unshuffle
        widths = [round(size.base * factor) for factor in size.multipliers]
        self.multiple = self.unshuffle * 2 ** (len(widths) - 1)
        self.base = size.base
        embedding = 4 * size.base
        self.time = nn.Sequential(nn.Linear(size.base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.head = nn.Conv2d((1 + condition) * self.unshuffle**2, widths[0], 3, padding=1)
        self.down, self.middle, self.up = _levels(widths, embedding, size)
        self.norm = _norm(widths[0], size.norm)
        self.tail = _zero(nn.Conv2d(widths[0], self.unshuffle**2, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run the network in `dtype` (bfloat16)."""
        self.to(dtype)

    def forward(self, state: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        """The prediction [B, 1, H, W], float32; what it predicts, eps, v or x0, the checkpoint says.

        state: X_t [B, 1, H, W]; condition: [B, C, H, W]; time: t / T in [0, 1], [B].
        """
        height, width = state.shape[-2:]
        x = functional.pixel_unshuffle(
            pad_to(torch.cat([state, condition], dim=1), self.multiple), self.unshuffle
        )
        dtype = self.tail.weight.dtype
        embedded = self.time(_sinusoidal(time * 1000, self.base).to(dtype))
        features = self.head(x.to(dtype).contiguous(memory_format=torch.channels_last))
        skips = [features]
        for layer in self.down:
            features = layer(features, embedded)
            skips.append(features)
        for layer in self.middle:
            features = layer(features, embedded)
        for layer in self.up:
            if isinstance(layer, _ResBlock):
                features = torch.cat([features, skips.pop()], dim=1)
            features = layer(features, embedded)
        out: Tensor = self.tail(functional.silu(self.norm(features)))
        return functional.pixel_shuffle(out.float(), self.unshuffle)[..., :height, :width]


class _Size:
    """One row of PROFILES."""

    def __init__(
        self, base: int, multipliers: Sequence[float], blocks: int, attention: Sequence[int] = (),
        norm: bool = True, unshuffle: int = 1,
    ) -> None:  # fmt: skip
        self.base, self.multipliers, self.blocks = base, multipliers, blocks
        self.attention, self.norm, self.unshuffle = attention, norm, unshuffle


class _ResBlock(nn.Module):
    """Norm, SiLU, conv, norm, scale and shift from the embedding, SiLU, zero-initialised conv, plus skip.

    Attention follows where the level has it.
    """

    def __init__(self, width: int, out: int, embedding: int, norm: bool, attention: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(width, norm), _norm(out, norm)
        self.conv1 = nn.Conv2d(width, out, 3, padding=1)
        self.told = nn.Linear(embedding, 2 * out)
        self.conv2 = _zero(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Conv2d(width, out, 1) if width != out else nn.Identity()
        self.attention = _Attention(out) if attention else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.told(functional.silu(embedded))[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(functional.silu(self.norm2(h) * (1 + scale) + shift))
        out: Tensor = self.attention(self.skip(x) + h)
        return out


class _Attention(nn.Module):
    """Multi-head self-attention over all pixels of a level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width, True)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = _zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, HEADS, c // HEADS, h * w).transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = x + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))
        return result


class _Resample(nn.Module):
    """Half the size by a strided convolution, or twice by nearest neighbour and a convolution."""

    def __init__(self, width: int, upwards: bool) -> None:
        super().__init__()
        self.upwards = upwards
        self.conv = nn.Conv2d(width, width, 3, stride=1 if upwards else 2, padding=1)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        if self.upwards:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        out: Tensor = self.conv(x)
        return out


def _levels(
    widths: list[int], embedding: int, size: _Size
) -> tuple[nn.ModuleList, nn.ModuleList, nn.ModuleList]:
    """The way down, the middle and the way up; every output of the way down is one skip."""

    def block(width: int, out: int, level: int) -> nn.Module:
        return _ResBlock(width, out, embedding, size.norm, level in size.attention)

    down, up, skips, here = nn.ModuleList(), nn.ModuleList(), [widths[0]], widths[0]
    for level, width in enumerate(widths):
        for _ in range(size.blocks):
            down.append(block(here, width, level))
            here = width
            skips.append(here)
        if level < len(widths) - 1:
            down.append(_Resample(here, upwards=False))
            skips.append(here)
    middle = nn.ModuleList(
        [block(here, here, len(widths) - 1), _ResBlock(here, here, embedding, size.norm, False)]
    )
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(size.blocks + 1):
            up.append(block(here + skips.pop(), width, level))
            here = width
        if level > 0:
            up.append(_Resample(here, upwards=True))
    return down, middle, up


def _norm(width: int, wanted: bool) -> nn.Module:
    return nn.GroupNorm(min(MOST_GROUPS, width // 4), width) if wanted else nn.Identity()


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _sinusoidal(position: Tensor, width: int) -> Tensor:
    """[B, width] sines and cosines of `position` [B] at wavelengths up to 10,000."""
    half = width // 2
    steps = torch.arange(half, device=position.device, dtype=torch.float32) / half
    angles = position.float()[:, None] * torch.exp(-math.log(10_000) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)

"""A network whose result at a pixel depends on every pixel around it, but on none inside its blind box."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.networks.sizes import COARSEST, WIDEST, check_levels, check_lists, check_sizes
from meddenoise.networks.trunk import Trunk, compand, pad_to

RADII = (0, 2, 4)
"""Blind radii rho a network is built for by default: white noise, and kernels of about 0.5 and 1.2 pixels."""


class BlindSpotNet(nn.Module):
    """E[x_i | y outside the blind box of i], for several blind radii rho, given the noise level and spectrum.

    For each rho there are two branches: a masked convolution of (2R + 1)^2 pixels without the inner
    (2 rho + 1)^2, then layers of dilation d = R + rho + 1, which cannot reach into the box again; R is
    rho + 1 and rho + 2. The branches meet in 1 x 1 convolutions. A layer of dilation d is a plain one on each
    of the d x d sub-lattices of the image, and so here a whole U-Net runs on every sub-lattice: any
    mixing within a lattice is allowed.

    Offset and scale equivariant like `NoiseUNet`: at every pixel the masked convolution sees differences from
    the mean of its own ring, in units of sigma, and the result is that mean plus sigma times the output.
    All padding is by zeros: a mirrored border shows the network its own pixel.

    Source: dilated blind-spot form of Wu et al. 2020 (DBSN, ECCV, arXiv 2008.13711); blind boxes for
    correlated noise as in LG-BPN (Wang et al. 2023, arXiv 2304.00534).
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 96), blocks: Sequence[int] = (1, 1, 1), entry: int = 16,
        bands: int = 4, radii: Sequence[int] = RADII,
    ) -> None:  # fmt: skip
        """Raises UsageError for sizes that make no network."""
        check_levels(channels, blocks)
        check_sizes(1, WIDEST, entry=entry, bands=bands)
        check_lists(0, COARSEST, radii=radii)
        super().__init__()
        self.radii = tuple(radii)
        self.bands = bands
        self.branches = nn.ModuleDict(
            {
                f"{rho}-{reach}": _Branch(rho, rho + reach, channels, blocks, entry)
                for rho in self.radii
                for reach in (1, 2)
            }
        )
        self.told = nn.ModuleDict({str(rho): nn.Linear(bands + 1, 2 * entry) for rho in self.radii})
        self.tail = nn.ModuleDict({str(rho): _join(2 * entry) for rho in self.radii})
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run all but the masked convolutions in `dtype` (bfloat16)."""
        self.to(dtype)
        for module in self.modules():
            if isinstance(module, _Branch):
                module.head.float()
                module.ring = module.ring.float()

    def forward(self, noisy: Tensor, sigma: Tensor, bands: Tensor, rho: int) -> Tensor:
        """The blind estimate [B, 1, H, W], float32, in the units of `noisy`.

        noisy: [B, 1, H, W] float32; sigma: [B, 1, H, W] (> 0), noise level in the same units, which must not
        be computed from single pixels of `noisy`; bands: [B, K] as for `NoiseUNet`; rho: one of `radii`.
        """
        known = (bands.sum(dim=1, keepdim=True) > 0).float()
        told = torch.cat([torch.log2(bands.clamp(min=0.05)) * known, known], dim=1)
        entry = self.told[str(rho)]
        assert isinstance(entry, nn.Linear)
        told = entry(told.to(entry.weight.dtype))[:, :, None, None]
        near, far = (self.branches[f"{rho}-{reach}"](noisy, sigma) for reach in (1, 2))
        features = torch.cat([near.features, far.features], dim=1) + told
        residual: Tensor = self.tail[str(rho)](features)
        blind: Tensor = near.base + sigma * residual.float()
        return blind


class _SeenPixels:
    """Pixels that one branch saw: `base` [B, 1, H, W], the mean of each ring, and `features` [B, C, H, W]."""

    __slots__ = ("base", "features")

    def __init__(self, base: Tensor, features: Tensor) -> None:
        self.base, self.features = base, features


class _Branch(nn.Module):
    """Masked convolution of radius `reach`, then a U-Net on the sub-lattices of step reach + rho + 1."""

    ring: Tensor

    def __init__(
        self, rho: int, reach: int, channels: Sequence[int], blocks: Sequence[int], entry: int
    ) -> None:
        super().__init__()
        self.reach, self.step = reach, reach + rho + 1
        ring = torch.ones(1, 1, 2 * reach + 1, 2 * reach + 1)
        inner = slice(reach - rho, reach + rho + 1)
        ring[..., inner, inner] = 0
        self.register_buffer("ring", ring, persistent=False)
        self.head = nn.Conv2d(1, entry, 2 * reach + 1, bias=False)
        std = ((2 * reach + 1) ** 2 - (2 * rho + 1) ** 2) ** -0.5
        # not nn.init.normal_, which takes seconds to load what it needs on the device "meta"
        self.head.weight = nn.Parameter(torch.randn_like(self.head.weight) * std)
        self.bias = nn.Parameter(torch.zeros(1, entry, 1, 1))
        # A far blind box leaves small lattices: fewer levels, no unshuffling.
        levels = len(channels) if rho == 0 else 2
        self.unshuffle = 2 if rho == 0 else 1
        self.multiple = self.unshuffle * 2 ** (levels - 1)
        self.widen = nn.Conv2d(entry * self.unshuffle**2, channels[0], 1)
        self.trunk = Trunk(channels[:levels], blocks[:levels])
        self.narrow = nn.Conv2d(channels[0], entry * self.unshuffle**2, 1)

    def forward(self, noisy: Tensor, sigma: Tensor) -> _SeenPixels:
        with torch.autocast(noisy.device.type, enabled=False):
            base, entry = self._enter(noisy, sigma)
        dtype = self.bias.dtype
        entry = pad_to(entry.to(dtype) + self.bias, self.step * self.multiple, "constant")
        lattices = functional.pixel_unshuffle(_split(entry, self.step), self.unshuffle)
        mixed = self.narrow(self.trunk.mix(self.widen(lattices)))
        features = _merge(functional.pixel_shuffle(mixed, self.unshuffle), self.step)
        return _SeenPixels(base, features[..., : noisy.shape[-2], : noisy.shape[-1]])

    def _enter(self, noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of each pixel's ring and the masked convolution of what differs from it, in sigmas."""
        pad = self.reach
        kernel = self.head.weight.float() * self.ring
        inside = functional.conv2d(torch.ones_like(noisy[:1]), self.ring, padding=pad)
        base = functional.conv2d(noisy, self.ring, padding=pad) / inside.clamp(min=1)
        seen = functional.conv2d(torch.ones_like(noisy[:1]), kernel, padding=pad)
        steps = (functional.conv2d(noisy, kernel, padding=pad) - base * seen) / sigma
        return base, compand(steps)


def _join(width: int) -> nn.Sequential:
    """The 1 x 1 convolutions in which the branches meet."""
    last = nn.Conv2d(width, 1, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), last
    )


def _split(x: Tensor, step: int) -> Tensor:
    """The sub-lattices of x [B, C, H, W] as planes [B step^2, C, H / step, W / step]."""
    b, c, h, w = x.shape
    x = x.view(b, c, h // step, step, w // step, step).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b * step * step, c, h // step, w // step).contiguous(memory_format=torch.channels_last)


def _merge(x: Tensor, step: int) -> Tensor:
    """The inverse of `_split`."""
    n, c, h, w = x.shape
    x = x.reshape(n // step**2, step, step, c, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n // step**2, c, h * step, w * step)

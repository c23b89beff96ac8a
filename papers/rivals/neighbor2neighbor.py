"""Neighbor2Neighbor: a plain U-Net trained on pairs of neighbouring pixels of single noisy images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.engine.device import quick_precision
from meddenoise.series import Image
from papers.rivals.timed import train_for

RATE = 1e-3
BATCH = 16
PATCH = 64
GAMMA = 2.0
"""Weight of the regulariser at the end; it grows from 0 with the time, as in the authors' code."""


@dataclass(frozen=True)
class TrainedRival:
    """A network, the mean and standard deviation it takes images in units of, and what it took."""

    network: nn.Module
    mean: float
    scale: float
    steps: int
    minutes: float

    def __call__(self, noisy: Image) -> Image:
        """Denoised planes [N, Y, X], float32."""
        planes = [self._denoise(plane) for plane in torch.from_numpy(noisy)]
        return torch.stack(planes).numpy()

    @torch.inference_mode()
    def _denoise(self, plane: Tensor) -> Tensor:
        result = self.network((plane[None, None] - self.mean) / self.scale)
        denoised: Tensor = result[0, 0] * self.scale + self.mean
        return denoised


def quick_autocast() -> torch.autocast:
    """bfloat16 where the processor computes in it, so that a peer takes the steps it can in its time."""
    return torch.autocast("cpu", torch.bfloat16, enabled=quick_precision(torch.device("cpu")) == "bf16")


class PlainUNet(nn.Module):
    """`direct`'s trunk without what it is told: unshuffled input, two residual blocks a level, no norms."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 96), blocks: int = 2) -> None:
        super().__init__()
        self.multiple = 2 ** len(channels)
        self.head = nn.Conv2d(4, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList([_stage(width, blocks) for width in channels])
        self.decoder = nn.ModuleList([_stage(width, blocks) for width in channels[:-1]])
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(channels)])
        self.tail = nn.Conv2d(channels[0], 4, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoised [B, 1, H, W] in float32."""
        height, width = noisy.shape[-2:]
        grown = (0, -width % self.multiple, 0, -height % self.multiple)
        features = functional.pixel_unshuffle(functional.pad(noisy, grown, mode="replicate"), 2)
        with quick_autocast():
            residual = self._trunk(self.head(features.contiguous(memory_format=torch.channels_last)))
        residual = functional.pixel_shuffle(residual.float(), 2)
        return noisy - residual[..., :height, :width]

    def _trunk(self, features: Tensor) -> Tensor:
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=False):
            skips.append(stage(features))
            features = down(skips[-1])
        features = self.encoder[-1](features)
        for stage, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            features = stage(up(features) + skips.pop())
        result: Tensor = self.tail(features)
        return result


def train_neighbor2neighbor(noisy: Image, minutes: float, seed: int) -> TrainedRival:
    """A network trained for `minutes` on noisy planes [N, Y, X] alone.

    Two pixels of each 2x2 cell that touch make two images of one scene with noise of their own, g1 and g2:
    |f(g1 y) - g2 y|^2 + gamma |f(g1 y) - g2 y - (g1 f(y) - g2 f(y))|^2, no gradient through f(y).
    Source: Huang, Li, Jia, Lu, Liu 2021, CVPR, equations 5 to 8.
    """
    torch.manual_seed(seed)
    network = PlainUNet()
    mean, scale = float(noisy.mean()), float(noisy.std())
    patches = draw_patches([*torch.from_numpy((noisy - mean) / scale)], np.random.default_rng(seed))

    def loss(passed: float) -> Tensor:
        return _loss(network, next(patches), GAMMA * passed)

    steps, took = train_for(network, loss, minutes, RATE, "neighbor2neighbor")
    return TrainedRival(network, mean, scale, steps, took)


def neighbours(cells: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """For each of `cells` 2x2 cells the places, 0 to 3, of two different pixels that share an edge."""
    first = torch.randint(4, (cells,), generator=generator)
    # 0 1 / 2 3: to the side is the last bit, up or down the other
    second = first ^ (1 + torch.randint(2, (cells,), generator=generator))
    return first, second


def _loss(network: nn.Module, noisy: Tensor, gamma: float) -> Tensor:
    batch, _, height, width = noisy.shape
    first, second = neighbours(batch * (height // 2) * (width // 2))
    with torch.no_grad():
        whole = network(noisy)
    one, two = _pick(noisy, first), _pick(noisy, second)
    difference: Tensor = network(one) - two
    expected = _pick(whole, first) - _pick(whole, second)
    return difference.square().mean() + gamma * (difference - expected).square().mean()


def _pick(image: Tensor, places: Tensor) -> Tensor:
    """One pixel of each 2x2 cell, [B, 1, H / 2, W / 2]."""
    cells = functional.pixel_unshuffle(image, 2)
    chosen = places.view(cells.shape[0], 1, *cells.shape[2:])
    picked: Tensor = cells.gather(1, chosen)
    return picked


def draw_patches(planes: Sequence[Tensor], rng: np.random.Generator) -> Iterator[Tensor]:
    """Batches [B, 1, P, P] of patches at random places of planes [Y, X], turned and mirrored at random."""
    side = min(PATCH, *(size for plane in planes for size in plane.shape)) // 2 * 2
    while True:
        batch = []
        for _ in range(BATCH):
            plane = planes[int(rng.integers(len(planes)))]
            y, x = (int(rng.integers(size - side + 1)) for size in plane.shape)
            patch = torch.rot90(plane[y : y + side, x : x + side], int(rng.integers(4)))
            batch.append(patch.flip(0) if rng.random() < 0.5 else patch)
        yield torch.stack(batch)[:, None]


class _Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features like `x`."""
        out: Tensor = x + self.second(functional.relu(self.first(x)))
        return out


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(blocks)))

"""GCBD: noise taken from smooth patches of noisy images, put on clean ones, to train a DnCNN with.

Source: Chen, Chen, Chao, Yang 2018, CVPR. More than the paper does, for the sake of the peer: a plane is
taken off a patch, not its mean alone (shading is no noise), and where correlated noise leaves too few
patches the bounds grow until there are enough.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peers import PeerError
from meddenoise.series import Image
from papers.rivals.gcbd_gan import train_generator
from papers.rivals.neighbor2neighbor import BATCH, PlainUNet, TrainedRival, draw_patches, quick_autocast
from papers.rivals.timed import train_for

PATCH, STRIDE = 64, 32
PART = 16
SAME_MEAN, SAME_VARIANCE = 0.1, 0.25
"""Largest difference of a part's mean and variance from those of its patch, relative. Source: the paper."""
ENOUGH = 64
GROWTH = 1.25
LEAST_VARIANCE = 1e-3
"""Of the median over patches: flatter ones are clipped."""
RATE = 1e-3
FOR_NOISE = 0.4
"""Part of the time for the network that makes noise."""


class DnCNN(nn.Module):
    """17 layers of 3 x 3 convolutions, 64 channels, batch norm. Source: Zhang et al. 2017, IEEE TIP 26(7)."""

    def __init__(self, depth: int = 17, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(channels, channels, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers.append(nn.Conv2d(channels, 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoised [B, 1, H, W] in float32."""
        with quick_autocast():
            residual: Tensor = self.layers(noisy.contiguous(memory_format=torch.channels_last))
        return noisy - residual.float()


def train_gcbd(
    noisy: Sequence[Image], clean: Sequence[Image], minutes: float, seed: int, kind: str
) -> TrainedRival:
    """A network trained for `minutes` on clean planes with the noise of the noisy ones.

    `kind` is "bootstrap" (the noise blocks as they are), "wgan" (blocks made by a network, for FOR_NOISE of
    the time) or "unet" (as bootstrap, but the U-Net of the other peers). Raises PeerError without any
    smooth patch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    blocks, _ = collect_blocks(noisy)
    if not len(blocks):
        raise PeerError("no patch of the noisy images is smooth")
    spent = 0.0
    if kind == "wgan":
        blocks, spent = train_generator(blocks, FOR_NOISE * minutes, seed)
    network: nn.Module = PlainUNet() if kind == "unet" else DnCNN()
    mean = float(np.mean([plane.mean() for plane in clean]))
    scale = float(np.mean([plane.std() for plane in clean]))
    patches = draw_patches([torch.from_numpy((plane - mean) / scale).float() for plane in clean], rng)
    draw = _noise(blocks / scale, rng)

    def loss(passed: float) -> Tensor:
        batch = next(patches)
        height, width = batch.shape[-2:]
        error: Tensor = network(batch + draw()[..., :height, :width]) - batch
        return error.square().mean()

    left = max(minutes - spent, (1 - FOR_NOISE) * minutes)
    steps, took = train_for(network, loss, left, RATE, f"gcbd {kind}")
    return TrainedRival(network, mean, scale, steps, took + spent)


def collect_blocks(noisy: Sequence[Image], enough: int = ENOUGH) -> tuple[Image, float]:
    """Noise blocks [N, PATCH, PATCH], and the factor by which the bounds had to grow to find `enough`."""
    patches = np.concatenate([_cut(plane) for plane in noisy])
    variance = patches.var(axis=(1, 2))
    patches = patches[variance > LEAST_VARIANCE * np.median(variance)]
    needed = np.sort(smallest_factor(patches))
    if not len(needed):
        return patches, 1.0
    factor = 1.0
    while (needed <= factor).sum() < min(enough, len(needed)):
        factor *= GROWTH
    return _detrend(patches[smallest_factor(patches) <= factor]), factor


def smallest_factor(patches: Image) -> NDArray[np.float64]:
    """By how much the paper's bounds must be multiplied for a patch [N, PATCH, PATCH] to count as smooth."""
    count = PATCH // PART
    parts = patches.reshape(len(patches), count, PART, count, PART).astype(np.float64)
    means, variances = parts.mean(axis=(2, 4)), parts.var(axis=(2, 4))
    whole = patches.astype(np.float64)
    mean, variance = (f(whole, axis=(1, 2))[:, None, None] for f in (np.mean, np.var))
    of_mean = np.abs(means - mean) / np.maximum(SAME_MEAN * np.abs(mean), 1e-9)
    of_variance = np.abs(variances - variance) / np.maximum(SAME_VARIANCE * variance, 1e-9)
    needed: NDArray[np.float64] = np.maximum(of_mean, of_variance).max(axis=(1, 2))
    return needed


def _cut(plane: Image) -> Image:
    view = np.lib.stride_tricks.sliding_window_view(plane, (PATCH, PATCH))[::STRIDE, ::STRIDE]
    return view.reshape(-1, PATCH, PATCH).astype(np.float32)


def _detrend(patches: Image) -> Image:
    """Patches without the plane that fits them best."""
    axis = np.linspace(-1, 1, PATCH)
    flat = np.ones((PATCH, PATCH))
    basis = np.stack([flat, flat * axis, flat * axis[:, None]]).reshape(3, -1)
    values = patches.reshape(len(patches), -1).astype(np.float64)
    fitted = np.linalg.lstsq(basis.T, values.T, rcond=None)[0]
    blocks: Image = (values - fitted.T @ basis).reshape(patches.shape).astype(np.float32)
    return blocks


def _noise(blocks: Image, rng: np.random.Generator) -> Callable[[], Tensor]:
    """Draws of BATCH blocks [B, 1, PATCH, PATCH], turned and mirrored at random."""
    stock = torch.from_numpy(blocks)

    def draw() -> Tensor:
        picked = stock[torch.from_numpy(rng.integers(len(stock), size=BATCH))]
        turned = torch.rot90(picked, int(rng.integers(4)), (1, 2))
        return (turned.flip(1) if rng.random() < 0.5 else turned)[:, None]

    return draw

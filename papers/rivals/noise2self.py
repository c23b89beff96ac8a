"""Noise2Self: a U-Net that predicts the pixels of a grid from all others, and a filter tuned the same way."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.series import Image
from papers.rivals.neighbor2neighbor import PlainUNet, TrainedRival, draw_patches
from papers.rivals.timed import train_for

RATE = 1e-3
STRIDE = 4
WEIGHTS = tuple(np.geomspace(0.01, 0.5, 9).tolist())
"""Of total variation, for images of unit range."""


def train_noise2self(noisy: Sequence[Image], minutes: float, seed: int) -> TrainedRival:
    """A network trained for `minutes` on noisy planes alone.

    Masked pixels are replaced by the mean of their four neighbours; the loss is taken on them.
    Source: Batson, Royer 2019, ICML (arXiv 1901.11365).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    everything = np.concatenate([plane.ravel() for plane in noisy])
    mean, scale = float(everything.mean()), float(everything.std())
    planes = [torch.from_numpy((plane - mean) / scale).float() for plane in noisy]
    patches, network = draw_patches(planes, rng), PlainUNet()

    def loss(passed: float) -> Tensor:
        batch = next(patches)
        mask = grid_mask(batch.shape[-2:], int(rng.integers(STRIDE**2)))
        square: Tensor = (network(fill(batch, mask)) - batch)[..., mask].square().mean()
        return square

    steps, took = train_for(network, loss, minutes, RATE, "noise2self")
    return TrainedRival(JInvariant(network).eval(), mean, scale, steps, took)


class JInvariant(nn.Module):
    """Every pixel predicted without itself: one pass for each of the grids."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoised [B, 1, H, W]."""
        result = torch.empty_like(noisy)
        for phase in range(STRIDE**2):
            mask = grid_mask(noisy.shape[-2:], phase)
            result[..., mask] = self.network(fill(noisy, mask))[..., mask]
        return result


def grid_mask(shape: Sequence[int], phase: int) -> Tensor:
    """True at every STRIDE-th pixel both ways; `phase` 0 to STRIDE² - 1 says from where."""
    mask = torch.zeros(*shape, dtype=torch.bool)
    mask[phase // STRIDE :: STRIDE, phase % STRIDE :: STRIDE] = True
    return mask


def fill(noisy: Tensor, mask: Tensor) -> Tensor:
    """`noisy` [B, 1, H, W] with the mean of the four neighbours where `mask` [H, W] is."""
    around = functional.pad(noisy, (1, 1, 1, 1), mode="reflect")
    near = (
        around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
    ) / 4
    return torch.where(mask, near, noisy)


def filter_calibrated(noisy: Image) -> Image:
    """Total variation with the weight of least self-supervised loss, made independent of each pixel."""
    low, high = float(noisy.min()), float(noisy.max())
    unit = ((noisy - low) / (high - low)).astype(np.float64)
    chambolle = partial(denoise_tv_chambolle, max_num_iter=100)
    calibrate: Callable[..., Callable[[NDArray[np.float64]], NDArray[np.float64]]] = calibrate_denoiser
    tuned = calibrate(unit, chambolle, {"weight": WEIGHTS}, stride=STRIDE)
    clean: Image = (tuned(unit) * (high - low) + low).astype(np.float32)
    return clean

"""The numbers of the tables, against the truth: PSNR over 255, SSIM, and the share of noise that is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.series import Image

PROTOCOL = Protocol(255.0, "255, that is 2 on images of -1..1")
SCORES = ["PSNR dB", "SSIM", "leak"]
"""Columns that `Scores.cells` fills."""


@dataclass(frozen=True)
class AblationScores:
    """PSNR and SSIM of planes, and the leak mean((result - clean) noise) / sigma^2: 0 blind, 1 identity."""

    psnr: float
    ssim: float
    leak: float

    def cells(self) -> list[str]:
        """Texts for the columns SCORES."""
        return [f"{self.psnr:.2f}", f"{self.ssim:.3f}", f"{self.leak:+.3f}"]


def score(result: Tensor | Image, clean: Image, noisy: Image) -> AblationScores:
    """Scores of `result` [N, (1,) H, W] for planes [N, H, W]."""
    planes = np.asarray(result.cpu() if isinstance(result, Tensor) else result, np.float64)
    planes = planes.reshape(clean.shape)
    noise = noisy.astype(np.float64) - clean
    leak = float(((planes - clean) * noise).mean() / np.square(noise).mean())
    return AblationScores(psnr(planes, clean, PROTOCOL), ssim(planes, clean, PROTOCOL), leak)


def plane_psnrs(result: Tensor, clean: Image) -> NDArray[np.float64]:
    """PSNR of every plane of `result` [..., N, 1, H, W], [..., N]."""
    error = np.square(result.cpu().double().numpy()[..., 0, :, :] - clean).mean(axis=(-2, -1))
    decibels: NDArray[np.float64] = 10 * np.log10(255**2 / error)
    return decibels


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over draws, as text."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.3f}"

"""An unconditional score network as an estimate of clean images, in the window of values it was trained on.

Outside the window the network knows nothing. What is written back is the change it makes, and it makes none
where the image lies outside: such values stay as they are, noise included.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from meddenoise.diffusion.schedules import cosine_time
from meddenoise.errors import WeightsError
from meddenoise.methods import Sampled, Setup
from meddenoise.methods.blindspot import load_part
from meddenoise.methods.stabilised import as_map
from meddenoise.networks.trunk import pad_to
from meddenoise.networks.vpsde_unet import VpsdeUNet
from meddenoise.weights.checkpoint import Checkpoint

MEDIAN = 5
"""Side in pixels of the median that tells whether a pixel lies outside the window, or its noise alone."""
INSIDE, OUTSIDE = 0.5, 1.0
"""Sigmas beyond the window up to which the change counts whole, and from which it does not count. The
median of white noise has a quarter of its standard deviation."""
MULTIPLE = 4

Way = Callable[[Tensor, Tensor], Sampled]
"""Clean [B, 1, H, W] of `noisy` [B, 1, H, W] with white noise of standard deviation `level` [B]; all in
network units, [-1, 1]."""


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """The network of one checkpoint, its window of values (low, high) and the side it was trained on."""

    network: VpsdeUNet
    window: tuple[float, float]
    tile: int

    @classmethod
    def load(cls, setup: Setup) -> "ScoreModel":
        """The model of `setup.checkpoint`. Raises WeightsError for a checkpoint that does not fit."""
        checkpoint: Checkpoint = setup.checkpoint
        network = load_part(setup, "student")
        told = {**checkpoint.metadata.normalisation, **checkpoint.metadata.method_options}
        if not isinstance(network, VpsdeUNet) or not {"low", "high", "tile"} <= told.keys():
            raise WeightsError(
                f"{checkpoint.path} states no window or no tile, or holds another network: "
                "make the checkpoint again with `meddenoise train --method vpsde`."
            )
        return cls(network, (float(told["low"]), float(told["high"])), int(told["tile"]))

    def estimate(self, x: Tensor, ratio: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """The posterior mean of the clean image given x = clean + ratio eps, in the shape and dtype of x.

        x, noisy: [B, 1, H, W]; ratio, level: their noise levels [B]. `noisy` is what a `plus` network is
        told beside x. Source: Tweedie's formula; Song et al. 2021 (arXiv 2011.13456), appendix C.
        """
        alpha, alpha_noisy = ((1 + r.square()).rsqrt()[:, None, None, None] for r in (ratio, level))
        measured = (alpha_noisy * noisy).float() if self.network.plus else None
        noise = self.network((alpha * x).float(), cosine_time(ratio).float(), measured)
        clean: Tensor = x - ratio[:, None, None, None] * noise.to(x.dtype)
        return clean

    def run(self, way: Way, noisy: Tensor, sigma: Tensor) -> Sampled:
        """`way` on `noisy` [B, 1, H, W] in the image's units; `sigma` [B] or [B, 1, H, W] as of `Denoiser`.

        The network is given one level a plane; where the map has less, less is removed.
        """
        scale = 2 / (self.window[1] - self.window[0])
        levels = as_map(sigma, noisy) * scale
        level = levels.square().mean(dim=(1, 2, 3)).sqrt()
        level = torch.where(level > 0, level, torch.ones_like(level))
        height, width = noisy.shape[-2:]
        z = (noisy - self.window[0]) * scale - 1
        moved, weight = into_window(z, level)
        made = way(pad_to(moved, MULTIPLE), level)
        weight = weight * levels / level[:, None, None, None]
        change = weight * (made.clean[..., :height, :width] - moved)
        if made.spread is None:
            return Sampled(noisy + change / scale)
        spread = torch.hypot(weight * made.spread[..., :height, :width], (1 - weight).clamp(min=0) * levels)
        return Sampled(noisy + change / scale, spread / scale)


def into_window(z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """`z` [B, 1, H, W] moved into [-1, 1] where it lies outside, and how much its change counts, 0 to 1.

    Whether a pixel lies outside, its surroundings tell: noise of standard deviation `level` [B] around a
    value inside carries single pixels beyond. Moved are whole surroundings, with their noise.
    """
    step = level[:, None, None, None]
    middle = _median(z)
    beyond = middle - middle.clamp(-1, 1)
    depth = beyond.abs() / step
    weight = ((OUTSIDE - depth) / (OUTSIDE - INSIDE)).clamp(0, 1)
    return z - beyond.sign() * step * (depth - INSIDE).clamp(min=0), weight


def _median(x: Tensor) -> Tensor:
    """Median of the pixels around each that lie inside the plane."""
    padded = functional.pad(x, (MEDIAN // 2,) * 4, value=float("nan"))
    windows = padded.unfold(2, MEDIAN, 1).unfold(3, MEDIAN, 1)
    return windows.flatten(-2).nanmedian(dim=-1).values

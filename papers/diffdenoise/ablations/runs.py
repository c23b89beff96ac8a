"""Test images as tensors, and the sampler's single runs and pairs on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import ddim, draw_from
from meddenoise.diffusion.schedules import Prediction, Schedule
from meddenoise.methods.fusion import fuse
from meddenoise.methods.srds import Srds, step_ratios
from meddenoise.noise import NoiseEstimate
from meddenoise.series import Image
from meddenoise.training.data.noisy import NoisyBatch
from papers.diffdenoise.ablations.toy import ToyImages


@dataclass(frozen=True)
class Test:
    """Test images: `noisy` and `sigma` [N, 1, H, W], `bands` [N, 4]; `truth` [N, H, W] for `measure`."""

    noisy: Tensor
    sigma: Tensor
    bands: Tensor
    source: ToyImages

    @classmethod
    def of(cls, source: ToyImages, device: torch.device) -> Self:
        """The test images of `source`, told the true level and spectrum."""
        noisy = torch.from_numpy(source.noisy)[:, None].to(device)
        bands = torch.tensor([source.noise.bands], dtype=torch.float32, device=device)
        level = torch.full_like(noisy, source.noise.sigma)
        return cls(noisy, level, bands.repeat(len(noisy), 1), source)

    def __len__(self) -> int:
        return len(self.noisy)

    @property
    def clean(self) -> Image:
        """The truth [N, H, W]."""
        return self.source.clean

    def first(self, count: int) -> "Test":
        """The first `count` images."""
        source = ToyImages(self.source.clean[:count], self.source.noisy[:count], self.source.noise)
        return Test(self.noisy[:count], self.sigma[:count], self.bands[:count], source)

    def told(self, noise: NoiseEstimate) -> "Test":
        """The same images, told another noise."""
        bands = self.bands.new_tensor([noise.bands]).repeat(len(self), 1)
        return Test(self.noisy, torch.full_like(self.sigma, noise.sigma), bands, self.source)

    def batch(self, rho: int = 0) -> NoisyBatch:
        """The batch that a condition is computed from."""
        return NoisyBatch(self.noisy, self.sigma, self.bands, rho)

    def fused(self, mean: Tensor) -> Tensor:
        """`mean` with what the noisy images still know."""
        return fuse(self.noisy, mean, self.sigma, self.bands)


@dataclass(frozen=True)
class DiffusionRun:
    """A trained diffusion network."""

    network: nn.Module
    identity: str
    schedule: Schedule
    prediction: Prediction

    @torch.inference_mode()
    def pair(
        self,
        test: Test,
        condition: Tensor,
        ratios: Sequence[float],
        seed: int,
        centre: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Half sum and half difference of two runs [N, 1, H, W], in 255ths: a run is sum plus difference.

        `centre` is the residual, in sigmas, under the first state of a partial start.
        """
        srds = Srds(self.network, self.schedule, self.prediction)
        denoise, _ = srds.over(condition, test.sigma, test.bands)
        generators = [torch.Generator().manual_seed(1_000_003 * seed + n) for n in range(len(test))]
        start = ratios[0] * draw_from(generators)(condition)
        mean, half = antithetic(ddim, denoise, start, ratios, centre=centre)
        return condition + test.sigma * mean, test.sigma * half

    def pairs(self, test: Test, condition: Tensor, steps: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Half sums and half differences [S, N, 1, H, W] of pairs from pure noise."""
        ratios = step_ratios(self.schedule, self.prediction, steps)
        found = [self.pair(test, condition, ratios, seed) for seed in seeds]
        means, halves = zip(*found, strict=True)
        return torch.stack(means), torch.stack(halves)

    def mean(self, test: Test, condition: Tensor, steps: int = 10, pairs: int = 1) -> Tensor:
        """Mean over pairs [N, 1, H, W]."""
        return self.pairs(test, condition, steps, range(pairs))[0].mean(dim=0)

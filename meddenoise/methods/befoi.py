"""befoi: fluoroscopy frames from themselves and the frames before and after; a student, or its teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meddenoise.diffusion.draws import draw_from
from meddenoise.diffusion.mixing import Measured, mixing
from meddenoise.diffusion.schedules import log_spaced
from meddenoise.errors import UsageError
from meddenoise.methods import Denoiser, Sampled, Setup
from meddenoise.methods.blindspot import load_part
from meddenoise.methods.conditional import FIRST, LAST, STEPS, Condition, Diffusion
from meddenoise.methods.direct import direct_denoiser
from meddenoise.methods.margins import narrow, widen
from meddenoise.methods.medcdiff import TILE
from meddenoise.methods.stabilised import as_map
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.normalize import window_of

DELTA = 0.5
"""Share of the measured frame that is mixed in."""


@dataclass(frozen=True, slots=True)
class CineSampler:
    """Mean of `samples` symmetric pairs of runs, or of runs that mix the frame in where `rule` says how."""

    diffusion: Diffusion
    window: tuple[float, float] | None
    steps: int = STEPS
    samples: int = 1
    rule: str = ""
    context: int = 1

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """Clean [B, 1, H, W] of frames with their neighbours [B, 3, H, W], and its uncertainty.

        NFE = 2 steps a pair, or steps a run.
        """
        middle = noisy[:, 1:2]
        windows = [self.window or window_of(plane.cpu().numpy()) for plane in middle]
        low, high = noisy.new_tensor(windows).T.reshape(2, -1, 1, 1, 1)
        scale, level = 2 / (high - low), as_map(sigma, middle)
        told = torch.cat([(noisy[:, [1, 0, 2]] - low) * scale - 1, level * scale], dim=1)
        condition = Condition(widen(told))
        made = self._mixed(condition, noise) if self.rule else self._pairs(condition, noise)
        change = narrow(made.clean) - told[:, :1]
        clean = torch.where(level == 0, middle, middle + change / scale)
        if made.spread is None:
            return Sampled(clean)
        return Sampled(clean, torch.where(level > 0, narrow(made.spread) / scale, 0.0))

    def _pairs(self, condition: Condition, noise: Sequence[torch.Generator]) -> Sampled:
        return self.diffusion.pairs(condition, self.steps, self.samples, noise)

    def _mixed(self, condition: Condition, noise: Sequence[torch.Generator]) -> Sampled:
        draw, denoise = draw_from(noise), self.diffusion.over(condition)
        ratios, level = log_spaced(FIRST, LAST, self.steps), condition.channels[:, 3:]
        measured = Measured(condition.image, level, DELTA, self.rule == "budgeted")
        total = torch.zeros_like(condition.image)
        for _ in range(self.samples):
            start = ratios[0] * draw(condition.image)
            total += mixing(denoise, start, ratios, noise=draw, measured=measured)
        return Sampled(total / self.samples)


@dataclass(frozen=True, slots=True)
class Befoi:
    """One pass of the student, pairs of runs of its teacher, or runs that mix the measured frame in.

    Source: Hu, Huang 2024 (BeFOI), equations 6 to 9; the frames before and after as further conditions.
    """

    name: str
    rule: str = ""
    uses_weights: bool = True
    tile: int | None = TILE

    def load(self, setup: Setup) -> Denoiser:
        """The denoiser of one series.

        Raises UsageError for the mode "distilled" where frames are mixed in, and a checkpoint without the
        network, WeightsError for one that does not fit.
        """
        sampling = setup.sampling
        if sampling.mode == "distilled" and self.rule:
            raise UsageError(f"--mode distilled is not for {self.name!r}, a sampler: give --method befoi.")
        if sampling.mode != "diffusion" and not self.rule:
            network = load_part(setup, "student")
            assert isinstance(network, NoiseUNet)
            return direct_denoiser(network, setup)
        steps = sampling.steps or STEPS
        return CineSampler(Diffusion.load(setup), setup.window, steps, sampling.samples, self.rule)


BEFOI = Befoi("befoi")
BEFOI_MIXING = Befoi("befoi-mixing", "budgeted")
BEFOI_FAITHFUL = Befoi("befoi-faithful", "faithful")

"""vpsde: white noise is a state of a diffusion, and one evaluation of its score is the posterior mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from meddenoise.diffusion import Noise
from meddenoise.diffusion.samplers import ancestral, draw_from, precise
from meddenoise.diffusion.schedules import get_schedule, log_spaced
from meddenoise.errors import UsageError
from meddenoise.methods import Denoiser, Sampled, Setup
from meddenoise.methods.score import ScoreModel
from meddenoise.methods.srds import mean_filter

STEPS = 10
LAST = 0.1
"""End of the steps of a draw, in units of the image's noise level."""
POOL = 5
"""Side in pixels of the window over which the spread of few draws is pooled."""

SLIDES_STEPS = 1000
LAST_TIME = 1e-5
SCHEDULE = get_schedule("cosine-1000")
TRAINED = 998
"""The last index that training draws: its time is below 1."""


@dataclass(frozen=True, slots=True)
class MatchedMean:
    """The posterior mean in one evaluation at the level of the noise; `tile` is the training side."""

    model: ScoreModel
    tile: int
    context: int = 0

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Clean [B, 1, H, W]; arguments as for `Denoiser`.

        An image with white noise of standard deviation s is a state with sigma / alpha = s, divided by alpha.
        """

        def mean(y: Tensor, level: Tensor) -> Sampled:
            return Sampled(self.model.estimate(y, level, y, level))

        return self.model.run(mean, noisy, sigma).clean


@dataclass(frozen=True, slots=True)
class MatchedDraws:
    """Mean of draws from the posterior, each by `steps` steps of reverse diffusion from the noisy image."""

    model: ScoreModel
    tile: int
    steps: int = STEPS
    samples: int = 1
    context: int = 0

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """Clean [B, 1, H, W] and its uncertainty; arguments as for `Denoiser`, a CPU generator a plane.

        NFE = steps a draw, plus 1. The uncertainty is the posterior's standard deviation, from the draws
        around the posterior mean, with what few steps take off their spread put back (`spread_kept`) and
        the error added that the mean of few draws has of its own.
        """

        def run(y: Tensor, level: Tensor) -> Sampled:
            mean = self.model.estimate(y, level, y, level)
            draws = torch.stack([self._draw(y, level, noise) for _ in range(self.samples)])
            variance = mean_filter((draws - mean).square().mean(dim=0), POOL)
            whole = 1 / spread_kept(self.steps) ** 2 + 1 / self.samples
            return Sampled(draws.mean(dim=0), (variance * whole).sqrt())

        return self.model.run(run, noisy, sigma)

    def _draw(self, y: Tensor, level: Tensor, noise: Sequence[torch.Generator]) -> Tensor:
        """One draw. The sampler runs in units of the level, which is another one in every plane."""
        unit = precise(level)[:, None, None, None]

        def denoise(x: Tensor, ratio: float) -> Tensor:
            return self.model.estimate(x * unit, ratio * unit.flatten(), precise(y), unit.flatten()) / unit

        start, draw = precise(y) / unit, draw_from(noise)
        return (ancestral(denoise, start, _ratios(self.steps), noise=draw) * unit).to(y.dtype)


def spread_kept(steps: int) -> float:
    """Standard deviation of draws in `steps` steps over that of the posterior, in (0, 1].

    Of an image that varies by as much as its noise: few steps draw too little, all the same from a third
    of the noise to three times as much. One step draws nothing; then 1. Their mean is exact at any number.
    """
    variance = 0.0
    for ratio, lower in pairwise(_ratios(steps)):
        kept = (lower / ratio) ** 2
        gain = (1 + kept * ratio**2) / (1 + ratio**2)
        variance = variance * gain**2 + kept * (ratio**2 - lower**2)
    return math.sqrt(variance / 0.5) if variance else 1.0


def _ratios(steps: int) -> tuple[float, ...]:
    """Falling levels in units of the image's own, uniform in log-SNR, then 0."""
    return log_spaced(1.0, LAST, steps)


class Vpsde:
    """One unconditional score network for every noise level.

    Source: Chaurasia, "Generative Denoising for Medical Image Reconstruction Using Score-Based Diffusion
    Models" (slides), with the sampler corrected: `vpsde-slides` is the one of the slides.
    """

    name = "vpsde"
    uses_weights = True
    tile: int | None = 28

    def load(self, setup: Setup) -> Denoiser:
        """One evaluation, or draws where `setup.sampling.mode` is "diffusion".

        Raises UsageError for the mode "distilled", WeightsError for a checkpoint that does not fit.
        """
        sampling = setup.sampling
        refuse_distilled(sampling.mode, self.name)
        model = ScoreModel.load(setup)
        if sampling.mode == "diffusion":
            return MatchedDraws(model, model.tile, sampling.steps or STEPS, sampling.samples)
        return MatchedMean(model, model.tile)


def refuse_distilled(mode: str | None, method: str) -> None:
    """Raises UsageError where a mode is asked for that needs a student."""
    if mode == "distilled":
        raise UsageError(
            f"--mode distilled needs a student, and {method!r} has none: leave out --mode "
            "('vpsde' takes one evaluation by itself), or give --mode diffusion."
        )


VPSDE = Vpsde()


@dataclass(frozen=True, slots=True)
class SlidesSampler:
    """Reverse diffusion from pure noise into which the noisy image is mixed at every step."""

    model: ScoreModel
    tile: int
    steps: int = SLIDES_STEPS
    samples: int = 1
    context: int = 0

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """Clean [B, 1, H, W]; arguments as for `Denoiser`, a CPU generator a plane; NFE = steps a draw."""
        draw = draw_from(noise)

        def run(y: Tensor, level: Tensor) -> Sampled:
            total = sum((self._run(y, level, draw) for _ in range(self.samples)), torch.zeros_like(y))
            return Sampled(total / self.samples)

        return self.model.run(run, noisy, sigma)

    def _run(self, y: Tensor, level: Tensor, draw: Noise) -> Tensor:
        """The slides' loop: mix, estimate, clip, and noise of the next level on the estimate.

        The mixture is (1 - w) X + w y, as the text says; the weights of the code, w X + w y, do not sum to 1.
        """
        times = torch.linspace(1, LAST_TIME, self.steps, dtype=torch.float64)
        indices = (times * (len(SCHEDULE) - 1)).long().clamp(max=TRAINED).tolist()
        x, clean = draw(y), y
        for index, following in zip(indices, [*indices[1:], None], strict=True):
            alpha, sigma = float(SCHEDULE.alpha[index]), float(SCHEDULE.sigma[index])
            weight = (sigma**2 / (sigma**2 + level.square()))[:, None, None, None]
            x = (1 - weight) * x + weight * y
            ratio = torch.full_like(level, float(SCHEDULE.ratio[index]))
            clean = self.model.estimate(x / alpha, ratio, y, level).clamp(-1, 1)
            if following is not None:
                x = float(SCHEDULE.alpha[following]) * clean + float(SCHEDULE.sigma[following]) * draw(y)
        return clean


class VpsdeSlides:
    """The slides' sampler on a checkpoint of `vpsde`.

    Source: Chaurasia, "Generative Denoising for Medical Image Reconstruction Using Score-Based Diffusion
    Models" (slides).
    """

    name = "vpsde-slides"
    uses_weights = True
    tile: int | None = 28

    def load(self, setup: Setup) -> SlidesSampler:
        """The sampler. Raises UsageError for the mode "distilled", WeightsError for a wrong checkpoint."""
        refuse_distilled(setup.sampling.mode, self.name)
        model = ScoreModel.load(setup)
        return SlidesSampler(model, model.tile, setup.sampling.steps or SLIDES_STEPS, setup.sampling.samples)


VPSDE_SLIDES = VpsdeSlides()

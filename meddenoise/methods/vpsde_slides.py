"""vpsde-slides: the sampler of the slides as their text has it, to compare `vpsde` with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meddenoise.diffusion import Noise
from meddenoise.diffusion.draws import draw_from
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods import Sampled, Setup
from meddenoise.methods.score import ScoreModel
from meddenoise.methods.vpsde import refuse_distilled

STEPS = 1000
LAST_TIME = 1e-5
SCHEDULE = get_schedule("cosine-1000")
TRAINED = 998
"""The last index that training draws: its time is below 1."""


@dataclass(frozen=True, slots=True)
class SlidesSampler:
    """Reverse diffusion from pure noise into which the noisy image is mixed at every step."""

    model: ScoreModel
    tile: int
    steps: int = STEPS
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
        return SlidesSampler(model, model.tile, setup.sampling.steps or STEPS, setup.sampling.samples)


VPSDE_SLIDES = VpsdeSlides()

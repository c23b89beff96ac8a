"""medcdiff-ddpm: the sampler of the Med-cDiff paper on a checkpoint of `medcdiff`, to compare it with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meddenoise.diffusion.draws import draw_from
from meddenoise.diffusion.samplers import ancestral
from meddenoise.errors import UsageError
from meddenoise.methods import Sampled, Setup
from meddenoise.methods.conditional import Condition, Diffusion
from meddenoise.methods.medcdiff import TILE, Ends, noisy_condition


@dataclass(frozen=True, slots=True)
class AncestralSampler:
    """Mean of `samples` draws of `steps` steps each, the paper's 2000 by default; one draw is the paper."""

    diffusion: Diffusion
    ends: Ends
    steps: int
    samples: int = 1
    context: int = 0

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """The result in the image's unit; a CPU generator a plane; NFE = steps a draw."""
        draw, ratios = draw_from(noise), self.diffusion.schedule.trailing(self.steps)

        def run(condition: Condition) -> Sampled:
            denoise, total = self.diffusion.over(condition), torch.zeros_like(condition.image)
            for _ in range(self.samples):
                start = ratios[0] * draw(condition.image)
                total += ancestral(denoise, start, ratios, noise=draw, variance="large")
            return Sampled(total / self.samples)

        return self.ends.run(run, noisy, sigma)


class MedcdiffDdpm:
    """Ancestral sampling with the variance beta.

    Source: Hung et al. 2023 (Med-cDiff, Bioengineering 10(11):1258), equation 20.
    """

    name = "medcdiff-ddpm"
    uses_weights = True
    tile: int | None = TILE

    def load(self, setup: Setup) -> AncestralSampler:
        """The sampler. Raises UsageError for the mode "distilled" and a checkpoint without it."""
        sampling = setup.sampling
        if sampling.mode == "distilled":
            raise UsageError(
                "--mode distilled is not for 'medcdiff-ddpm', a sampler: give --method medcdiff."
            )
        diffusion = Diffusion.load(setup)
        steps = sampling.steps or len(diffusion.schedule)
        return AncestralSampler(diffusion, Ends(noisy_condition, setup.window), steps, sampling.samples)


MEDCDIFF_DDPM = MedcdiffDdpm()

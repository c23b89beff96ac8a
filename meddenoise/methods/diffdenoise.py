"""diffdenoise: trained on noisy images alone; a student in one pass, or the sampler it learned from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from meddenoise.diffusion.antithetic import contraction
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods import Denoiser, Sampled, Sampling, Setup
from meddenoise.methods.blindspot import BlindSpotDenoiser, load_blind, load_part
from meddenoise.methods.compiled import run_compiled
from meddenoise.methods.direct import direct_denoiser
from meddenoise.methods.fusion import fuse
from meddenoise.methods.srds import Srds, remaining_spread
from meddenoise.methods.stabilised import as_map, on_stable
from meddenoise.noise import NoiseEstimate

LARGEST_PLANE = 1024
"""Planes up to this side go through whole."""
STEPS = 10


@dataclass(frozen=True, slots=True)
class DiffusionDenoiser:
    """Blind estimate, symmetric pairs of reverse diffusion, fusion with the noisy image."""

    blind: BlindSpotDenoiser
    srds: Srds
    context: int = 0

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> "DiffusionDenoiser":
        """The same for a batch of planes with noise of these spectra."""
        return replace(self, blind=self.blind.for_planes(noise))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """As `sample`, every plane from the same noise."""
        return self.sample(noisy, sigma, [torch.Generator().manual_seed(0) for _ in noisy]).clean

    def sample(self, noisy: Tensor, sigma: Tensor, noise: Sequence[torch.Generator]) -> Sampled:
        """Clean [B, 1, H, W] and its uncertainty; arguments as for `Denoiser`, a CPU generator a plane.

        NFE = 2 steps a pair, plus 1. The uncertainty is `remaining_spread`.
        """
        spreads: list[Tensor] = []
        shrunk = contraction(self.srds.schedule.trailing(self.srds.steps), 1.0)

        def run(noisy: Tensor, sigma: Tensor) -> Tensor:
            bands = self.blind.bands_for(noisy)
            mean, runs = self.srds(self.blind.blind(noisy, sigma), sigma, bands, noise)
            change, runs = (noisy - mean) / sigma, runs / sigma
            left = remaining_spread(change, runs, shrunk, self.srds.pairs, self.blind.fusion)
            spreads.append(sigma * left)
            return fuse(noisy, mean, sigma, bands) if self.blind.fusion else mean

        clean = on_stable(run, noisy, sigma, self.blind.rician)
        # Behind the transform sigma is 1, and above a few sigmas its slope is 1 / sigma.
        level = as_map(sigma, noisy)
        scale = level if self.blind.rician else (level > 0).to(level.dtype)
        return Sampled(clean, spreads[0] * scale)


class DiffDenoise:
    """Self-supervised diffusion with stabilized reverse sampling, distilled into one pass.

    Source: Demir et al. 2025 (arXiv 2504.00264).
    """

    name = "diffdenoise"
    uses_weights = True
    tile: int | None = LARGEST_PLANE

    def compiles(self, sampling: Sampling) -> bool:
        """True for one pass."""
        return sampling.mode != "diffusion" and sampling.fusion

    def load(self, setup: Setup) -> Denoiser:
        """The student, or the sampler where `setup.sampling.mode` is "diffusion".

        Raises UsageError for a checkpoint without the networks that the mode needs, WeightsError for one that
        does not fit.
        """
        sampling = setup.sampling
        if sampling.mode == "distilled" and not sampling.fusion:
            raise UsageError("--no-fusion is for the sampler, and --mode distilled is one pass: drop one.")
        if sampling.mode != "diffusion" and sampling.fusion:
            student = load_part(setup, "student")
            run_compiled(student, setup)
            return direct_denoiser(student, setup)
        network = load_part(setup, "diffusion")
        schedule = setup.checkpoint.metadata.schedule
        if schedule is None:
            raise UsageError(f"the checkpoint {setup.checkpoint.path.name} states no diffusion schedule.")
        srds = Srds(
            network,
            get_schedule(schedule["name"]),
            schedule["prediction"],
            sampling.steps or STEPS,
            sampling.samples,
        )
        return DiffusionDenoiser(load_blind(setup), srds)


DIFFDENOISE = DiffDenoise()

"""Problems to compare samplers on: the diffusion network of a checkpoint over test images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.pictures import load_pictures
from meddenoise.diffusion import Denoise
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods import Setup
from meddenoise.methods.blindspot import load_blind, load_part
from meddenoise.methods.conditional import FIRST, LAST, Condition, Diffusion
from meddenoise.methods.score import ScoreModel
from meddenoise.methods.srds import EPS_START, Srds
from meddenoise.noise import NoiseEstimate
from meddenoise.weights.checkpoint import Checkpoint
from papers.medcdiff.restoration_cases import TASKS, RestorationCase, in_units, load_cases
from papers.vpsde.vpsde import FOLDERS as CT_FOLDERS
from papers.vpsde.vpsde import SIGMA, load_patches

RANGE = 2.0
"""Of all images here: [-1, 1]."""
SRDS_SIGMA = 2 * 25 / 255
"""Noise for networks of DiffDenoise."""
CROP, PATCHES = 128, 16
"""Side of an image; small patches that stand for one."""


@dataclass(frozen=True)
class SamplerProblem:
    """Images [B, 1, H, W], an estimate of them in states, and between which ratios those are sampled.

    `every` are the falling ratios of the full sampler, then 0; `high` and `low` the ends for samplers that
    place their own. A run starts from `centre` plus noise, or where `given` from `centre` itself. `finish`
    makes an image of the end of a run.
    """

    truth: Tensor
    denoise: Denoise
    centre: Tensor
    every: tuple[float, ...]
    low: float
    given: bool = False
    finish: Callable[[Tensor], Tensor] = lambda end: end

    @property
    def high(self) -> float:
        """The ratio of the first state."""
        return self.every[0]


def load_problem(data: Path, checkpoint: Checkpoint, images: int) -> SamplerProblem:
    """The problem of one checkpoint, on `images` validation images of each modality (patches for vpsde).

    Raises UsageError for a checkpoint without a diffusion network.
    """
    method, setup = checkpoint.metadata.method, Setup(checkpoint=checkpoint)
    if method in TASKS:
        return _restoration(load_cases(data, method, images, CROP), setup)
    if method == "vpsde":
        return _score(data, setup, images)
    if method == "diffdenoise":
        return _residual(data, setup, images)
    raise UsageError(
        f"{checkpoint.path.name} is a checkpoint of {method!r}: give one of vpsde, diffdenoise or medcdiff."
    )


def _restoration(cases: list[RestorationCase], setup: Setup) -> SamplerProblem:
    """The first setting of each picture, from pure noise."""
    chosen = list({case.picture: case for case in reversed(cases)}.values())
    known = [case.condition.known for case in chosen if case.condition.known is not None]
    channels = torch.cat([case.condition.channels for case in chosen])
    condition = Condition(channels, torch.cat(known) if known else None)
    diffusion = Diffusion.load(setup)
    high = EPS_START if diffusion.prediction == "eps" else FIRST
    every = _below(diffusion.schedule.trailing(len(diffusion.schedule)), high)
    truth = torch.cat([case.clean for case in chosen])
    return SamplerProblem(truth, diffusion.over(condition), condition.image, every, LAST)


def _score(data: Path, setup: Setup, images: int) -> SamplerProblem:
    """Patches of the slides' protocol, from the noisy patch itself; in units of its noise."""
    model = ScoreModel.load(setup)
    patches, _ = load_patches(data, CT_FOLDERS)
    places = np.linspace(0, len(patches) - 1, min(PATCHES * images, len(patches)))
    truth = patches[torch.from_numpy(places.astype(int))]
    noisy = truth + SIGMA * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    level = torch.full((len(truth),), SIGMA)

    def denoise(x: Tensor, ratio: float) -> Tensor:
        state, told = x * SIGMA, noisy.to(x.dtype)
        return model.estimate(state, (ratio * level).to(x), told, level.to(x)) / SIGMA

    schedule = get_schedule("cosine-1000")
    every = tuple(ratio / SIGMA for ratio in schedule.trailing(len(schedule)))
    return SamplerProblem(
        truth, denoise, noisy / SIGMA, _below(every, 1.0), 0.1, given=True, finish=lambda end: end * SIGMA
    )


def _residual(data: Path, setup: Setup, images: int) -> SamplerProblem:
    """Residuals of noisy images about the blind estimate, in units of the noise, from pure noise."""
    pictures = load_pictures(data, images, side=CROP)
    truth = torch.from_numpy(np.stack([in_units(picture, CROP) for picture in pictures]))[:, None]
    noisy = truth + SRDS_SIGMA * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.full_like(noisy, SRDS_SIGMA)
    white = Setup(checkpoint=setup.checkpoint, noise=NoiseEstimate(SRDS_SIGMA))
    blind, told = load_blind(white), setup.checkpoint.metadata.schedule
    if told is None:
        raise UsageError(f"the checkpoint {setup.checkpoint.path.name} states no diffusion schedule.")
    schedule = get_schedule(told["name"])
    srds = Srds(load_part(setup, "diffusion"), schedule, told["prediction"])
    centre = blind.blind(noisy, sigma)
    denoise, _ = srds.over(centre, sigma, blind.bands_for(noisy))
    high = EPS_START if srds.prediction == "eps" else FIRST
    every = _below(schedule.trailing(len(schedule)), high)
    return SamplerProblem(
        truth, denoise, torch.zeros_like(centre), every, LAST, finish=lambda end: centre + sigma * end
    )


def _below(ratios: tuple[float, ...], high: float) -> tuple[float, ...]:
    """`high`, then the falling ratios below it."""
    return (high, *(ratio for ratio in ratios if ratio < high))

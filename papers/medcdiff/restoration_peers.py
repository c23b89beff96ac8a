"""The methods of the Med-cDiff benchmark, each a callable (case) -> Sampled, in network units."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor
from torch.nn import functional

from benchmarks.peers import make_columns
from meddenoise.methods import (
    Denoiser,
    Sampled,
    Sampling,
    SamplingDenoiser,
    Setup,
    SpectralDenoiser,
    get,
)
from meddenoise.methods.medcdiff import load_restorer
from meddenoise.noise import NoiseEstimate
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import load_images
from meddenoise.training.data.pairs import PairSource, validation_pairs
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import Checkpoint
from papers.medcdiff.restoration_cases import RestorationCase, Task
from papers.rivals.pix2pix import SIDE, load_pix2pix, train_pix2pix
from papers.rivals.regression import RegressionTask, load_regression, train_regression

Peer = Callable[[RestorationCase], Sampled]

WINDOW = (-1.0, 1.0)
"""Of images that are in network units already."""
PAIRS = 8
CLASSICAL: dict[Task, tuple[str, ...]] = {
    "medcdiff": ("median", "nlm", "bm3d"),
    "medcdiff-upscale": ("bilinear",),
    "medcdiff-inpaint": ("biharmonic",),
}
INPUT = {"medcdiff": "noisy", "medcdiff-upscale": "bicubic", "medcdiff-inpaint": "hole"}
"""Names of the degraded image itself: of super-resolution it is the bicubic interpolation."""


@dataclass(frozen=True)
class PeerBudget:
    """The images peers train on, the recipe that says how, for how long, and the folder that keeps them."""

    data: Path
    recipe: Recipe
    minutes: float
    folder: Path


def ours(task: Task, checkpoint: Checkpoint, ddpm_steps: int, pairs: int = PAIRS) -> dict[str, Peer]:
    """The modes of our method, its sampler with one pair of runs and with `pairs`.

    The paper's sampler of `ddpm_steps` steps too where that is not 0.
    """
    found = {
        task: _ours(task, checkpoint, Sampling()),
        f"{task}, one pair": _ours(task, checkpoint, Sampling(mode="diffusion")),
        f"{task}, {pairs} pairs": _ours(task, checkpoint, Sampling(mode="diffusion", samples=pairs)),
    }
    if task == "medcdiff" and ddpm_steps:
        sampler = get("medcdiff-ddpm").load(
            Setup(checkpoint=checkpoint, window=WINDOW, sampling=Sampling(steps=ddpm_steps))
        )
        found[f"medcdiff-ddpm, {ddpm_steps} steps"] = lambda case: _run(sampler, case)
    return found


def trained(budget: PeerBudget) -> dict[str, Peer]:
    """Regression and pix2pix, trained now on the training images of our recipe, or taken from the folder."""
    recipe, folder = budget.recipe, budget.folder / budget.recipe.method
    paths = folder / "regression" / "checkpoint.safetensors", folder / "pix2pix.safetensors"
    if not all(path.exists() for path in paths):
        training, validation = load_images(
            TrainingSet(budget.data), recipe.data, recipe.loop.patch, lambda done, total: None
        )
        control = RegressionTask(recipe, training, validation_pairs(recipe.method, validation))
        train_regression(control, budget.minutes, paths[0].parent)
        source = PairSource(recipe, training, replace(recipe.loop, patch=SIDE))
        train_pix2pix(source, budget.minutes, paths[1])
    return load_trained(folder)


def load_trained(folder: Path) -> dict[str, Peer]:
    """Regression and pix2pix of one task, from the folder they were trained into."""
    return {
        "regression": _plain(load_regression(folder / "regression" / "checkpoint.safetensors")),
        "pix2pix": _plain(load_pix2pix(folder / "pix2pix.safetensors")),
    }


def classical(task: Task) -> dict[str, Peer]:
    """The degraded image itself, and the classical methods whose packages are installed."""
    found, _ = make_columns({name: partial(_classical, name) for name in CLASSICAL[task]})
    return {INPUT[task]: _plain(lambda case: case.condition.image)} | found


def _classical(name: str) -> dict[str, Peer]:
    return {name: _plain(OWN[name]) if name in OWN else _filter(get(name).load(Setup()))}


def _ours(task: Task, checkpoint: Checkpoint, sampling: Sampling) -> Peer:
    setup = Setup(checkpoint=checkpoint, window=WINDOW, sampling=sampling)
    if task == "medcdiff":
        denoiser = get(task).load(setup)
        return lambda case: _run(denoiser, case)
    if task == "medcdiff-inpaint":
        restorer = load_restorer(setup, "inpaint")
        return lambda case: _run(restorer, case)
    # The factor is told when loading, the weights are read each time: not part of what is measured.
    by_factor: dict[float, Denoiser] = {}

    def upscale(case: RestorationCase) -> Sampled:
        if case.factor not in by_factor:
            by_factor[case.factor] = load_restorer(setup, "upscale", case.factor)
        return _run(by_factor[case.factor], case)

    return upscale


def _run(denoiser: Denoiser, case: RestorationCase) -> Sampled:
    channels = case.condition.channels
    planes = channels if case.condition.known is not None else channels[:, :1]
    sigma = torch.tensor([case.sigma])
    if isinstance(denoiser, SpectralDenoiser):
        denoiser = denoiser.for_planes([NoiseEstimate(case.sigma, case.bands)])
    if isinstance(denoiser, SamplingDenoiser):
        return denoiser.sample(planes, sigma, [torch.Generator().manual_seed(0)])
    return Sampled(denoiser(planes, sigma))


def _filter(denoiser: Denoiser) -> Peer:
    return _plain(lambda case: denoiser(case.condition.image, torch.tensor([case.sigma])))


def _plain(function: Callable[[RestorationCase], Tensor]) -> Peer:
    """A method that states no uncertainty."""
    return lambda case: Sampled(function(case))


def _bilinear(case: RestorationCase) -> Tensor:
    """From the coarse grid, which the area average of the clean image gives again."""
    side = round(case.clean.shape[-1] / case.factor)
    coarse = functional.interpolate(case.clean, size=(side, side), mode="area")
    return functional.interpolate(coarse, size=case.clean.shape[-2:], mode="bilinear", align_corners=False)


def _biharmonic(case: RestorationCase) -> Tensor:
    image, hole = case.condition.channels[0].numpy()
    filled = inpaint_biharmonic(image, hole > 0, split_into_regions=True).astype(np.float32)
    return case.condition.paste(torch.from_numpy(filled)[None, None])


OWN: dict[str, Callable[[RestorationCase], Tensor]] = {"bilinear": _bilinear, "biharmonic": _biharmonic}

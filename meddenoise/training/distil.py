"""Med-cDiff and BeFOI from clean images to OUT/checkpoint.safetensors, by OUT/diffusion and OUT/student."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods.conditional import STEPS, Diffusion
from meddenoise.training import Manner, Sides, Watch
from meddenoise.training.befoi import StudentTask
from meddenoise.training.begin import part_of, with_condition
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import Case, validation_pairs
from meddenoise.training.medcdiff import OnePassTask, RestorationTask
from meddenoise.training.recipe import Recipe
from meddenoise.training.stages import STATE, pack, train_stage
from meddenoise.training.table import find_row
from meddenoise.weights import load
from meddenoise.weights.checkpoint import Checkpoint, load_network

SHARES = {"diffusion": 0.57, "calibration": 0.05, "student": 0.38}
"""Of a time budget, once the images are read."""

PAIRS = 2
CASES = 12
"""Images it is measured on, spread evenly over those for validation."""
WITHIN = 0.9545
"""Share of normal errors within two standard deviations."""


def train_distilled(recipe: Recipe, sides: Sides, output: Path, manner: Manner, watch: Watch) -> Path:
    """Train both networks on the training `sides[0]`; the checkpoint that holds them.

    The diffusion network of weights to begin with stays as it is: only the one pass is trained.
    Raises TrainingError as `loop.train` does, for either; UsageError for settings that do not exist, and for
    weights without a diffusion network.
    """
    training, cases = sides[0], validation_pairs(recipe.method, sides[1])
    given = None if manner.start is None else load(manner.start)
    if given is None:
        diffusion = _train_diffusion(recipe, (training, cases), output, manner, watch)
    else:
        diffusion = _kept(given, recipe)
    watch.stage("one pass")
    seconds = manner.budget.take(SHARES["student"] if given is None else 1.0)
    student = train_stage(
        StudentTask(recipe, *sides, diffusion, given)
        if find_row(recipe.method).frames
        else OnePassTask(recipe, training, cases, diffusion),
        replace(recipe.loop, seconds=seconds),
        (output / "student", None),
        manner.resume,
        watch,
    )
    return pack(output / "checkpoint.safetensors", student, diffusion=diffusion)


def _kept(weights: Checkpoint, recipe: Recipe) -> Checkpoint:
    """The diffusion network of weights to begin with."""
    assert recipe.conditional is not None
    found = part_of(weights, "diffusion")
    schedule = {"name": recipe.conditional.schedule, "prediction": recipe.conditional.prediction}
    if found is None or found.metadata.method != recipe.method or found.metadata.schedule != schedule:
        raise UsageError(
            f"{weights.path} has no diffusion network of {recipe.method!r} that fits the recipe: give --from "
            "weights of that method."
        )
    return with_condition(found, find_row(recipe.method).channels)


def _train_diffusion(
    recipe: Recipe,
    images: tuple[list[TrainingImage], Sequence[Case]],
    output: Path,
    manner: Manner,
    watch: Watch,
) -> Checkpoint:
    """The diffusion network, its uncertainty calibrated on the second of `images`."""
    assert recipe.conditional is not None
    training, cases = images
    start = part_of(load(recipe.start), "diffusion") if recipe.start else None
    if start is not None:
        start = with_condition(start, find_row(recipe.method).channels)
    watch.stage("diffusion network")
    diffusion = train_stage(
        RestorationTask(recipe, training, cases, start),
        replace(recipe.conditional.loop, seconds=manner.budget.take(SHARES["diffusion"])),
        (output / "diffusion", output / "student" / STATE),
        manner.resume,
        watch,
    )
    watch.stage("calibration")
    return calibrated(diffusion, cases, manner.budget.take(SHARES["calibration"]))


def calibrated(checkpoint: Checkpoint, cases: Sequence[Case], seconds: float = 0.0) -> Checkpoint:
    """The checkpoint of a diffusion network, with the "widening" of its uncertainty, found in that time."""
    metadata = checkpoint.metadata
    assert metadata.schedule is not None
    network = load_network(checkpoint, metadata.network, metadata.network_options)
    diffusion = Diffusion(network, get_schedule(metadata.schedule["name"]), metadata.schedule["prediction"])
    widening = find_widening(diffusion, cases, find_row(metadata.method).frames, seconds)
    options = {**metadata.method_options, "widening": round(widening, 3)}
    return replace(checkpoint, metadata=replace(metadata, method_options=options))


def find_widening(
    diffusion: Diffusion, cases: Sequence[Case], matched: bool = False, seconds: float = 0.0
) -> float:
    """The factor on standard deviations that puts WITHIN of the errors of pixels that count inside two.

    `matched`: runs begin at the noise level that the last channel of the condition says, as BeFOI's do.
    One number for all pixels, images and modalities; 1 without cases. With `seconds` > 0 of as many images as
    that allows, at least one.
    Source: Kuleshov, Fenner, Ermon 2018, ICML (arXiv 1807.00263), as one scale.
    """
    chosen = cases[:: max(1, -(-len(cases) // CASES))]
    ratios: list[torch.Tensor] = []
    began = perf_counter()
    for seed, case in enumerate(chosen):
        spent = perf_counter() - began
        if seconds > 0 and ratios and spent * (1 + 1 / len(ratios)) > seconds:
            break
        ratios.append(_ratios(diffusion, case, seed, matched))
    return float(torch.cat(ratios).quantile(WITHIN)) / 2 if ratios else 1.0


@torch.no_grad()
def _ratios(diffusion: Diffusion, case: Case, seed: int, matched: bool) -> torch.Tensor:
    """Errors over stated standard deviations of the pixels of one image that count, each tenth of them."""
    pair = case[1]
    noise = [torch.Generator().manual_seed(seed) for _ in pair.clean]
    level = pair.condition.channels[:, -1].square().mean().sqrt()
    start = diffusion.matched(float(level)) if matched else None
    made = diffusion.pairs(pair.condition, STEPS, PAIRS, noise, start)
    assert made.spread is not None
    error = (made.clean - pair.clean).abs()[pair.counts > 0]
    return (error / made.spread[pair.counts > 0].clamp(min=1e-6))[::10].float()

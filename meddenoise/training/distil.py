"""Med-cDiff from clean images to a checkpoint: OUT/diffusion, OUT/student, and OUT/checkpoint.safetensors."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.methods.conditional import STEPS, Diffusion
from meddenoise.networks import build
from meddenoise.training import Manner, Watch
from meddenoise.training.befoi import StudentTask
from meddenoise.training.begin import part_of
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import BEFOI, Case, validation_pairs
from meddenoise.training.loop import LoopOptions
from meddenoise.training.medcdiff import OnePassTask, RestorationTask
from meddenoise.training.recipe import Recipe
from meddenoise.training.stages import STATE, pack, train_stage
from meddenoise.weights import load
from meddenoise.weights.checkpoint import Checkpoint, load_state

SHARES = {"diffusion": 0.57, "calibration": 0.05, "student": 0.38}
"""Of a time budget, once the images are read."""

PAIRS = 2
CASES = 12
"""Images it is measured on, spread evenly over those for validation."""
WITHIN = 0.9545
"""Share of normal errors within two standard deviations."""


def train_distilled(
    recipe: Recipe,
    sides: tuple[list[TrainingImage], list[TrainingImage]],
    output: Path,
    manner: Manner,
    watch: Watch,
) -> Path:
    """Train both networks on the training `sides[0]`; the checkpoint that holds them.

    Raises TrainingError as `loop.train` does, for either; UsageError for settings that do not exist.
    """
    assert recipe.conditional is not None
    training, cases = sides[0], validation_pairs(recipe.method, sides[1])

    def timed(options: LoopOptions, stage: str) -> LoopOptions:
        return replace(options, seconds=manner.budget.take(SHARES[stage]))

    watch.stage("diffusion network")
    student_folder = output / "student"
    start = part_of(load(recipe.start), "diffusion") if recipe.start else None
    diffusion = train_stage(
        RestorationTask(recipe, training, cases, start),
        timed(recipe.conditional.loop, "diffusion"),
        (output / "diffusion", student_folder / STATE),
        manner.resume,
        watch,
    )
    watch.stage("calibration")
    widened = calibrated(diffusion, cases, manner.budget.take(SHARES["calibration"]))
    watch.stage("one pass")
    student = train_stage(
        StudentTask(recipe, *sides, diffusion)
        if recipe.method == BEFOI
        else OnePassTask(recipe, training, cases, diffusion),
        timed(recipe.loop, "student"),
        (student_folder, None),
        manner.resume,
        watch,
    )
    return pack(output / "checkpoint.safetensors", student, diffusion=widened)


def calibrated(checkpoint: Checkpoint, cases: Sequence[Case], seconds: float = 0.0) -> Checkpoint:
    """The checkpoint of a diffusion network, with the "widening" of its uncertainty, found in that time."""
    metadata = checkpoint.metadata
    assert metadata.schedule is not None
    network = build(metadata.network, dict(metadata.network_options))
    load_state(network, checkpoint)
    network.eval().requires_grad_(False)
    diffusion = Diffusion(network, get_schedule(metadata.schedule["name"]), metadata.schedule["prediction"])
    widening = find_widening(diffusion, cases, metadata.method == BEFOI, seconds)
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

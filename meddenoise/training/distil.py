"""Med-cDiff from clean images to a checkpoint: OUT/diffusion, OUT/student, and OUT/checkpoint.safetensors."""

from dataclasses import replace
from pathlib import Path

from meddenoise.training import Manner, Watch
from meddenoise.training.befoi import StudentTask
from meddenoise.training.begin import part_of
from meddenoise.training.calibration import calibrated
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.pairs import BEFOI, validation_pairs
from meddenoise.training.loop import LoopOptions
from meddenoise.training.medcdiff import DiffusionTask, OnePassTask
from meddenoise.training.recipe import Recipe
from meddenoise.training.stages import STATE, pack, train_stage
from meddenoise.weights import load

SHARES = {"diffusion": 0.55, "student": 0.4}
"""Of a time budget; the rest is for reading, validation, calibration and writing."""


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
        return replace(options, seconds=SHARES[stage] * manner.seconds)

    watch.stage("diffusion network")
    student_folder = output / "student"
    start = part_of(load(recipe.start), "diffusion") if recipe.start else None
    diffusion = train_stage(
        DiffusionTask(recipe, training, cases, start),
        timed(recipe.conditional.loop, "diffusion"),
        (output / "diffusion", student_folder / STATE),
        manner.resume,
        watch,
    )
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
    watch.stage("calibration")
    return pack(output / "checkpoint.safetensors", student, diffusion=calibrated(diffusion, cases))

"""Trainers that the rows of the table name: each reads the images and trains the networks."""

from dataclasses import replace
from pathlib import Path

import torch

from meddenoise.errors import UsageError
from meddenoise.networks.blind_spot import RADII
from meddenoise.training import Manner, Sides, TrainingSet, Watch
from meddenoise.training.begin import no_smaller
from meddenoise.training.data.load import load_images
from meddenoise.training.data.noisy import NoisyReading, load_noisy
from meddenoise.training.data.organamnist import load_organamnist
from meddenoise.training.data.windowed import load_windowed
from meddenoise.training.distil import train_distilled
from meddenoise.training.loop import TrainingTask, train
from meddenoise.training.noise_level import NoiseLevelTask
from meddenoise.training.recipe import Recipe
from meddenoise.training.split import split_notes
from meddenoise.training.stages import StagesRun, train_stages
from meddenoise.training.supervised import SupervisedTask
from meddenoise.training.vpsde import ScoreTask
from meddenoise.weights import load
from meddenoise.weights.checkpoint import Checkpoint


def train_direct(recipe: Recipe, images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """Regression towards clean images."""
    weights = _weights(recipe, manner)
    recipe = no_smaller(recipe, weights if manner.start else None)
    training, validation = load_images(images, recipe.data, recipe.loop.patch, watch.reading)
    _tell_split((training, validation), watch)
    return _train(SupervisedTask(recipe, training, validation, weights), recipe, output, manner, watch)


def train_score(recipe: Recipe, images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """An unconditional score network, from clean images."""
    weights, patch, score = _weights(recipe, manner), recipe.loop.patch, recipe.score
    if score.dataset:
        planes = load_organamnist(images.folder, patch)
    else:
        planes = load_windowed(images, recipe.data, score.window, patch, watch.reading)
    return _train(ScoreTask(recipe, planes, weights), recipe, output, manner, watch)


def train_estimator(recipe: Recipe, images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """The noise estimator, from images with little noise and drawn ones."""
    weights = _weights(recipe, manner)
    sides = load_images(images, recipe.data, recipe.loop.patch, watch.reading)
    return _train(NoiseLevelTask(recipe, *sides, weights), recipe, output, manner, watch)


def train_diffusion(recipe: Recipe, images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """A conditional diffusion network, and one pass distilled from it."""
    assert recipe.conditional is not None
    patch = max(recipe.conditional.loop.patch, recipe.loop.patch)
    sides = load_images(images, recipe.data, patch, watch.reading)
    _tell_split(sides, watch)
    return train_distilled(recipe, sides, output, manner, watch)


def train_noisy(recipe: Recipe, images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """All stages of DiffDenoise, from noisy images."""
    assert recipe.stages is not None
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        raise UsageError(f"{recipe.method!r} is trained by one process: start it without torchrun.")
    if manner.blind_radius is not None and manner.blind_radius not in RADII:
        raise UsageError(f"--blind-radius is {manner.blind_radius}: give auto or one of {RADII}.")
    stages = recipe.stages
    patch = max(stages.blind.patch, stages.diffusion.patch, recipe.loop.patch)
    radii = tuple(stages.blind_network.get("radii", RADII))
    reading = NoisyReading(patch, radii, stages.simulated, manner.blind_radius, stages.blind.seed)
    start = _weights(recipe, manner)
    recipe = no_smaller(recipe, start)
    exact = [row for row in recipe.data if row.exact]
    found = load_noisy(images, [row for row in recipe.data if not row.exact], reading, watch.reading)
    for note in found.notes:
        watch.note(note)
    sides = load_images(images, exact, recipe.loop.patch, watch.reading, alone=False)
    if stages.simulated is None:
        recipe = replace(recipe, modalities=found.modalities())
    return train_stages(StagesRun(recipe, found, output, manner.resume, watch, manner.budget, sides, start))


def _train(task: TrainingTask, recipe: Recipe, output: Path, manner: Manner, watch: Watch) -> Path:
    """The one network of a method that has one."""
    loop = replace(recipe.loop, seconds=manner.budget.take(1.0))
    return train(task, loop, output, resume=manner.resume, progress=watch.step)


def _weights(recipe: Recipe, manner: Manner) -> Checkpoint | None:
    """The weights that a network begins with: those that were given, else those that the recipe names."""
    start = manner.start or recipe.start
    return load(start) if start else None


def _tell_split(sides: Sides, watch: Watch) -> None:
    """Note a split that says little, as that of a small folder."""
    groups = [[image.group for image in side if not image.source.startswith("phantom:")] for side in sides]
    for note in split_notes(*groups):
        watch.note(note)

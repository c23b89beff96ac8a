"""Training: images into patches, patches into noisy pairs, pairs into checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meddenoise.errors import MeddenoiseError, UsageError
from meddenoise.training.budget import Budget

if TYPE_CHECKING:
    from meddenoise.noise.profile import NoiseProfile
    from meddenoise.training.data import TrainingImage
    from meddenoise.training.loop import TrainingTask
    from meddenoise.training.recipe import Recipe
    from meddenoise.weights.checkpoint import Checkpoint

    Sides = tuple[list[TrainingImage], list[TrainingImage]]

FEWEST_FRAMES = 3
"""Of a run that shows what a recursive filter passes on: two differences."""
METHOD = "method.txt"
"""In the folder of a run: the name of what is trained there."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Images to train on: clean ones, or noisy ones with their clean partners in `references`.

    With a `profile`, clean images get the noise of that device, else any; of frames, BeFOI's noise module.
    """

    folder: Path
    references: Path | None = None
    profile: "NoiseProfile | None" = None
    validation: str | None = None
    """The ones held out, as of `split.read_split`."""


class Watch(Protocol):
    """Listener to the progress of the training."""

    def reading(self, done: int, total: int) -> None:
        """Series read so far."""

    def stage(self, name: str) -> None:
        """Another stage begins."""

    def making(self, done: int, total: int) -> None:
        """Targets made so far."""

    def note(self, text: str) -> None:
        """Something about the images that a user should know."""

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        """Loss, and validation scores when there are new ones, after `step` of `total` steps."""


@dataclass(frozen=True, slots=True)
class Manner:
    """Weights to fine-tune, whether to go on with an earlier run, a time budget, a blind radius."""

    start: str | None = None
    resume: bool = True
    budget: Budget = field(default_factory=Budget)
    blind_radius: int | None = None
    """Of self-supervised methods; None measures it."""


def run_training(
    recipe: "Recipe", images: TrainingSet, output: Path, manner: Manner = Manner(), *, watch: Watch
) -> Path:
    """Train `recipe`; the checkpoint written under `output`.

    Raises UsageError where a package is missing or options do not fit the method, TrainingError for data,
    recipes and resumes that cannot be used, and for an `output` that holds the run of another method.
    """
    try:
        from meddenoise.training.loop import train
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs the package {error.name!r}: pip install {error.name}.") from error
    _check_profile(recipe, images)
    with _claimed(output, recipe.method):
        if recipe.stages is not None:
            return _train_noisy(recipe, images, output, manner, watch)
        if recipe.conditional is not None:
            return _train_conditional(recipe, images, output, manner, watch)
        if manner.blind_radius is not None:
            raise UsageError(
                f"--blind-radius is for self-supervised methods, and {recipe.method!r} is not one."
            )
        from dataclasses import replace

        task = _TASKS.get(recipe.method, _supervised_task)(recipe, images, manner, watch)
        loop = replace(recipe.loop, seconds=manner.budget.take(1.0))
        return train(task, loop, output, resume=manner.resume, progress=watch.step)


def _tell_split(sides: "Sides", watch: Watch) -> None:
    """Note a split that says little, as that of a small folder."""
    from meddenoise.training.split import split_notes

    groups = [[image.group for image in side if not image.source.startswith("phantom:")] for side in sides]
    for note in split_notes(*groups):
        watch.note(note)


@contextmanager
def _claimed(output: Path, method: str) -> Iterator[None]:
    """Note in the folder of a run whose it is; a run that ends before it wrote anything leaves nothing.

    Raises TrainingError where it is another method's.
    """
    existed = output.exists()
    _claim(output, method)
    try:
        yield
    except MeddenoiseError:
        if not existed and [path.name for path in output.iterdir()] == [METHOD]:
            (output / METHOD).unlink()
            output.rmdir()
        raise


def _claim(output: Path, method: str) -> None:
    from meddenoise.errors import TrainingError
    from meddenoise.io.atomic import write_whole

    note = output / METHOD
    try:
        there = note.read_text(encoding="utf-8").strip() if note.exists() else _method_of(output)
    except (OSError, ValueError):
        there = ""
    if there and there != method:
        raise TrainingError(
            f"{output} holds a training of {there!r}, not of {method!r}: give another --output, "
            f"or --method {there} to go on with it."
        )
    if not note.exists():
        write_whole(note, f"{method}\n".encode())


def _method_of(output: Path) -> str:
    """The method of the checkpoint that an earlier run left in its folder; empty where there is none."""
    from meddenoise.weights.checkpoint import load_checkpoint

    path = output / "checkpoint.safetensors"
    if not path.exists():
        return ""
    try:
        return str(load_checkpoint(path, sha256=None).metadata.method)
    except MeddenoiseError:
        return ""


def _check_profile(recipe: "Recipe", images: TrainingSet) -> None:
    profile, by_frame = images.profile, recipe.method == "befoi"
    if profile is None:
        return
    no_use = (
        recipe.stages or recipe.conditional or _TASKS.get(recipe.method) in (_score_task, _estimator_task)
    )
    if no_use and not by_frame:
        raise UsageError(f"{recipe.method!r} has no use for --noise-profile: leave it out.")
    if images.references is not None:
        raise UsageError("--ref gives real noise and --noise-profile simulated: leave one of them out.")
    if by_frame:
        _check_frames(profile)


def _check_frames(profile: "NoiseProfile") -> None:
    """Raises UsageError for a profile that does not tell what frames share of their noise."""
    advice = "measure a fluoroscopy run with `meddenoise noise`."
    frames = len(profile.sigmas) // profile.counts.series
    if profile.source != "frames" or frames < FEWEST_FRAMES:
        found = profile.source if profile.source != "frames" else f"runs of {frames} frames"
        raise UsageError(
            f"--noise-profile was measured from {found}: BeFOI needs the noise of at least {FEWEST_FRAMES} "
            f"frames that follow each other; {advice}"
        )
    if not profile.sigma > 0:
        raise UsageError(f"--noise-profile is of images without noise: {advice}")


def _supervised_task(recipe: "Recipe", images: TrainingSet, manner: Manner, watch: Watch) -> "TrainingTask":
    """Regression towards clean images."""
    from meddenoise.training.begin import no_smaller
    from meddenoise.training.data.load import load_images
    from meddenoise.training.supervised import SupervisedTask

    weights = _weights(recipe, manner)
    recipe = no_smaller(recipe, weights if manner.start else None)
    training, validation = load_images(images, recipe.data, recipe.loop.patch, watch.reading)
    _tell_split((training, validation), watch)
    return SupervisedTask(recipe, training, validation, weights)


def _score_task(recipe: "Recipe", images: TrainingSet, manner: Manner, watch: Watch) -> "TrainingTask":
    """An unconditional score network, from clean images."""
    from meddenoise.training.data.organamnist import NAME, load_organamnist
    from meddenoise.training.data.windowed import load_windowed
    from meddenoise.training.vpsde import ScoreTask

    if images.references is not None:
        raise UsageError(f"{recipe.method!r} learns from clean images only: leave out --ref.")
    weights, patch, score = _weights(recipe, manner), recipe.loop.patch, recipe.score
    if score.dataset not in ("", NAME):
        raise UsageError(f"the recipe's dataset is {score.dataset!r}: give {NAME!r}, or leave it out.")
    if score.dataset:
        planes = load_organamnist(images.folder, patch)
    else:
        planes = load_windowed(images, recipe.data, score.window, patch, watch.reading)
    return ScoreTask(recipe, planes, weights)


def _estimator_task(recipe: "Recipe", images: TrainingSet, manner: Manner, watch: Watch) -> "TrainingTask":
    """The noise estimator, from images with little noise and drawn ones."""
    from meddenoise.training.data.load import load_images
    from meddenoise.training.noise_level import NoiseLevelTask

    if images.references is not None:
        raise UsageError(f"{recipe.method!r} has no use for --ref: leave it out.")
    weights = _weights(recipe, manner)
    sides = load_images(images, recipe.data, recipe.loop.patch, watch.reading)
    return NoiseLevelTask(recipe, *sides, weights)


_TASKS: dict[str, Callable[["Recipe", TrainingSet, Manner, Watch], "TrainingTask"]] = {
    "direct": _supervised_task,
    "vpsde": _score_task,
    "noise-estimator": _estimator_task,
}
"""Training task of each method with one stage; regression for those not listed."""


def _weights(recipe: "Recipe", manner: Manner) -> "Checkpoint | None":
    """The weights that a network begins with: those that were given, else those that the recipe names."""
    from meddenoise.weights import load

    start = manner.start or recipe.start
    return load(start) if start else None


def _train_conditional(
    recipe: "Recipe", images: TrainingSet, output: Path, manner: Manner, watch: Watch
) -> Path:
    """The diffusion network of Med-cDiff, and one pass distilled from it."""
    from meddenoise.training.data.load import load_images
    from meddenoise.training.distil import train_distilled

    for option, given in (
        ("--ref", images.references is not None),
        ("--blind-radius", manner.blind_radius is not None),
    ):
        if given:
            raise UsageError(f"{recipe.method!r} has no use for {option}: leave it out.")
    assert recipe.conditional is not None
    patch = max(recipe.conditional.loop.patch, recipe.loop.patch)
    sides = load_images(images, recipe.data, patch, watch.reading)
    _tell_split(sides, watch)
    return train_distilled(recipe, sides, output, manner, watch)


def _train_noisy(recipe: "Recipe", images: TrainingSet, output: Path, manner: Manner, watch: Watch) -> Path:
    """All stages of a self-supervised method."""
    from dataclasses import replace

    import torch

    from meddenoise.networks.blind_spot import RADII
    from meddenoise.training.begin import no_smaller
    from meddenoise.training.data.load import load_images
    from meddenoise.training.data.noisy import NoisyReading, load_noisy
    from meddenoise.training.stages import StagesRun, train_stages

    assert recipe.stages is not None
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        raise UsageError(f"{recipe.method!r} is trained by one process: start it without torchrun.")
    if images.references is not None:
        raise UsageError(f"{recipe.method!r} learns from noisy images only: leave out --ref.")
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
    sides: Sides = load_images(images, exact, recipe.loop.patch, watch.reading, alone=False)
    if stages.simulated is None:
        recipe = replace(recipe, modalities=found.modalities())
    run = StagesRun(recipe, found, output, manner.resume, watch, manner.budget, sides, start)
    return train_stages(run)

"""Training: images into patches, patches into noisy pairs, pairs into checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Protocol

from meddenoise.errors import MeddenoiseError, TrainingError, UsageError
from meddenoise.training.budget import Budget
from meddenoise.training.table import find_row

if TYPE_CHECKING:
    from meddenoise.noise.profile import NoiseProfile
    from meddenoise.training.data import TrainingImage
    from meddenoise.training.recipe import Recipe

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


Sides = tuple[list["TrainingImage"], list["TrainingImage"]]
"""The images for training, and those for validation."""
Trainer = Callable[["Recipe", TrainingSet, Path, Manner, Watch], Path]
"""The training of a recipe into a folder, its options checked: the checkpoint written there."""


def run_training(
    recipe: "Recipe", images: TrainingSet, output: Path, manner: Manner = Manner(), *, watch: Watch
) -> Path:
    """Train `recipe`; the checkpoint written under `output`.

    Raises UsageError where a package is missing or options do not fit the method, TrainingError for data,
    recipes and resumes that cannot be used, and for an `output` that holds the run of another method.
    """
    try:
        train: Trainer = resolve_name(find_row(recipe.method).trainer)
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs the package {error.name!r}: pip install {error.name}.") from error
    _check_options(recipe.method, images, manner)
    with _claimed(output, recipe.method):
        return train(recipe, images, output, manner, watch)


def _check_options(method: str, images: TrainingSet, manner: Manner) -> None:
    row, profile = find_row(method), images.profile
    given = {"--noise-profile": profile, "--ref": images.references, "--blind-radius": manner.blind_radius}
    if None not in (profile, images.references) and "--noise-profile" not in row.refused:
        raise UsageError("--ref gives real noise and --noise-profile simulated: leave one of them out.")
    for option, sentence in row.refused.items():
        if given[option] is not None:
            raise UsageError(sentence.format(method=method, option=option))
    if profile is not None and row.frames:
        _check_frames(profile)


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

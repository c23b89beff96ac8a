"""Training: images into patches, patches into noisy pairs, pairs into checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meddenoise.errors import UsageError

if TYPE_CHECKING:
    from meddenoise.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Images:
    """What to train on: clean images, or noisy ones with their clean partners in `references`."""

    folder: Path
    references: Path | None = None


class Watch(Protocol):
    """Who is told how far the training is."""

    def reading(self, done: int, total: int) -> None:
        """Series read so far."""

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        """Loss, and validation scores when there are new ones, after `step` of `total` steps."""


def run_training(
    recipe: "Recipe",
    images: Images,
    output: Path,
    *,
    start: str | None = None,
    resume: bool = True,
    watch: Watch,
) -> Path:
    """Train `recipe`; the checkpoint written under `output`.

    `start` names weights to fine-tune. Raises UsageError where the extra `train` is not installed,
    TrainingError for data, recipes and resumes that cannot be used.
    """
    try:
        from meddenoise.training.loop import train
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs the package {error.name!r}: pip install 'meddenoise[train]'."
        ) from error
    from meddenoise.training.load import load_images
    from meddenoise.training.supervised import SupervisedTask
    from meddenoise.weights import load

    weights = None if start is None else load(start)
    training, validation = load_images(
        images.folder, images.references, recipe.data, recipe.loop.patch, watch.reading
    )
    task = SupervisedTask(recipe, training, validation, weights)
    return train(task, recipe.loop, output, resume=resume, progress=watch.step)

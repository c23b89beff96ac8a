"""`meddenoise train`: train or fine-tune a method on one's own images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meddenoise.training.recipe import Recipe


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("train")(train)


def train(
    data: Annotated[Path, typer.Option("--data", help="Folder of images; a SPLITS.csv is honoured.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run: state, log, weights.")],
    references: Annotated[
        Path | None,
        typer.Option("--ref", help="Clean partners of the images in --data, which are noisy then."),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="What to train.")] = "direct",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A shipped recipe by name, or a TOML file. Default: one for --data."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps, if not the recipe's.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Fine-tune these weights: a name, a path or hf://...")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with the run in -o.")] = True,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Train a method on a folder of images; stop it with Ctrl-C and give the same command to go on.

    Example: meddenoise train --data scans/ -o run/ && meddenoise denoise new.dcm --weights
    run/checkpoint.safetensors
    """
    from meddenoise.cli.training_progress import TrainingProgress
    from meddenoise.training import Images, run_training

    with TrainingProgress(quiet) as progress:
        checkpoint = run_training(
            _recipe(method, recipe, steps),
            Images(data, references),
            output,
            start=start,
            resume=resume,
            watch=progress,
        )
    typer.echo(checkpoint)


def _recipe(method: str, name: str | None, steps: int | None) -> "Recipe":
    """The recipe asked for, or the method's own with every image of the data folder as its one source."""
    from dataclasses import replace

    from meddenoise.errors import UsageError
    from meddenoise.training.recipe import DataRow, read_recipe

    recipe = read_recipe(name or method)
    if recipe.method != method:
        raise UsageError(f"the recipe {name!r} trains {recipe.method!r}, not {method!r}: change --method.")
    if name is None:
        recipe = replace(recipe, data=(DataRow(),))
    if steps is not None:
        recipe = replace(recipe, loop=replace(recipe.loop, steps=steps))
    return recipe

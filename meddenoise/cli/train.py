"""`meddenoise train`: train or fine-tune a method on one's own images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meddenoise.cli import complete

if TYPE_CHECKING:
    from meddenoise.training.recipe import Recipe


Data = Annotated[Path, typer.Option("--data", help="Folder of images.")]
Validation = Annotated[
    str | None,
    typer.Option(
        "--val",
        metavar="SHARE|FOLDER|TABLE",
        help="Validate on a share of the patients such as 0.2, a folder inside --data, or a table (columns "
        "file, split: train or val). Default: SPLITS.csv in --data, else a tenth of the patients.",
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder of the run: state, log, weights.")]
References = Annotated[
    Path | None,
    typer.Option("--ref", help="Clean partners of the images in --data, which are then taken as noisy."),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--noise-profile",
        metavar="PROFILE.toml",
        help="Add the noise measured by `meddenoise noise` to the clean images, or for befoi to the cines.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="The method to train. Default: that of the recipe, else direct.",
        autocompletion=complete.method,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A shipped recipe by name, or a TOML file. Default: the one that fits --data.",
        autocompletion=complete.recipe,
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Steps of each network, if not the recipe's.")
]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Fine-tune these weights: a name, a path or hf://... Of methods with several networks, the one "
        "that works in one pass; the others stay as they are.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with the run in -o.")]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="TIME", help="Stop after this time with the best result so far: 45s, 30m or 8h."
    ),
]
BlindRadius = Annotated[
    str,
    typer.Option(
        "--blind-radius",
        metavar="auto|N",
        help="For self-supervised methods: reach of the correlation of the noise, in pixels; auto "
        "measures it.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("train")(train)


def train(
    data: Data,
    output: Output,
    references: References = None,
    validation: Validation = None,
    noise_profile: Profile = None,
    method: Method = None,
    recipe: RecipeName = None,
    steps: Steps = None,
    start: Start = None,
    resume: Resume = True,
    budget: Budget = None,
    blind_radius: BlindRadius = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a method on a folder of images; stop it with Ctrl-C and give the same command to go on.

    Example: meddenoise train --data scans/ -o run/ && meddenoise denoise new.dcm --weights
    run/checkpoint.safetensors

    From noisy images only: meddenoise train --method diffdenoise --data noisy/ -o run/ --budget 30m

    For the noise of one device: meddenoise train --data clean/ --noise-profile profile.toml -o run/

    For your own fluoroscopy: meddenoise noise fluoro.dcm -o p.toml && meddenoise train --method befoi
    --noise-profile p.toml --data cines/ -o run/
    """
    from meddenoise.training.budget import Budget

    time = Budget(_seconds(budget))
    from meddenoise.cli.request import load_profile
    from meddenoise.cli.training_progress import TrainingProgress
    from meddenoise.training import Manner, TrainingSet, run_training

    manner = Manner(start, resume, time, _radius(blind_radius))
    chosen = _recipe(method, recipe, steps)
    images = TrainingSet(data, references, load_profile(noise_profile), validation)
    with TrainingProgress(quiet) as progress:
        checkpoint = run_training(chosen, images, output, manner, watch=progress)
        if budget and not progress.steps:
            progress.note(
                f"the budget of {budget} is used up: nothing was trained; give more time with --budget."
            )
    typer.echo(checkpoint)


def _recipe(method: str | None, name: str | None, steps: int | None) -> "Recipe":
    """The recipe asked for, or the method's for one's own images: all of the data folder is one source."""
    from dataclasses import replace

    from meddenoise.errors import UsageError
    from meddenoise.training.recipe import DataRow
    from meddenoise.training.recipe_file import read_recipe, shipped_recipes

    own = f"{method}-own"
    recipe = read_recipe(name or (own if own in shipped_recipes() else method or "direct"))
    if method is not None and recipe.method != method:
        raise UsageError(f"the recipe {name!r} trains {recipe.method!r}, not {method!r}: change --method.")
    if name is None:
        recipe = replace(recipe, data=(DataRow(),))
    if steps is not None:
        recipe = replace(recipe, loop=replace(recipe.loop, steps=steps))
        if recipe.conditional is not None:
            loop = replace(recipe.conditional.loop, steps=steps)
            recipe = replace(recipe, conditional=replace(recipe.conditional, loop=loop))
    return recipe


def _seconds(budget: str | None) -> float:
    """A time such as 45s, 30m or 8h in seconds; 0 for none."""
    from meddenoise.errors import UsageError

    if budget is None:
        return 0.0
    number, unit = budget[:-1], {"s": 1, "m": 60, "h": 3600}.get(budget[-1:], 0)
    if not unit or not number.replace(".", "", 1).isdigit() or float(number) <= 0:
        raise UsageError(f"--budget is {budget!r}: give a time such as 45s, 30m or 8h.")
    return float(number) * unit


def _radius(text: str) -> int | None:
    from meddenoise.errors import UsageError

    if text == "auto":
        return None
    if not text.isdigit():
        raise UsageError(f"--blind-radius is {text!r}: give auto, or 0, 2 or 4 pixels.")
    return int(text)

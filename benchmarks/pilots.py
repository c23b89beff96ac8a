"""Gain of each step towards the truth: networks trained for the same time, judged by the truth.

    python benchmarks/pilots.py DATA -o RUNS [--minutes 10] [--only NAME,...] [--cache FOLDER]
        [--markdown docs/training.md]

Every pilot begins with random weights and is given that many minutes of one processor core, reading not
counted, whatever else the machine does; it changes one thing of `direct-fast`'s recipe. Networks that are
there already, in RUNS, are not trained again. `benchmarks/truth.py` judges them: mean dB closer to the truth
than the noisy image on phantoms, real repeats, still runs, photographs and contiguous slices.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.markdown import replace_between, table
from benchmarks.script import names_of, run
from meddenoise.training import TrainingSet, loop
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.load import load_images
from meddenoise.training.loop import Share
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.supervised import SupervisedTask, patch_errors
from meddenoise.version import __version__
from meddenoise.weights import load
from meddenoise.weights.checkpoint import Checkpoint

COMMENTS = "<!-- pilots: begin -->", "<!-- pilots: end -->"
GROUPS = "phantoms", "repeats", "cines", "natural", "volumes"
NATURAL = "natural/"
Sides = tuple[list[TrainingImage], list[TrainingImage]]
Change = Callable[[Recipe], Recipe]


def rows_of(kind: Callable[[DataRow], bool]) -> Change:
    """Only the rows of a recipe for which `kind` holds."""
    return lambda recipe: replace(recipe, data=tuple(row for row in recipe.data if kind(row)))


def as_clean(recipe: Recipe) -> Recipe:
    """Medical references taken as they are, their noise included."""
    return replace(recipe, data=tuple(row if row.exact else replace(row, own=0.0) for row in recipe.data))


def looped(**options: object) -> Change:
    """Other settings of the loop."""
    return lambda recipe: replace(recipe, loop=replace(recipe.loop, **options))  # type: ignore[arg-type]


def sized(channels: list[int]) -> Change:
    """Another width."""
    return lambda recipe: replace(recipe, network_options={**recipe.network_options, "channels": channels})


def framed(frames: int) -> Change:
    """Another number of planes."""
    return lambda recipe: replace(recipe, network_options={**recipe.network_options, "frames": frames})


def unwindowed(recipe: Recipe) -> Recipe:
    """No exact reference is scanned as MR is, with the matrix ending k-space."""
    return replace(recipe, noise=replace(recipe.noise, windowed=0.0))


def plain(recipe: Recipe) -> Recipe:
    """The recipe itself."""
    return recipe


def medical(row: DataRow) -> bool:
    """True of rows of medical images."""
    return not row.exact


def photographs(row: DataRow) -> bool:
    """True of rows of photographs."""
    return row.folder.startswith(NATURAL)


PILOTS: dict[str, tuple[str, tuple[Change, ...]]] = {
    "medical-as-clean": ("medical images, their noise taken for signal", (rows_of(medical), as_clean)),
    "medical": ("medical images, the loss takes account of their noise", (rows_of(medical),)),
    "photographs": ("photographs alone", (rows_of(photographs),)),
    "exact": ("photographs, phantoms and random scenes", (rows_of(lambda row: row.exact),)),
    "all": ("all of these: the recipe", (plain,)),
    "wide": ("the recipe, twice as wide", (sized([64, 128, 192]),)),
    "large-patches": ("the recipe, patches of 192 and a quarter of them", (looped(patch=192, batch=3),)),
    "short-average": ("the recipe, weights averaged over 100 steps", (looped(ema=0.99),)),
    "long-average": ("the recipe, weights averaged over 5,000 steps", (looped(ema=0.9998),)),
    "exact-then-all": ("half the time on exact references, half on the recipe", (plain,)),
    "three-planes": ("the recipe, with the planes before and after", (framed(3),)),
    "no-ringing": ("the recipe, its exact MR without the ringing of a k-space that ends", (unwindowed,)),
    "square": ("the recipe, the loss the mean square error", (plain,)),
    "psnr": ("the recipe, the loss the mean PSNR", (plain,)),
}
"""Name -> what is told of it, and what it changes."""
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"square": torch.square, "psnr": torch.log}
"""Pilots with another loss, and that of a patch with the root mean square error."""
BY_KIND = "phantoms", "volumes"
"""Groups with a column for each modality."""
FIRST = {"exact-then-all": "exact"}
"""Pilots with two halves, and the pilot whose images the first half has."""


class Pilot(SupervisedTask):
    """`training.supervised.SupervisedTask` with the loss of the pilot `name`."""

    def __init__(self, name: str, *of: Any) -> None:
        """As of `SupervisedTask`."""
        super().__init__(*of)
        self.of_patch = LOSSES.get(name, torch.clone)

    def loss(self, network: nn.Module, step: int, share: Share) -> Tensor:
        """Mean over the step's patches of what the pilot takes for the loss of one."""
        batch = self.source.batch(step, self.recipe.loop.batch)
        return self.of_patch(patch_errors(network, batch, share.device)).mean()


class Silence:
    """A watch that says nothing."""

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        """Nothing."""


def main() -> int:
    """Train what is missing, judge all, print or write the table."""
    arguments = _parse()
    names = arguments.only or list(PILOTS)
    arguments.output.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not _checkpoint(arguments.output, name).exists()]
    if missing:
        base = replace(read_recipe("direct-fast"), start="")
        sides = load_images(TrainingSet(arguments.data), base.data, 96, lambda done, total: None)
        for name in missing:
            print(f"{name}: {PILOTS[name][0]}", file=sys.stderr, flush=True)
            make(name, base, sides, arguments)
    rows = judge(names, arguments)
    text = "\n\n".join([_told(arguments), as_table(names, rows, arguments.output)])
    if arguments.markdown is None:
        print(text)
    else:
        replace_between(arguments.markdown, COMMENTS, text)
    return 0


def make(name: str, base: Recipe, sides: Sides, arguments: argparse.Namespace) -> None:
    """Train one pilot into its folder."""
    seconds, start = 60 * arguments.minutes, None
    folder = arguments.output / name
    if name in FIRST:
        seconds /= 2
        start = _train(FIRST[name], base, sides, folder / "first", seconds, None)
    _train(name, base, sides, folder, seconds, start)


def _train(
    name: str, base: Recipe, sides: Sides, folder: Path, seconds: float, start: Checkpoint | None
) -> Checkpoint:
    recipe = base
    for change in PILOTS[name][1]:
        recipe = change(recipe)
    recipe = replace(recipe, loop=replace(recipe.loop, seconds=seconds))
    kept = {row.source: row for row in recipe.data}
    clean = {row.source for row in recipe.data if row.own == 0}
    training, validation = (
        [_without_own(image) if image.source in clean else image for image in side if image.source in kept]
        for side in sides
    )
    task = Pilot(name, recipe, training, validation or sides[1], start)
    torch.set_num_threads(1)
    with patch.object(loop, "perf_counter", process_time):
        path = loop.train(task, recipe.loop, folder, resume=False, progress=Silence().step)
    return load(str(path))


def _without_own(image: TrainingImage) -> TrainingImage:
    return replace(image, own=replace(image.own, sigma=0.0))


def _checkpoint(folder: Path, name: str) -> Path:
    return folder / name / "checkpoint.safetensors"


def judge(names: list[str], arguments: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of `benchmarks/truth.py` for all of the networks."""
    found = arguments.output / "truth.json"
    command = [sys.executable, str(Path(__file__).with_name("truth.py")), str(arguments.data)]
    command += ["--groups", ",".join(GROUPS), "--images", "2", "--methods", "nlm", "--json", str(found)]
    if arguments.cache is not None:
        command += ["--cache", str(arguments.cache)]
    for name in names:
        command += ["--weights", f"{name}={_checkpoint(arguments.output, name)}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows: list[dict[str, object]] = json.loads(found.read_text())["rows"]
    return rows


def as_table(names: list[str], rows: list[dict[str, object]], folder: Path) -> str:
    """Mean gain of each network in each group, phantoms by kind, and the steps it took."""
    gains: dict[tuple[str, str], list[float]] = defaultdict(list)
    columns: list[str] = []
    for row in rows:
        if row.get("gain_db") is None:
            continue
        group, modality = str(row["group"]), row["modality"]
        column = f"{modality} {group.removesuffix('s')}" if group in BY_KIND else group
        if column not in columns:
            columns.append(column)
        gains[str(row["method"]), column].append(float(str(row["gain_db"])))
    body = []
    for name in ["nlm", *names]:
        told = "NLM, told the level" if name == "nlm" else PILOTS[name][0]
        steps = (
            ""
            if name == "nlm"
            else str(load(str(_checkpoint(folder, name))).metadata.method_options["steps"])
        )
        means = [f"{np.mean(gains[name, column]):+.2f}" for column in columns]
        body.append([told, steps, *means])
    return table(["", "steps", *columns], body, right=True)


def _told(arguments: argparse.Namespace) -> str:
    judged = f"python benchmarks/truth.py DATA --groups {','.join(GROUPS)} --images 2"
    return (
        f"`python benchmarks/pilots.py DATA -o RUNS --minutes {arguments.minutes:g}`, {date.today()}, "
        f"meddenoise {__version__}: dB closer to the truth than the noisy image, mean over `{judged}`."
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare networks trained for the same time.")
    parser.add_argument("data", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the networks")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", type=names_of("pilot", PILOTS), help=",".join(PILOTS))
    parser.add_argument("--cache", type=Path, help="folder that keeps what NLM gave")
    parser.add_argument("--markdown", type=Path, help="a document with the comments around the table")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

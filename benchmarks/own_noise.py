"""The noise that each training image has itself, as the loss of a recipe takes it: a table.

    python benchmarks/own_noise.py DATA_FOLDER [--recipe direct] [-o docs/own-noise.csv]

Per file: planes, median level in 255ths of the range, its share of that range, and the median spectrum in
the four radial bands relative to white noise. The recipe's table [own_noise] holds levels down where the
estimate takes anatomy for noise; the reasons stand there.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import csv
from collections import defaultdict

import numpy as np

from benchmarks.script import run
from meddenoise.noise import NoiseEstimate
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import load_images
from meddenoise.training.recipe_file import read_recipe

COLUMNS = ("file", "planes", "sigma_of_255", "percent_of_range", "band_1", "band_2", "band_3", "band_4")


def main() -> int:
    """Write the table."""
    arguments = _parse()
    recipe = read_recipe(arguments.recipe)
    rows = tuple(row for row in recipe.data if not row.phantom)
    training, _ = load_images(TrainingSet(arguments.folder), rows, recipe.loop.patch, _count)
    files: dict[str, list[NoiseEstimate]] = defaultdict(list)
    for image in training:
        files[image.group].append(image.own)
    with arguments.output.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, own in sorted(files.items()):
            level = float(np.median([estimate.sigma for estimate in own]))
            bands = np.median([estimate.bands for estimate in own], axis=0)
            values = (f"{level:.2f}", f"{level / 2.55:.2f}", *(f"{band:.2f}" for band in bands))
            writer.writerow((name, len(own), *values))
    return 0


def _count(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} series", end="", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The noise of training images themselves.")
    parser.add_argument("folder", type=Path, help="the data folder of the recipe")
    parser.add_argument("--recipe", default="direct", help="name or TOML file")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/own-noise.csv"))
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""The networks of BeFOI's ablations: the student's, by regression, with parts of the noise model left out.

    OMP_NUM_THREADS=1 python papers/befoi/befoi_ablations.py DATA --keep FOLDER [--steps 1200]
        [--names full,without-nsm,without-nm]

Each is trained for --steps on the images of the recipe befoi, from random weights, and kept as
FOLDER/NAME/checkpoint.safetensors: a checkpoint for `befoi.py --ablation NAME=FILE`. `full` knows the noise
level and has seen noise as detectors make it; `without-nsm` is told a level that has nothing to do with the
frame's; `without-nm` has seen white noise that does not depend on the signal and is no longer there in the
next frame. Source: Hu, Huang 2024 (BeFOI), Table 2.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
from dataclasses import replace

import torch

from benchmarks.script import run
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import load_images
from meddenoise.training.data.motion import MARGIN
from meddenoise.training.loop import train
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.supervised import SupervisedTask

UNTOLD = {"told_error": 2.0, "bands_unknown": 1.0, "map_unknown": 1.0}
"""An error of the told level as large as the range of levels: it says nothing."""
PLAIN = {"white": 1.0, "signal_dependent": 0.0, "lagged": 0.0}


Changes = dict[str, float]
CHANGES: dict[str, Changes] = {"full": {}, "without-nsm": UNTOLD, "without-nm": PLAIN}


def main() -> None:
    """Train the networks asked for, or what is left of them."""
    arguments = _parse()
    torch.set_num_threads(1)
    recipe = read_recipe("befoi")
    training, validation = load_images(
        TrainingSet(arguments.data), recipe.data, recipe.loop.patch + 2 * MARGIN, lambda done, total: None
    )
    loop = replace(recipe.loop, steps=arguments.steps, validate_every=arguments.steps // 2)
    for name in arguments.names.split(","):
        mix = replace(recipe.noise, **CHANGES[name])  # type: ignore[arg-type]
        task = SupervisedTask(replace(recipe, noise=mix, loop=loop, method="direct"), training, validation)
        path = train(task, loop, arguments.keep / name, resume=True, progress=_tell)
        print(f"{name}: {path}", flush=True)


def _tell(step: int, steps: int, values: dict[str, float]) -> None:
    if "score" in values:
        print(f"step {step} of {steps}: {values['score']:.2f} dB", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The networks of BeFOI's ablations.")
    parser.add_argument("data", type=Path, help="folder with the images of the recipe befoi")
    parser.add_argument("--keep", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=1200, help="of training each")
    parser.add_argument("--names", default=",".join(CHANGES), help=f"of {', '.join(CHANGES)}")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

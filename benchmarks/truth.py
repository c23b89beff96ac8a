"""Gain towards the truth: our methods next to NLM and BM3D, with no noise in any reference.

    python benchmarks/truth.py DATA [--groups phantoms,repeats,cines,natural,coarse,...]
        [--methods nlm,bm3d,bm3d+model,direct,diffdenoise,befoi] [--weights NAME=PATH]... [--given]
        [--quick] [--images N] [--cache FOLDER] [--json FILE]

Judged by phantoms with exact truth (seeds from 9000 on, never trained on), by the second of two real
acquisitions, by the other frames of a still scene, by photographs without noise and by medical images of the
validation split whose own noise is below 2 % of the total noise power. NLM and BM3D are given the true level
of every plane, `bm3d+model` its map, spectrum and dependence on signal; our methods estimate what they need
from whole series, as for a user. `--weights` adds a column for a checkpoint, run as its method. BM3D needs
`pip install 'meddenoise[bm3d]'` (non-commercial use only); `--cache` keeps what NLM and BM3D gave.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.pictures import load_pictures
from benchmarks.script import names_of, run, save, settings_of
from benchmarks.truth_contrast import acr, inserted
from benchmarks.truth_exact import SIDE, coarse, harm, natural, phantoms
from benchmarks.truth_medical import medical, volumes
from benchmarks.truth_methods import Cache, Column, choose_columns, fits
from benchmarks.truth_real import cines, repeats
from benchmarks.truth_table import print_tables
from benchmarks.truth_trial import TruthTrial, outcomes
from meddenoise.methods import METHODS
from meddenoise.pipeline.options import Options

Row = dict[str, Any]

METHODS_SHOWN = ("nlm", "nlm auto", "bm3d", "bm3d+model", "direct", "diffdenoise", "befoi")
QUALITIES_SHOWN = "direct fast", "direct best"
QUICK = ("nlm", "direct")
LEVELS = (15, 25, 50)


def main() -> int:
    """Run all trials asked for and print the tables; 2 where nothing can be run."""
    arguments = _parse()
    options = Options(device=arguments.device, precision=arguments.precision)
    columns, left_out = choose_columns(arguments.methods, dict(arguments.weights), arguments.given, options)
    cache = Cache(arguments.cache)
    rows: list[Row] = []
    for group in arguments.groups:
        for trial in GROUPS[group](arguments):
            rows += _results(trial, columns, cache)
            if sys.stderr.isatty():
                print(f"\r{len(rows)} results, {group}        ", end="", file=sys.stderr, flush=True)
        # After each group: a run may take hours.
        save(arguments.json, {"settings": settings_of(arguments), "left_out": left_out, "rows": rows})
    if not any("method" in row for row in rows):
        what = " and ".join(arguments.groups)
        print(f"nothing to measure: no picture for {what} in {arguments.folder}.", file=sys.stderr)
        return 2
    print_tables(rows)
    return 0


def _results(trial: TruthTrial, columns: dict[str, Column], cache: Cache) -> list[Row]:
    """The rows of one trial; one without methods where no image could serve."""
    if not trial.cases:
        return [{"group": trial.group, "row": trial.row, "modality": trial.modality, "note": trial.note}]
    fitting = {name: column for name, column in columns.items() if fits(name, trial)}
    return [row for name, column in fitting.items() for row in _measure(trial, name, column, cache)]


def _measure(trial: TruthTrial, name: str, column: Column, cache: Cache) -> list[Row]:
    """One row for each part of a trial that one method was judged by."""
    result = cache.run(name, column, trial)
    return [
        {
            "group": trial.group,
            "row": trial.row,
            "modality": trial.modality,
            "image": trial.image,
            "part": outcome.part,
            "note": trial.note,
            "method": name,
            "peak": outcome.peak,
            "noise_ms": outcome.noise_ms,
            "left_ms": outcome.left_ms,
            "gain_db": outcome.gain_db,
            "share": outcome.share,
            "seconds": result.seconds,
        }
        for outcome in outcomes(trial, result.planes)
    ]


def _phantoms(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    yield from phantoms(1 if arguments.quick else 2)


def _repeats(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    yield from repeats(arguments.folder)


def _cines(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    yield from cines(arguments.folder)


def _natural(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    pictures = load_pictures(arguments.folder, arguments.images, modalities=("",), side=SIDE)
    yield from natural(pictures, SIDE, LEVELS[1:2] if arguments.quick else LEVELS, every=not arguments.quick)


def _harm(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    pictures = load_pictures(arguments.folder, arguments.images, modalities=("",), side=SIDE)
    yield from harm(pictures, SIDE)


def _medical(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    every = not arguments.quick
    yield from medical(arguments.folder, arguments.images, SIDE, LEVELS if every else LEVELS[1:2], every)


def _volumes(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    yield from volumes(arguments.folder)


def _contrast(arguments: argparse.Namespace) -> Iterator[TruthTrial]:
    yield from inserted(1)
    yield from acr(arguments.folder)


GROUPS: dict[str, Callable[[argparse.Namespace], Iterator[TruthTrial]]] = {
    "phantoms": _phantoms,
    "repeats": _repeats,
    "cines": _cines,
    "natural": _natural,
    "medical": _medical,
    "volumes": _volumes,
    "coarse": lambda arguments: coarse(),
    "contrast": _contrast,
    "harm": _harm,
}


def _weights(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    if not found:
        name, path = Path(text).stem, text
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: give NAME=PATH, a column's name and its checkpoint.")
    return name, path


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Judge denoisers by the truth.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--groups", type=names_of("group", GROUPS), help=",".join(GROUPS))
    valid = [*METHODS_SHOWN, *QUALITIES_SHOWN, *(name for name in METHODS if name not in METHODS_SHOWN)]
    parser.add_argument("--methods", type=names_of("method", valid), help=",".join(METHODS_SHOWN))
    parser.add_argument(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a checkpoint, run as its method; repeatable",
    )
    parser.add_argument("--given", action="store_true", help="also with the true level given")
    parser.add_argument("--quick", action="store_true", help="a small fixed part, for use during training")
    parser.add_argument("--images", type=int, help="pictures of each kind (6; quick: 3)")
    parser.add_argument("--cache", type=Path, help="folder that keeps what NLM and BM3D gave")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.groups = arguments.groups or (
        ["phantoms", "repeats", "cines", "natural"] if quick else list(GROUPS)
    )
    arguments.methods = arguments.methods or list(QUICK if quick else METHODS_SHOWN)
    arguments.images = arguments.images or (3 if quick else 6)
    return arguments


if __name__ == "__main__":
    run(main)

"""BeFOI against its peers on fluoroscopy: simulated sequences, real repeats, a phantom that moves.

    OMP_NUM_THREADS=1 python papers/befoi/befoi.py DATA --weights FILE|NAME [--minutes 10] [--images 20]
        [--size 256] [--parts gain-2,...] [--methods ...] [--ablation NAME=FILE ...] [--seed 0]
        [--keep FOLDER] [--json FILE]

`gain-*`: from each still validation frame of angiography a sequence of five that move, with the noise of
quanta, scintillator and electronics at two doses, with and without a recursive filter in the machine; the
middle one is scored. `real`: frames of the static XA runs against the mean of the others. `phantom`: beating
coronaries, exact in every frame. Methods that train get --minutes of one core for every part. --ablation
names checkpoints of students trained without a part of the method. --keep writes pictures of the results.
Several runs may be joined: `befoi_document.py` makes a document of the JSON files.

PSNR and SSIM are over the peak of each picture (255; the 99.9 percentile of a phantom); nothing is clipped.
BM3D needs `pip install 'meddenoise[bm3d]'` (non-commercial use only).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import math
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from rich.console import Console
from rich.table import Table

from benchmarks.peers import make_columns
from benchmarks.script import names_of, run, save, settings_of, tell, versions, weights_of
from meddenoise.series import Image
from meddenoise.weights import load
from papers.befoi.cine_measures import flattest_region, score
from papers.befoi.cine_peers import MAKERS, Column, Maker, Setting, ablation
from papers.befoi.cine_problems import FAMILIES, Family, WantedScenes, splits_of

Row = dict[str, Any]


def main() -> int:
    """Run all methods on all parts, print the tables and write the rows; 2 where nothing could be run."""
    arguments = _parse()
    torch.set_num_threads(1)
    checkpoint = load(arguments.weights)
    makers = {name: MAKERS[name] for name in arguments.methods}
    makers |= {f"ablation {name}": ablation(name, file) for name, file in arguments.ablation}
    wanted = WantedScenes(arguments.folder, arguments.images, arguments.size, arguments.seed)
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    training: dict[str, Any] = {}
    for part in arguments.parts:
        family = FAMILIES[part](wanted)
        columns, missing = _columns(family, makers, arguments)
        left_out |= missing
        found = list(_measure(family, columns, arguments.keep))
        training[part] = {name: column.training for name, column in columns.items() if column.training}
        _print_table(part, found)
        rows += found
    document = {
        "kind": "befoi",
        "weights": weights_of(checkpoint),
        "settings": settings_of(arguments),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "runs": dict(splits_of(arguments.folder)),
        "training": training,
        "left_out": left_out,
        "rows": rows,
    }
    save(arguments.json, document)
    return 0 if rows else 2


def _columns(
    family: Family, makers: dict[str, Maker], arguments: argparse.Namespace
) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns of all methods that can run, trained where they need it, and why the others cannot."""
    if not family.scenes:
        return {}, {family.name: "there is no frame to score"}
    setting = Setting(family, arguments.minutes, arguments.seed, arguments.weights)
    made, left_out = make_columns(
        {f"{family.name}: {name}": partial(maker, setting) for name, maker in makers.items()},
        lambda column: column.run(family.scenes[0]),
    )
    untouched = {
        "noisy": Column(lambda scene: scene.case.noisy),
        "clean": Column(lambda scene: scene.case.clean),
    }
    return untouched | made, left_out


def _measure(family: Family, columns: dict[str, Column], keep: Path | None) -> Iterator[Row]:
    for number, scene in enumerate(family.scenes):
        region = flattest_region(scene.case.clean)
        tell(f"{family.name}: scene {number + 1} of {len(family.scenes)}")
        for name, column in columns.items():
            started = perf_counter()
            plane = column.run(scene)
            seconds = (perf_counter() - started) / (len(scene.frames) if column.all_frames else 1)
            if keep is not None:
                file = f"{family.name}-{number}-{name}.png".replace(" ", "-")
                _save(keep / file, plane, scene.case.peak)
            yield {
                "part": family.name,
                "picture": scene.case.picture,
                "source": scene.source,
                "sigma": scene.case.sigma,
                "method": name,
                "ms": 1000 * seconds,
                **{key: _finite(value) for key, value in asdict(score(plane, scene, region)).items()},
            }


def _save(path: Path, plane: Image, peak: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(np.clip(np.rint(plane * (255 / peak)), 0, 255).astype(np.uint8)).save(path)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _print_table(part: str, rows: list[Row]) -> None:
    keys = {"psnr": ".2f", "psnr_corrected": ".2f", "ssim": ".4f", "snr": ".1f", "reblur": ".3f"}
    keys |= {"ghost": ".3f", "moved_rmse": ".2f", "ms": ".0f"}
    count = len({row["picture"] for row in rows})
    table = Table("method", *keys, title=f"{part}, {count} scenes")
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        means = {key: [row[key] for row in mine if row[key] is not None] for key in keys}
        cells = [f"{fmean(means[key]):{form}}" if means[key] else "-" for key, form in keys.items()]
        table.add_row(name, *cells)
    Console(width=140).print(table)


def _named_file(text: str) -> tuple[str, str]:
    name, _, file = text.partition("=")
    if not name or not file:
        raise ArgumentTypeError(f"{text!r} is not NAME=FILE")
    return name, file


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="BeFOI against its peers on fluoroscopy.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--weights", required=True, help="of befoi: a file, or a name")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training a method, for each part")
    parser.add_argument("--images", type=int, default=20, help="validation frames, runs, phantoms")
    parser.add_argument("--size", type=int, default=256, help="side of the central crops; 0: whole frames")
    parser.add_argument(
        "--parts", type=names_of("part", FAMILIES), default=list(FAMILIES), help=",".join(FAMILIES)
    )
    parser.add_argument(
        "--methods", type=names_of("method", MAKERS), default=list(MAKERS), help=",".join(MAKERS)
    )
    parser.add_argument("--ablation", type=_named_file, action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for pictures of the results")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

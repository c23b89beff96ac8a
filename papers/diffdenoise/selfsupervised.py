"""Self-supervised training on a folder of noisy images: ours against its peers, for the same time.

    OMP_NUM_THREADS=1 python papers/diffdenoise/selfsupervised.py DATA_FOLDER --modality CT|MR|DX|XA [--sigma
        25]
        [--kernel 0|0.5|1.2] [--images 50] [--others 10] [--size 256] [--minutes 5] [--seed 0]
        [--methods noise2void,neighbor2neighbor,diffdenoise,direct,nlm,bm3d] [--careamics PYTHON]
        [--keep FOLDER] [--json FILE]

Central crops of the `train` images of one modality (SPLITS.csv; see quality.py) are scaled to 0..255, get
one realisation of noise each, of `sigma` grey levels, blurred by a Gaussian of `kernel` pixels, and are
written as a folder of NIfTI files. Every method that trains sees these noisy images alone, for the same
minutes, on one thread, one after another. Then it denoises them ("own": a user's folder) and crops of `val`
images with noise of the same kind ("others"). NLM and BM3D are given the true level (`true`), our estimate
of each image's (`auto`), and BM3D the true spectrum too where the noise is not white (`bm3d+model`);
`direct` is the supervised control. PSNR is over 255; nothing is clipped.

Noise2Void needs CAREamics (`pip install careamics`), which may live in an environment of its own: name its
Python by --careamics. BM3D needs `pip install 'meddenoise[bm3d]'` (non-commercial use only).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import subprocess
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cases import NoisyCase
from benchmarks.peers import PeerError, make_columns
from benchmarks.pictures import MODALITIES, Picture, central_crop, load_pictures
from benchmarks.script import names_of, run, save, settings_of, tell, versions
from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.noise.models import CorrelatedNoise, GaussianNoise
from meddenoise.noise.simulate import simulate
from papers.diffdenoise.blind_peers import OTHERS, OWN, RUNNERS, BlindOutcome, BlindProblem, write_folder

Row = dict[str, Any]

PEAK = 255.0
AIR_HU = -1000.0


def main() -> int:
    """Run the methods asked for and print the table; 2 where nothing can be run."""
    arguments = _parse()
    torch.set_num_threads(1)
    own = _cases(arguments, "train", arguments.images)
    others = _cases(arguments, "val", arguments.others)
    if len(own) < arguments.images or not others:
        found = f"{len(own)} of {arguments.images} train and {len(others)} val images"
        tell(f"{found} of {arguments.modality} with {arguments.size} pixels a side in {arguments.folder}")
    if not own or not others:
        return 2
    with tempfile.TemporaryDirectory() if arguments.keep is None else nullcontext(arguments.keep) as place:
        folder = Path(place)
        for part, cases in ((OWN, own), (OTHERS, others)):
            write_folder(cases, folder / part)
        problem = BlindProblem(own, others, folder, arguments.minutes, arguments.seed, arguments.careamics)
        methods = {name: partial(RUNNERS[name], problem) for name in arguments.methods}
        outcomes, left_out = make_columns(methods, _refuse_infinite)
    untouched = BlindOutcome([case.noisy for case in own], [case.noisy for case in others])
    rows = _measure(problem, "noisy", untouched)
    for name, outcome in outcomes.items():
        rows += _measure(problem, name, outcome)
    _print_table(arguments, rows, outcomes)
    if arguments.json is not None:
        save(arguments.json, _document(arguments, rows, outcomes, left_out))
    return 0 if outcomes else 2


def _cases(arguments: argparse.Namespace, split: str, count: int) -> list[NoisyCase]:
    """The noisy crops of a split; the noise of each is a function of seed, split and number."""
    pictures = load_pictures(
        arguments.folder, count, split=split, modalities=[arguments.modality], side=arguments.size
    )
    place = 0 if split == "train" else 1
    return [_case(picture, arguments, [arguments.seed, place, n]) for n, picture in enumerate(pictures)]


def _case(picture: Picture, arguments: argparse.Namespace, seed: list[int]) -> NoisyCase:
    low = AIR_HU if picture.modality == "CT" else 0.0
    clean = ((central_crop(picture.plane, arguments.size) - low) * (PEAK / picture.peak)).astype(np.float32)
    sigma, kernel = arguments.sigma, arguments.kernel
    noise = CorrelatedNoise(sigma, kernel) if kernel else GaussianNoise(sigma)
    noisy, info = simulate(clean, noise, np.random.default_rng(seed))
    name = f"sigma {sigma:g}, kernel {kernel:g}"
    nps = info.nps if kernel else None
    return NoisyCase("own noise", name, picture.name, picture.modality, clean, noisy, PEAK, sigma, sigma, nps)


def _refuse_infinite(outcome: BlindOutcome) -> None:
    if not all(np.isfinite(plane).all() for plane in (*outcome.own, *outcome.others)):
        raise PeerError("it gave values that are not finite: its training diverged")


def _measure(problem: BlindProblem, name: str, outcome: BlindOutcome) -> list[Row]:
    protocol = Protocol(PEAK, "255 grey levels")
    rows = []
    for part, cases, planes in (
        (OWN, problem.own, outcome.own),
        (OTHERS, problem.others, outcome.others),
    ):
        for case, plane in zip(cases, planes, strict=True):
            result, truth = plane[None], case.clean[None]
            score = {"psnr": psnr(result, truth, protocol), "ssim": ssim(result, truth, protocol)}
            rows.append({"method": name, "images": part, "picture": case.picture, **score})
    return rows


def _print_table(arguments: argparse.Namespace, rows: list[Row], outcomes: dict[str, BlindOutcome]) -> None:
    noise = f"sigma {arguments.sigma:g}, kernel {arguments.kernel:g} px, {arguments.size} px"
    counts = {part: len({row["picture"] for row in rows if row["images"] == part}) for part in (OWN, OTHERS)}
    titles = [f"{what} {part} ({counts[part]})" for part in (OWN, OTHERS) for what in ("PSNR", "SSIM")]
    table = Table("method", "minutes", "steps", *titles, title=f"{arguments.modality}, {noise}")
    for name in dict.fromkeys(row["method"] for row in rows):
        outcome = outcomes.get(name)
        minutes = "-" if outcome is None or outcome.minutes is None else f"{outcome.minutes:.2f}"
        steps = "-" if outcome is None or outcome.steps is None else str(outcome.steps)
        means = _means(rows, name)
        cells = [
            f"{means[part][key]:{form}}"
            for part in (OWN, OTHERS)
            for key, form in (("psnr", ".2f"), ("ssim", ".4f"))
        ]
        table.add_row(name, minutes, steps, *cells)
    Console(width=140).print(table)


def _means(rows: list[Row], name: str) -> dict[str, dict[str, float]]:
    return {
        part: {
            key: fmean(row[key] for row in rows if row["method"] == name and row["images"] == part)
            for key in ("psnr", "ssim")
        }
        for part in (OWN, OTHERS)
    }


def _document(
    arguments: argparse.Namespace,
    rows: list[Row],
    outcomes: dict[str, BlindOutcome],
    left_out: dict[str, str],
) -> Row:
    names = dict.fromkeys(row["method"] for row in rows)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings_of(arguments),
        "versions": _versions(arguments.careamics),
        "means": {name: _means(rows, name) for name in names},
        "training": {
            name: {"minutes": outcome.minutes, "steps": outcome.steps} for name, outcome in outcomes.items()
        },
        "left_out": left_out,
        "rows": rows,
    }


def _versions(careamics: str) -> dict[str, str | None]:
    ask = "from importlib.metadata import version; print(version('careamics'), version('torch'))"
    asked = subprocess.run([careamics, "-c", ask], capture_output=True, text=True)
    return {**versions(), "careamics, its torch": asked.stdout.strip() or None}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Self-supervised training on a folder of noisy images.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--modality", choices=MODALITIES, required=True)
    parser.add_argument("--sigma", type=float, default=25.0, help="noise in grey levels of 255")
    parser.add_argument("--kernel", type=float, default=0.0, help="Gaussian blur of the noise in pixels")
    parser.add_argument("--images", type=int, default=50, help="images to train on")
    parser.add_argument("--others", type=int, default=10, help="further images to denoise")
    parser.add_argument("--size", type=int, default=256, help="side of the central crops")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--methods", type=names_of("method", RUNNERS), default=list(RUNNERS), help=",".join(RUNNERS)
    )
    parser.add_argument("--careamics", default=sys.executable, help="the Python that has CAREamics")
    parser.add_argument("--keep", type=Path, help="new folder for the images, our run and our results")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

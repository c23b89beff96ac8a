"""Med-cDiff against its peers on one of its tasks: denoising, super-resolution or inpainting.

    OMP_NUM_THREADS=1 python papers/medcdiff/medcdiff.py DATA --task
        medcdiff|medcdiff-upscale|medcdiff-inpaint
        --weights CHECKPOINT --keep FOLDER --json FILE [--minutes 20] [--images 4] [--side 128]
        [--recipe NAME|FILE] [--ddpm-steps 0] [--features FOLDER]

Regression and pix2pix are trained for --minutes each on the training images of the recipe of that task, one
after another, and are kept in FOLDER; they are left out where --minutes is 0. All methods then run on the
same crops of validation images, degraded the same way. `medcdiff_document.py` makes a document of the JSON
files of all tasks. LPIPS and FID are measured where their packages and weights are
(`meddenoise.metrics.perceptual`; --features names the folder).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.script import run, save, settings_of, tell, weights_of
from meddenoise.methods import Sampled
from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.perceptual import fid, lpips
from meddenoise.metrics.reference import acutance, psnr, ssim
from meddenoise.series import Image
from meddenoise.training.recipe_file import read_recipe
from meddenoise.weights import load
from papers.medcdiff.restoration_cases import TASKS, RestorationCase, load_cases
from papers.medcdiff.restoration_peers import PAIRS, Peer, PeerBudget, classical, ours, trained

Row = dict[str, Any]


def main() -> int:
    """Run all methods on all cases and write the rows; 2 where there is no picture."""
    arguments = _parse()
    torch.set_num_threads(1)
    checkpoint = load(arguments.weights)
    cases = load_cases(arguments.folder, arguments.task, arguments.images, arguments.side)
    if not cases:
        tell(f"no validation picture of {arguments.side} pixels in {arguments.folder}.")
        return 2
    peers = classical(arguments.task)
    if arguments.minutes > 0:
        recipe = read_recipe(arguments.recipe or arguments.task)
        peers |= trained(PeerBudget(arguments.folder, recipe, arguments.minutes, arguments.keep))
    peers |= ours(arguments.task, checkpoint, arguments.ddpm_steps, arguments.pairs)
    rows, distances, warnings = measure(cases, peers, arguments.features)
    for warning in warnings:
        tell(warning)
    document = {
        "task": arguments.task,
        "weights": weights_of(checkpoint),
        "settings": settings_of(arguments),
        "rows": rows,
        "fid": distances,
        "warnings": warnings,
    }
    save(arguments.json, document)
    return 0


def measure(
    cases: list[RestorationCase], peers: dict[str, Peer], features: Path | None
) -> tuple[list[Row], dict[str, dict[str, float | None]], list[str]]:
    """A row for each case and method, the FID by setting and method, and why numbers are missing."""
    rows: list[Row] = []
    images: dict[tuple[str, str], list[Image]] = defaultdict(list)
    truths: dict[str, list[Image]] = defaultdict(list)
    warnings: dict[str, None] = {}
    for case in cases:
        truths[case.setting].append(case.clean[0].numpy())
        for name, peer in peers.items():
            started = perf_counter()
            with torch.inference_mode():
                result = peer(case)
            seconds = perf_counter() - started
            images[case.setting, name].append(result.clean[0].numpy())
            rows.append(_row(case, name, result, features, warnings) | {"ms": 1000 * seconds})
    distances: dict[str, dict[str, float | None]] = defaultdict(dict)
    for (setting, name), found in images.items():
        distance = partial(fid, np.concatenate(found), np.concatenate(truths[setting]))
        distances[setting][name] = _or_none(
            "FID", warnings, partial(distance, Protocol(2.0, networks=features))
        )
    return rows, distances, list(warnings)


def _row(
    case: RestorationCase, name: str, result: Sampled, features: Path | None, warnings: dict[str, None]
) -> Row:
    """The numbers of one result; of inpainting over the hole, but for LPIPS."""
    known = case.condition.known
    mask = None if known is None else (known[0] == 0).numpy()
    protocol = Protocol(2.0, "of [-1, 1]", mask=mask)
    image, truth = (x[0].numpy().astype(np.float64) for x in (result.clean, case.clean))
    return {
        "setting": case.setting,
        "modality": case.modality,
        "picture": case.picture,
        "method": name,
        "psnr": psnr(image, truth, protocol),
        "ssim": ssim(image, truth, protocol),
        "acutance": acutance(image, truth, protocol),
        "acutance_truth": acutance(truth, truth, protocol),
        "within": _within(case, result),
        "lpips": _or_none("LPIPS", warnings, partial(lpips, image, truth, Protocol(2.0, networks=features))),
    }


def _within(case: RestorationCase, result: Sampled) -> float | None:
    """Share of the pixels to be made whose error lies within two stated standard deviations."""
    if result.spread is None:
        return None
    inside = (result.clean - case.clean).abs() < 2 * result.spread
    return float(
        (inside if case.condition.known is None else inside[case.condition.known == 0]).float().mean()
    )


def _or_none(name: str, warnings: dict[str, None], value: Callable[[], float]) -> float | None:
    """The value, or None and a warning that says why there is none."""
    try:
        return value()
    except UndefinedError as error:
        warnings[f"{name} has no value: {error}."] = None
        return None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Med-cDiff against its peers.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the peers that train")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--recipe", help="of the peers that train (default: that of the task)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training a peer; 0: none")
    parser.add_argument("--images", type=int, default=4, help="validation pictures of each modality")
    parser.add_argument("--side", type=int, default=128, help="of the central crops")
    parser.add_argument(
        "--ddpm-steps", type=int, default=0, help="of the paper's sampler, 2000; 0 leaves it out"
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of runs of our sampler")
    parser.add_argument("--features", type=Path, help="folder of the weights of LPIPS and FID")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

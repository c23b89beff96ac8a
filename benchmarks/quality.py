"""Quality of our methods against the classical ones, all told the true noise: a table, gains and ratios.

    python benchmarks/quality.py DATA_FOLDER [--weights NAME|PATH] [--methods direct,nlm,wavelet,bm3d]
        [--images N] [--noise white,physics,mismatch,harm] [--modalities CT,MR,DX,XA] [--crop 256]
        [--json FILE]

PSNR is over the peak of each picture: CT 2000 HU, MR the 99.9 percentile of its volume, 8-bit images 255.
Nothing is clipped. BM3D needs `pip install 'meddenoise[bm3d]'` (non-commercial use only).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.cases import CASES, NoisyCase, real
from benchmarks.peers import GIVEN_MODEL, Peer, make_columns, peers_of
from benchmarks.pictures import MODALITIES, load_pictures, load_repeats
from benchmarks.script import names_of, run, save, settings_of
from benchmarks.summary import print_summary
from meddenoise.methods import rows as method_rows
from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, rmse, ssim
from meddenoise.pipeline.options import Options

Row = dict[str, Any]


def main() -> int:
    """Run the cases asked for and print the tables; 2 where nothing can be run."""
    arguments = _parse()
    rows: list[Row] = []
    peers: dict[str, Peer] = {}
    left_out: dict[str, str] = {}
    for number, case in enumerate(_cases(arguments)):
        if number == 0:
            peers, left_out = _peers(arguments, case)
        fitting = {name: peer for name, peer in peers.items() if case.has_model or name != GIVEN_MODEL}
        rows += [_measure(case, name, peer) for name, peer in fitting.items()]
        if sys.stderr.isatty():
            print(f"\r{number + 1} cases", end="", file=sys.stderr, flush=True)
    if not rows:
        print(f"nothing to measure: no picture in {arguments.folder} or no method.", file=sys.stderr)
        return 2
    print_summary(rows)
    save(arguments.json, {"settings": settings_of(arguments), "left_out": left_out, "rows": rows})
    return 0


def _peers(arguments: argparse.Namespace, first: NoisyCase) -> tuple[dict[str, Peer], dict[str, str]]:
    """The columns that can run on the first case, and why the other methods cannot."""
    options = Options(device=arguments.device, precision=arguments.precision)
    made = {name: partial(peers_of, name, arguments.weights, options) for name in arguments.methods}
    return make_columns(made, lambda peer: peer(first))


def _cases(arguments: argparse.Namespace) -> Iterator[NoisyCase]:
    pictures = load_pictures(arguments.folder, arguments.images, modalities=arguments.modalities)
    for index, picture in enumerate(pictures):
        for group in arguments.noise:
            yield from CASES[group](picture, arguments.crop, arguments.seed + index)
    if "harm" in arguments.noise and "XA" in arguments.modalities:
        for repeats in load_repeats(arguments.folder, arguments.images):
            yield from real(repeats, arguments.crop)


def _measure(case: NoisyCase, name: str, peer: Peer) -> Row:
    """One result's numbers; None for a PSNR that is infinite."""
    started = perf_counter()
    clean = peer(case)
    seconds = perf_counter() - started
    protocol = Protocol(case.peak, "peak of the picture")
    result, truth, noisy = clean[None], case.clean[None], case.noisy[None]
    before, after = psnr(noisy, truth, protocol), psnr(result, truth, protocol)
    gain = after - before if np.isfinite(before) and np.isfinite(after) else None
    error = result.astype(np.float64) - truth
    return {
        "group": case.group,
        "case": case.name,
        "modality": case.modality,
        "picture": case.picture,
        "method": name,
        "sigma": case.sigma,
        "told": case.told,
        "psnr_noisy": before if np.isfinite(before) else None,
        "psnr": after if np.isfinite(after) else None,
        "gain": gain,
        "ssim": ssim(result, truth, protocol),
        "rmse_of_255": 255 * rmse(result, truth, protocol) / case.peak,
        "bias_over_sigma": float(error.mean()) / case.sigma if case.sigma > 0 else None,
        "seconds": seconds,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality against NLM, wavelet and BM3D.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv, or any folder of images")
    parser.add_argument("--weights", help="checkpoint of the learned methods (default: of the manifest)")
    parser.add_argument(
        "--methods", type=names_of("method", method_rows()), default=["direct", "nlm", "wavelet", "bm3d"]
    )
    parser.add_argument("--images", type=int, default=3, help="pictures of each modality")
    groups = ["white", "physics", "mismatch", "harm"]
    parser.add_argument("--noise", type=names_of("noise", CASES), default=groups, help=",".join(CASES))
    every = [*MODALITIES, ""]
    names = names_of("modality", MODALITIES)
    parser.add_argument("--modalities", type=names, default=every, help=",".join(MODALITIES))
    parser.add_argument("--crop", type=int, default=256, help="side of the central crop; 0 for whole planes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""Effect of noise and denoising on a classifier of chest radiographs, normal against pneumonia.

    OMP_NUM_THREADS=1 python papers/medcdiff/downstream.py DATA --weights CHECKPOINT --json FILE [--keep
        FOLDER]
        [--folder xray/kermany_train_640] [--side 128] [--noise 0.1] [--impulses 0.02] [--epochs 120]

Radiographs are reduced to --side pixels. Classifiers are trained on clean images of four fifths of the
patients and score the others': original, noisy and denoised. --keep is the folder of `medcdiff.py` whose
regression and pix2pix are scored too. A label is the start of a file name, `normal` or `pneumonia`, a
patient the rest of it (`personN`, `IM-N`). Intervals are of patients drawn with replacement.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.intervals import RESAMPLES
from benchmarks.pictures import split_files
from benchmarks.script import run, save, settings_of, tell, weights_of
from meddenoise.errors import MeddenoiseError
from meddenoise.io import read
from meddenoise.series import Floats
from meddenoise.weights import load
from papers.medcdiff.classifier import accuracy, area_under_curve, choose_folds, classify, train_folds
from papers.medcdiff.restoration_cases import RestorationCase, add_noise, told_condition
from papers.medcdiff.restoration_peers import PAIRS, classical, load_trained, ours

LABELS = ("normal", "pneumonia")
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Radiographs:
    """Clean images [N, 1, H, W] in [-1, 1] for 0..255, and the label, patient and split of each."""

    clean: Tensor
    labels: Labels
    patients: list[str]
    held_out: list[bool]


def main() -> int:
    """Train, score, and write the rows; 2 where a label is missing."""
    arguments = _parse()
    torch.set_num_threads(1)
    found = load_radiographs(arguments.data, arguments.folder, arguments.side)
    if len(set(found.labels.tolist())) < 2:
        tell(f"{arguments.data / arguments.folder} lacks normal or pneumonia images.")
        return 2
    checkpoint = load(arguments.weights)
    mine = ours("medcdiff", checkpoint, 0)
    del mine[f"medcdiff, {PAIRS} pairs"]  # 12 s an image, for what one pair shows
    peers = classical("medcdiff") | mine
    if arguments.keep is not None:
        peers |= load_trained(arguments.keep / "medcdiff")
    folds = choose_folds(found.labels.tolist(), found.patients)
    networks = train_folds(found.clean, torch.from_numpy(found.labels), folds, arguments.epochs)
    cases = _degrade(found, arguments.noise, arguments.impulses)
    scores = {"original": classify(networks, found.clean, folds)}
    for name, peer in peers.items():
        with torch.inference_mode():
            images = torch.cat([peer(case).clean for case in cases])
        scores[name] = classify(networks, images, folds)
        tell(f"{name}: AUC {area_under_curve(scores[name], found.labels):.3f}")
    document = {
        "weights": weights_of(checkpoint),
        "settings": settings_of(arguments),
        "images": len(found.labels),
        "patients": len(set(found.patients)),
        "pneumonia": int(found.labels.sum()),
        "held_out": sum(found.held_out),
        "rows": {name: summarise(found, scores[name], scores["noisy"]) for name in scores},
    }
    save(arguments.json, document)
    return 0


def load_radiographs(data: Path, folder: str, side: int) -> Radiographs:
    """All labelled images of a folder, train and validation, reduced to `side` pixels."""
    images, labels, patients, held_out = [], [], [], []
    for split in ("train", "val"):
        for path in split_files(data, split):
            label = next((n for n, name in enumerate(LABELS) if path.name.startswith(name)), None)
            if label is None or not path.is_relative_to(data / folder):
                continue
            plane = torch.from_numpy(read(path)[0].values(0, 1)[0].astype(np.float32))[None, None]
            images.append(functional.interpolate(plane, size=(side, side), mode="area") * (2 / 255) - 1)
            labels.append(label)
            patients.append(patient_of(path.stem))
            held_out.append(split == "val")
    if not images:
        raise MeddenoiseError(f"{data / folder} has no image named normal* or pneumonia*: check --folder.")
    return Radiographs(torch.cat(images), np.array(labels), patients, held_out)


def patient_of(stem: str) -> str:
    """`person5` of `pneumonia_person5_bacteria_15`, `NORMAL2-IM-0416` of `normal_NORMAL2-IM-0416-0001`."""
    found = re.search(r"person\d+|(NORMAL2-)?IM-\d+", stem)
    return found[0] if found else stem


def summarise(found: Radiographs, scores: Floats, noisy: Floats) -> dict[str, list[float]]:
    """Accuracy and AUC, and their gains over the noisy images: [value, 2.5 %, 97.5 %] each."""
    metrics: dict[str, Callable[[Floats, Labels], float]] = {
        "accuracy": accuracy,
        "auc": area_under_curve,
    }
    names = sorted(set(found.patients))
    mine = [np.flatnonzero(np.array(found.patients) == name) for name in names]
    rng = np.random.default_rng(0)
    drawn = [
        np.concatenate([mine[n] for n in rng.integers(len(mine), size=len(mine))]) for _ in range(RESAMPLES)
    ]
    # A draw without one of the labels has no AUC.
    drawn = [chosen for chosen in drawn if 0 < found.labels[chosen].sum() < len(chosen)]
    row: dict[str, list[float]] = {}
    for name, metric in metrics.items():
        values = np.array(
            [[metric(s[chosen], found.labels[chosen]) for s in (scores, noisy)] for chosen in drawn]
        )
        own, before = metric(scores, found.labels), metric(noisy, found.labels)
        for key, value, draws in (
            (name, own, values[:, 0]),
            (f"{name}_gain", own - before, values[:, 0] - values[:, 1]),
        ):
            row[key] = [value, *np.percentile(draws, [2.5, 97.5]).tolist()]
    return row


def _degrade(found: Radiographs, noise: float, impulses: float) -> list[RestorationCase]:
    cases = []
    for n, clean in enumerate(found.clean):
        noisy = add_noise(clean[0].numpy(), noise, impulses, np.random.default_rng((11, n)))
        condition = told_condition(noisy, noise)
        cases.append(
            RestorationCase("medcdiff", "", "DX", found.patients[n], clean[None], condition, sigma=2 * noise)
        )
    return cases


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A classifier on original, noisy and denoised radiographs.")
    parser.add_argument("data", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--weights", required=True, help="checkpoint of medcdiff")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder of the peers that medcdiff.py trained")
    parser.add_argument("--folder", default="xray/kermany_train_640")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation, relative to the range")
    parser.add_argument("--impulses", type=float, default=0.02, help="share of pixels")
    parser.add_argument("--epochs", type=int, default=120)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

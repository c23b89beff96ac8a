"""The slides' protocol for VP-SDE: 28 x 28 abdominal-window patches with noise of 0.3, every method on all.

    OMP_NUM_THREADS=1 python benchmarks/vpsde.py DATA --weights CHECKPOINT [--folders A,B] [--draws 8]
        [--subset 64] [--out docs/vpsde.md] [--json FILE]

Patches are those of a grid over the validation images of the folders, at least half inside the window
-160..240 HU; means and 95 % intervals are over all of them, resampled by patient (a file name up to its
first underscore). Methods get the unclipped noisy patch and the true level; reference, noisy patch and
result are clipped to [-1, 1] before they are measured, with a range of 2.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meddenoise.errors import MeddenoiseError
from meddenoise.methods import Denoiser, Sampling, SamplingDenoiser, Setup, get
from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.training.load import walk
from meddenoise.training.recipe import DataRow
from meddenoise.training.windowed import cut_patches
from meddenoise.weights import load

WINDOW = (-160.0, 240.0)
SIDE, SIGMA = 28, 0.3
FOLDERS = "ct/tcga_lung_slices,ct/covid_ny_sbu_slices"
RESAMPLES = 10_000
BATCH = 32
Values = NDArray[np.float64]
Rows = dict[str, dict[str, object]]


def main() -> int:
    """Measure, and write the document."""
    arguments = _parse()
    torch.set_num_threads(1)
    truth, patients = load_patches(arguments.folder, arguments.folders.split(","))
    noisy = truth + SIGMA * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    few = torch.from_numpy(np.linspace(0, len(truth) - 1, min(arguments.subset, len(truth))).astype(int))
    rows: Rows = {}
    for name, (run, nfe, chosen) in _methods(arguments, len(truth), few).items():
        started = perf_counter()
        clean, spread = run(noisy[chosen])
        seconds = (perf_counter() - started) / len(chosen)
        owners = [patients[n] for n in chosen.tolist()]
        rows[name] = measure(clean, truth[chosen], owners) | {"nfe": nfe, "ms": 1000 * seconds}
        if spread is not None:
            error = (clean - truth[chosen]).abs()
            rows[name]["within"] = float((error < 2 * spread).float().mean())
        print(name, json.dumps(rows[name]), file=sys.stderr, flush=True)
    document = {"patches": len(truth), "patients": len(set(patients)), "rows": rows}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document, indent=1))
    arguments.out.write_text(_document(document), encoding="utf-8")
    return 0


def load_patches(data: Path, folders: list[str]) -> tuple[Tensor, list[str]]:
    """All validation patches [N, 1, 28, 28] in [-1, 1], and the patient of each."""
    patches, patients = [], []
    for item in walk(data, None, [DataRow(folder=folder) for folder in folders], lambda done, total: None):
        if not item.held_out:
            continue
        for plane in item.series.values(0, len(item.series)):
            scaled = np.clip(2 * (plane - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) - 1, -1, 1)
            found = list(cut_patches(scaled.astype(np.float32), SIDE))
            patches += found
            patients += [Path(item.group).name.split("_")[0]] * len(found)
    if not patches:
        raise MeddenoiseError(f"{data} has no validation patch inside the window: check SPLITS.csv.")
    return torch.from_numpy(np.stack(patches))[:, None], patients


def measure(clean: Tensor, truth: Tensor, patients: list[str]) -> dict[str, object]:
    """Mean PSNR and SSIM over patches, with 95 % bootstrap intervals by patient."""
    protocol = Protocol(2.0, "of [-1, 1]")
    pairs = [(c.clamp(-1, 1).numpy(), t.numpy()) for c, t in zip(clean, truth, strict=True)]
    values = np.array([[psnr(c, t, protocol), ssim(c, t, protocol)] for c, t in pairs])
    low, high = _interval(values, patients)
    return {
        "n": len(pairs),
        "psnr": [float(values[:, 0].mean()), low[0], high[0]],
        "ssim": [float(values[:, 1].mean()), low[1], high[1]],
    }


def _interval(values: Values, patients: list[str]) -> tuple[list[float], list[float]]:
    """2.5 and 97.5 percentiles of the mean, patients drawn with replacement."""
    groups = defaultdict(list)
    for row, patient in zip(values, patients, strict=True):
        groups[patient].append(row)
    sums = np.array([np.sum(rows, axis=0) for rows in groups.values()])
    counts = np.array([len(rows) for rows in groups.values()])
    drawn = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low.tolist(), high.tolist()


Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def _methods(arguments: argparse.Namespace, count: int, few: Tensor) -> dict[str, tuple[Run, int, Tensor]]:
    """How each row is made, its evaluations and the patches it runs on."""
    checkpoint, every = load(arguments.weights), torch.arange(count)

    def ours(name: str, mode: str | None = None, samples: int = 1) -> Run:
        sampling = Sampling(mode=mode, samples=samples)  # type: ignore[arg-type]
        return _in_window(get(name).load(Setup(checkpoint=checkpoint, sampling=sampling)))

    draws = arguments.draws
    table = {
        "noisy": (_keep, 0, every),
        "vpsde (one evaluation)": (ours("vpsde"), 1, every),
        "NLM": (_in_window(get("nlm").load(Setup())), 0, every),
        "BM3D": (_in_window(get("bm3d").load(Setup())), 0, every),
        "vpsde, one draw": (ours("vpsde", "diffusion"), 11, few),
        f"vpsde, mean of {draws} draws": (ours("vpsde", "diffusion", draws), 10 * draws + 1, few),
        "vpsde-slides": (ours("vpsde-slides"), 1000, few),
    }
    same = {f"{name}, subset": (table[name][0], table[name][1], few) for name in list(table)[:4]}
    return table | same


def _keep(noisy: Tensor) -> tuple[Tensor, Tensor | None]:
    return noisy, None


def _in_window(denoiser: Denoiser) -> Run:
    """A denoiser of images in HU on patches in [-1, 1]."""
    scale = (WINDOW[1] - WINDOW[0]) / 2

    def run(noisy: Tensor) -> tuple[Tensor, Tensor | None]:
        clean, spreads = [], []
        with torch.inference_mode():
            for start in range(0, len(noisy), BATCH):
                hu = (noisy[start : start + BATCH] + 1) * scale + WINDOW[0]
                sigma = torch.full((len(hu),), SIGMA * scale)
                if isinstance(denoiser, SamplingDenoiser):
                    seeds = [torch.Generator().manual_seed(start + n) for n in range(len(hu))]
                    drawn = denoiser.sample(hu, sigma, seeds)
                    clean.append(drawn.clean)
                    spreads += [] if drawn.spread is None else [drawn.spread / scale]
                else:
                    clean.append(denoiser(hu, sigma))
        return (torch.cat(clean) - WINDOW[0]) / scale - 1, torch.cat(spreads) if spreads else None

    return run


def _document(found: dict[str, object]) -> str:
    rows = found["rows"]
    assert isinstance(rows, dict)
    lines = [
        "# VP-SDE denoiser: the slides' protocol",
        "",
        f"Written by `python benchmarks/vpsde.py DATA --weights CHECKPOINT` on {found['patches']} validation "
        f"patches of {found['patients']} patients: 28 x 28 pixels of CT, -160..240 HU as [-1, 1], white "
        "noise of 0.3. Methods get the unclipped noisy patch and its level; all images are clipped to "
        "[-1, 1] and measured with a range of 2. Means over patches; in brackets the 95 % bootstrap "
        "interval by patient. Rows of fewer patches are on an evenly spread subset; the rows marked so "
        "allow the comparison.",
        "",
        "| method | patches | evaluations | PSNR (dB) | SSIM | ms a patch |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        (p, pl, ph), (s, sl, sh) = row["psnr"], row["ssim"]
        lines.append(
            f"| {name} | {row['n']} | {row['nfe'] or '-'} | {p:.2f} ({pl:.2f} to {ph:.2f}) "
            f"| {s:.4f} ({sl:.4f} to {sh:.4f}) | {row['ms']:.1f} |"
        )
    lines += [
        "",
        "The slides report, on 16 patches of OrganAMNIST (other images than these): noisy 17.21 dB / 0.5372, "
        "their sampler with 1000 evaluations 19.66 dB / 0.5364.",
        "",
    ]
    for name, row in rows.items():
        if "within" in row:
            lines.append(
                f"* {name}: the error lies within 2 of the stated standard deviations for "
                f"{100 * row['within']:.1f} % of the pixels."
            )
    return "\n".join(lines).rstrip() + "\n"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="VP-SDE by the slides' protocol.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--folders", default=FOLDERS)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--subset", type=int, default=64, help="patches for the rows of many evaluations")
    parser.add_argument("--out", type=Path, default=Path("docs/vpsde.md"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MeddenoiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

"""The slides' protocol for VP-SDE: 28 x 28 abdominal-window patches with noise of 0.3, every method on all.

    OMP_NUM_THREADS=1 python papers/vpsde/vpsde.py DATA --weights CHECKPOINT [--folders A,B] [--only NAMES]
        [--draws 8] [--some 320] [--few 32] [--json FILE] [--out docs/vpsde.md]

Patches are those of a grid over the validation images of the folders, at least half inside the window
-160..240 HU. Methods get the unclipped noisy patch and the true level; reference, noisy patch and result are
clipped to [-1, 1] before they are measured, with a range of 2. Draws are measured on `--some` patches spread
evenly, the slides' sampler of 1000 evaluations on `--few`. Rows that FILE already has, of the same weights
and patches, are not made again; the document is written after each row.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from benchmarks.script import names_of, run, save, tell, weights_of
from meddenoise.errors import MeddenoiseError, UsageError
from meddenoise.methods import Denoiser, Sampling, SamplingDenoiser, Setup, get
from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.training import TrainingSet
from meddenoise.training.data.load import walk
from meddenoise.training.data.windowed import cut_patches
from meddenoise.training.recipe import DataRow
from meddenoise.weights import load
from papers.vpsde.vpsde_document import Document, VpsdeRow, compose

WINDOW = (-160.0, 240.0)
SIDE, SIGMA = 28, 0.3
FOLDERS = ["ct/tcga_lung_slices", "ct/covid_ny_sbu_slices"]
BATCH = 32

Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Way:
    """One row to be: how it is made, its network evaluations a patch, and which patches it runs on."""

    load: Callable[[], Run]
    nfe: int
    chosen: Tensor


def main() -> int:
    """Measure what is missing, and write the document after each row."""
    arguments = _parse()
    torch.set_num_threads(1)
    truth, patients = load_patches(arguments.folder, arguments.folders)
    noisy = truth + SIGMA * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    checkpoint = load(arguments.weights)
    document: Document = {
        "weights": weights_of(checkpoint),
        "folders": arguments.folders,
        "patients": patients,
        "rows": {},
    }
    document["rows"] = _kept(arguments.json, document)
    for name, way in _ways(arguments, Setup(checkpoint=checkpoint), len(truth)).items():
        if arguments.only is not None and name not in arguments.only:
            continue
        if name not in document["rows"] or document["rows"][name]["chosen"] != way.chosen.tolist():
            try:
                document["rows"][name] = _row(way, noisy, truth)
            except UsageError as error:  # BM3D is a package of its own
                tell(f"{name} left out: {error}")
                continue
        save(arguments.json, document)
        arguments.out.write_text(compose(document), encoding="utf-8")
        tell(f"{name}: {np.mean(document['rows'][name]['psnr']):.2f} dB")
    return 0


def load_patches(data: Path, folders: list[str]) -> tuple[Tensor, list[str]]:
    """All validation patches [N, 1, 28, 28] in [-1, 1], and the patient of each."""
    patches, patients = [], []
    rows = [DataRow(folder=folder) for folder in folders]
    for item in walk(TrainingSet(data), rows, lambda done, total: None):
        if not item.held_out:
            continue
        for plane in item.series.values(0, len(item.series)):
            scaled = np.clip(2 * (plane - WINDOW[0]) / (WINDOW[1] - WINDOW[0]) - 1, -1, 1)
            found = list(cut_patches(scaled.astype(np.float32), SIDE))
            patches += found
            # File names begin with the patient.
            patients += [Path(item.group).name.split("_")[0]] * len(found)
    if not patches:
        raise MeddenoiseError(f"{data} has no validation patch inside the window: check SPLITS.csv.")
    return torch.from_numpy(np.stack(patches))[:, None], patients


def _kept(path: Path | None, document: Document) -> dict[str, VpsdeRow]:
    """The rows of an earlier call on the same weights and patches."""
    if path is None or not path.exists():
        return {}
    old: Document = json.loads(path.read_text())
    now, then = ([part["weights"], part["folders"], part["patients"]] for part in (document, old))
    return old["rows"] if now == then else {}


def _ways(arguments: argparse.Namespace, setup: Setup, count: int) -> dict[str, Way]:
    """Every row of the document."""
    every, some, few = (_spread(size, count) for size in (count, arguments.some, arguments.few))

    def ours(name: str, mode: str | None = None, samples: int = 1) -> Callable[[], Run]:
        sampling = Sampling(mode=mode, samples=samples)  # type: ignore[arg-type]
        chosen = Setup(checkpoint=setup.checkpoint, sampling=sampling)
        return lambda: _in_window(get(name).load(chosen))

    def classical(name: str) -> Callable[[], Run]:
        return lambda: _in_window(get(name).load(Setup()))

    draws = arguments.draws
    return {
        "noisy": Way(lambda: lambda noisy: (noisy, None), 0, every),
        "vpsde": Way(ours("vpsde"), 1, every),
        "nlm": Way(classical("nlm"), 0, every),
        "vpsde, one draw": Way(ours("vpsde", "diffusion"), 11, some),
        f"vpsde, mean of {draws} draws": Way(ours("vpsde", "diffusion", draws), 10 * draws + 1, some),
        "vpsde-slides": Way(ours("vpsde-slides"), 1000, few),
        "bm3d": Way(classical("bm3d"), 0, every),
    }


def _spread(size: int, count: int) -> Tensor:
    return torch.from_numpy(np.linspace(0, count - 1, min(size, count)).astype(int))


def _row(way: Way, noisy: Tensor, truth: Tensor) -> VpsdeRow:
    run, wanted = way.load(), truth[way.chosen]
    started = perf_counter()
    clean, spread = run(noisy[way.chosen])
    seconds = (perf_counter() - started) / len(wanted)
    protocol = Protocol(2.0, "of [-1, 1]")
    pairs = [(c.clamp(-1, 1).numpy(), t.numpy()) for c, t in zip(clean, wanted, strict=True)]
    row: VpsdeRow = {
        "chosen": way.chosen.tolist(),
        "psnr": [round(psnr(c, t, protocol), 5) for c, t in pairs],
        "ssim": [round(ssim(c, t, protocol), 6) for c, t in pairs],
        "nfe": way.nfe,
        "ms": 1000 * seconds,
        "within": None,
    }
    if spread is not None:
        inside = (clean - wanted).abs() < 2 * spread
        row["within"] = [round(float(share), 5) for share in inside.float().mean(dim=(1, 2, 3))]
    return row


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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="VP-SDE by the slides' protocol.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--folders", type=names_of("folder"), default=FOLDERS)
    parser.add_argument("--only", type=names_of("row"), help="rows to measure (default: all)")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--some", type=int, default=320, help="patches for the rows of draws")
    parser.add_argument("--few", type=int, default=32, help="patches for the rows of 1000 evaluations")
    parser.add_argument("--json", type=Path, help="keeps the numbers of every patch")
    parser.add_argument("--out", type=Path, default=Path("docs/vpsde.md"))
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""Fast samplers against the full one: evaluations, PSNR, SSIM and time of each on the same network.

    OMP_NUM_THREADS=1 python papers/vpsde/samplers.py DATA --weights CHECKPOINT... [--images 2] [--runs 8]
        [--full N] [--steps 1,5,8,10,15,25,50] [--json FILE] [--out docs/samplers.md]

Checkpoints of medcdiff, medcdiff-upscale, medcdiff-inpaint, diffdenoise (runs in symmetric pairs, from pure
noise) and vpsde (runs from the noisy patch, whose full sampler draws). The full sampler is `ancestral` over
all levels of the schedule, or over --full of them. What is compared is the mean of its distribution: the
PSNR of the mean of infinitely many runs, without bias from few (`mean_square_error`).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import json
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.script import names_of, run, save, tell, weights_of
from meddenoise.diffusion import Denoise, get_sampler
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import draw_from
from meddenoise.diffusion.schedules import karras, log_spaced
from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import ssim
from meddenoise.weights import load
from papers.vpsde.sampler_problems import RANGE, SamplerProblem, load_problem
from papers.vpsde.samplers_document import FULL, compose

Row = dict[str, Any]


def main() -> int:
    """Measure every checkpoint, write the document after each."""
    arguments = _parse()
    torch.set_num_threads(1)
    document: dict[str, Any] = {}
    if arguments.json is not None and arguments.json.exists():
        document = json.loads(arguments.json.read_text())
    for weights in arguments.weights:
        checkpoint = load(weights)
        problem = load_problem(arguments.folder, checkpoint, arguments.images)
        document[checkpoint.metadata.method] = {
            "weights": weights_of(checkpoint),
            "images": list(problem.truth.shape),
            "runs": arguments.runs,
            "rows": measure(problem, arguments.steps, arguments.runs, arguments.full),
        }
        save(arguments.json, document)
        arguments.out.write_text(compose(document), encoding="utf-8")
    return 0


def measure(
    problem: SamplerProblem, steps: Sequence[int], runs: int, full: int | None = None
) -> dict[str, Row]:
    """One row for the full sampler, `full` levels of it or all, and one for each fast one."""
    plans: dict[str, tuple[str, tuple[float, ...]]] = {
        FULL: ("ancestral", _thin(problem.every, full) if full else problem.every)
    }
    for count in steps:
        # One step is the same with every sampler: the estimate at the first level.
        for name, place in LEVELS.items() if count > 1 else [("ddim", LEVELS["ddim"])]:
            plans[f"{name} {count}"] = (name, place(problem, count))
    rows: dict[str, Row] = {}
    for title, (name, ratios) in plans.items():
        rows[title] = _row(problem, name, ratios, runs) | {"sampler": name}
        tell(f"{title}: {np.mean(rows[title]['psnr']):.3f} dB")
    return rows


def mean_square_error(estimates: Tensor, truth: Tensor) -> Tensor:
    """The mean square error [B] of the mean of infinitely many independent runs, from R of them.

    estimates: [R, B, 1, H, W]. The products of the errors of different runs: without the spread of single
    runs, which the square of the mean of R runs still has a share 1 / R of. Of one run, its own error.
    """
    errors = (estimates - truth).double()
    count = len(errors)
    squares = errors.square().sum(dim=0)
    if count > 1:
        squares = (errors.sum(dim=0).square() - squares) / (count * (count - 1))
    return squares.mean(dim=(1, 2, 3))


def _row(problem: SamplerProblem, name: str, ratios: tuple[float, ...], runs: int) -> Row:
    """Values of single images; `psnr` that of the distribution's mean, `one` that of one run."""
    counted = _Counted(problem.denoise)
    # Runs from the same start that draw nothing on the way are all the same.
    times = 1 if problem.given and name != "ancestral" else runs
    started = perf_counter()
    with torch.inference_mode():
        ends = torch.stack([_run(problem, counted, name, ratios, seed) for seed in range(times)])
    seconds = (perf_counter() - started) / (times * len(problem.truth))
    whole, protocol = ends.mean(dim=0), Protocol(RANGE, "of [-1, 1]")
    images = zip(whole.numpy(), problem.truth.numpy(), strict=True)
    singles = torch.stack([mean_square_error(end[None], problem.truth) for end in ends])
    return {
        "nfe": counted.calls // times,
        "pair": not problem.given,
        "ms": 1000 * seconds,
        "psnr": _decibel(mean_square_error(ends, problem.truth)),
        "one": np.mean([_decibel(errors) for errors in singles], axis=0).tolist(),
        "ssim": [ssim(result, truth, protocol) for result, truth in images],
    }


def _run(
    problem: SamplerProblem, denoise: Denoise, name: str, ratios: tuple[float, ...], seed: int
) -> Tensor:
    """One pair's mean, or one run where the start is given."""
    draw = draw_from([torch.Generator().manual_seed(1000 * seed + n) for n in range(len(problem.truth))])
    sampler = get_sampler(name)
    if problem.given:
        return problem.finish(sampler(denoise, problem.centre, ratios, noise=draw))
    start = ratios[0] * draw(problem.centre)
    mean, _ = antithetic(sampler, denoise, start, ratios, centre=problem.centre, noise=draw)
    return problem.finish(mean)


class _Counted:
    """An estimate that counts its calls."""

    def __init__(self, denoise: Denoise) -> None:
        self.denoise, self.calls = denoise, 0

    def __call__(self, x: Tensor, ratio: float) -> Tensor:
        self.calls += 1
        return self.denoise(x, ratio)


def _decibel(errors: Tensor) -> list[float]:
    values: list[float] = (10 * torch.log10(RANGE**2 / errors.clamp(min=1e-10))).tolist()
    return values


def _thin(ratios: tuple[float, ...], count: int) -> tuple[float, ...]:
    """`count` of the falling ratios, trailing: the first is kept, the last is well above 0; then 0."""
    length = len(ratios) - 1
    chosen = [ratios[round(length * k / count)] for k in range(min(count, length))]
    return (*dict.fromkeys(chosen), 0.0)


LEVELS: dict[str, Callable[[SamplerProblem, int], tuple[float, ...]]] = {
    "ancestral": lambda problem, count: _thin(problem.every, count),
    "ddim": lambda problem, count: _thin(problem.every, count),
    "dpmpp-2m": lambda problem, count: log_spaced(problem.high, problem.low, count),
    # Two evaluations a step but for the last, to 0.
    "heun": lambda problem, count: karras(problem.high, problem.low, (count + 1) // 2),
}
"""The ratios of each sampler for at most so many evaluations of a run."""


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fast samplers against the full one.")
    parser.add_argument("folder", type=Path, help="folder with SPLITS.csv")
    parser.add_argument("--weights", nargs="+", required=True, help="checkpoints")
    parser.add_argument("--images", type=int, default=2, help="of each modality")
    parser.add_argument("--runs", type=int, default=8, help="runs, or pairs of them, of each sampler")
    parser.add_argument("--full", type=int, help="levels of the full sampler (default: all)")
    parser.add_argument(
        "--steps", type=_counts, default=[1, 5, 8, 10, 15, 25, 50], help="evaluations of a run"
    )
    parser.add_argument("--json", type=Path, help="keeps the numbers, of other checkpoints too")
    parser.add_argument("--out", type=Path, default=Path("docs/samplers.md"))
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    return [int(count) for count in names_of("count")(text)]


if __name__ == "__main__":
    run(main)

"""Leak of `diffdenoise` weights; spread and calibration of their sampler: three tables.

    python papers/diffdenoise/leak.py DATA [--weights NAME|PATH] [--images 2] [--crop 192] [--seeds 50]
        [--markdown docs/diffdenoise-weights.md]

The first: leak (share of a pixel's own noise that stays) and PSNR of the student, of the blind-spot network
and of its fusion with the noisy image, whose weight is the best leak there is; white noise of 6 to 50 of
255, given.
The second: pixel spread over `--seeds` seeds of a single run of the sampler and of a symmetric pair, and
the PSNR of pairs of 10 and of 100 steps, without fusion. The third: the share of pixels whose error lies
within two of the standard deviations that --mode diffusion --uncertainty writes, and the root mean square
of both, in sigmas.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
from collections.abc import Callable, Iterator
from datetime import date
from statistics import fmean
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markdown import Markdown
from torch import Tensor

from benchmarks.cases import WIDER, NoisyCase, white
from benchmarks.markdown import table
from benchmarks.pictures import load_pictures
from meddenoise import weights
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import ddim, draw_from
from meddenoise.methods import Sampling, Setup, get
from meddenoise.methods.diffdenoise import DiffusionDenoiser
from meddenoise.methods.fusion import fusion_weight
from meddenoise.metrics.leak import leak
from meddenoise.noise import NoiseEstimate
from meddenoise.version import __version__
from meddenoise.weights.checkpoint import Checkpoint

Row = dict[str, Any]
SAMPLED_SIGMA = 25


def main() -> None:
    """Measure and print."""
    arguments = _parse()
    checkpoint = weights.load(arguments.weights)
    cases = list(_cases(arguments))
    tables = {"Leak and PSNR": [_measure_leak(case, checkpoint) for case in cases]}
    tables[f"The sampler over {arguments.seeds} seeds"] = [
        _measure_sampler(case, checkpoint, arguments.seeds)
        for case in cases
        if case.name == f"sigma {SAMPLED_SIGMA}"
    ]
    tables["Uncertainty, 10 steps"] = [_measure_sureness(case, checkpoint) for case in cases]
    text = "\n\n".join(_markdown(title, rows) for title, rows in tables.items())
    Console(width=200).print(Markdown(text))
    if arguments.markdown is not None:
        arguments.markdown.write_text(f"{_head(arguments)}\n\n{text}\n", encoding="utf-8")


def _cases(arguments: argparse.Namespace) -> Iterator[NoisyCase]:
    for index, picture in enumerate(load_pictures(arguments.folder, arguments.images)):
        yield from white(picture, arguments.crop, index, WIDER)


def _measure_leak(case: NoisyCase, checkpoint: Checkpoint) -> Row:
    noisy, sigma = _tensors(case)
    blind = get("blindspot").load(_setup(case, checkpoint, Sampling(fusion=False)))
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "student": get("diffdenoise").load(_setup(case, checkpoint, Sampling("distilled"))),
        "blind spot": blind,
        "blind spot, fused": get("blindspot").load(_setup(case, checkpoint, Sampling())),
    }
    row: Row = {"modality": case.modality, "case": case.name}
    with torch.inference_mode():
        for name, denoise in ways.items():
            row[f"leak {name}"] = leak(denoise, noisy, sigma)
            row[f"PSNR {name}"] = _psnr(denoise(noisy, sigma)[0, 0].numpy(), case)
        best = fusion_weight(noisy, blind(noisy, sigma), sigma, torch.ones(1, 4))
    row["best weight"] = float(best)
    row["student - best"] = row["leak student"] - row["best weight"]
    return row


def _measure_sampler(case: NoisyCase, checkpoint: Checkpoint, seeds: int) -> Row:
    noisy, sigma = _tensors(case)

    def sampler(steps: int) -> DiffusionDenoiser:
        setup = _setup(case, checkpoint, Sampling("diffusion", steps, fusion=False))
        loaded = get("diffdenoise").load(setup)
        assert isinstance(loaded, DiffusionDenoiser)
        return loaded

    short = sampler(10)
    with torch.inference_mode():
        ends = [_pair(short, noisy, sigma, seed) for seed in range(seeds)]
        single = np.stack([mean + half for mean, half in ends])
        pair = np.stack([mean for mean, _ in ends])
        long = sampler(100).sample(noisy, sigma, [torch.Generator().manual_seed(0)]).clean[0, 0].numpy()
    row: Row = {"modality": case.modality, "case": case.name}
    for name, draws in (("single", single), ("pair", pair)):
        row[f"pixel spread {name}"] = float(draws.std(axis=0).mean()) / case.sigma
        scores = [_psnr(draw, case) for draw in draws]
        row[f"PSNR {name}"], row[f"PSNR spread {name}"] = fmean(scores), float(np.std(scores))
    row["narrower"] = row["pixel spread single"] / row["pixel spread pair"]
    row["PSNR 100 steps"] = _psnr(long, case)
    row["10 - 100"] = _psnr(pair[0], case) - row["PSNR 100 steps"]
    return row


def _measure_sureness(case: NoisyCase, checkpoint: Checkpoint) -> Row:
    noisy, sigma = _tensors(case)
    denoiser = get("diffdenoise").load(_setup(case, checkpoint, Sampling("diffusion", 10)))
    assert isinstance(denoiser, DiffusionDenoiser)
    with torch.inference_mode():
        result = denoiser.sample(noisy, sigma, [torch.Generator().manual_seed(0)])
    assert result.spread is not None
    error, spread = result.clean[0, 0].numpy() - case.clean, result.spread[0, 0].numpy()
    return {
        "modality": case.modality,
        "case": case.name,
        "within 2": float(np.mean(np.abs(error) <= 2 * spread)),
        "error": float(np.sqrt(np.mean(error**2))) / case.sigma,
        "told": float(np.sqrt(np.mean(spread**2))) / case.sigma,
    }


def _pair(denoiser: DiffusionDenoiser, noisy: Tensor, sigma: Tensor, seed: int) -> tuple[Any, Any]:
    """Half sum and half difference of one pair, in image units."""
    bands = denoiser.blind.bands_for(noisy)
    condition = denoiser.blind.blind(noisy, sigma)
    denoise, ratios = denoiser.srds.over(condition, sigma, bands)
    start = ratios[0] * draw_from([torch.Generator().manual_seed(seed)])(condition)
    mean, half = antithetic(ddim, denoise, start, ratios)
    return (condition + sigma * mean)[0, 0].numpy(), (sigma * half)[0, 0].numpy()


def _setup(case: NoisyCase, checkpoint: Checkpoint, sampling: Sampling) -> Setup:
    return Setup(NoiseEstimate(case.sigma), case.modality, checkpoint=checkpoint, sampling=sampling)


def _tensors(case: NoisyCase) -> tuple[Tensor, Tensor]:
    noisy = torch.from_numpy(case.noisy)[None, None]
    return noisy, torch.full_like(noisy, case.sigma)


def _psnr(plane: Any, case: NoisyCase) -> float:
    error = np.mean(np.square(plane.astype(np.float64) - case.clean))
    return float(10 * np.log10(case.peak**2 / error))


def _head(arguments: argparse.Namespace) -> str:
    about = (__doc__ or "").split("\n\n")
    command = (
        f"python papers/diffdenoise/leak.py DATA --weights {arguments.weights} --images {arguments.images} "
        f"--crop {arguments.crop} --seeds {arguments.seeds}"
    )
    parts = [
        "# " + about[0].rstrip("."),
        f"`{command}`, {date.today()}, meddenoise {__version__}.",
        about[2].strip(),
    ]
    return "\n\n".join(parts)


def _markdown(title: str, rows: list[Row]) -> str:
    """Means over the pictures of each modality and case, as a table."""
    numbers = [name for name in rows[0] if name not in ("modality", "case")]
    lines = []
    for modality, case in dict.fromkeys((row["modality"], row["case"]) for row in rows):
        mine = [row for row in rows if (row["modality"], row["case"]) == (modality, case)]
        means = (f"{fmean(row[name] for row in mine):.3f}" for name in numbers)
        lines.append([modality, case, *means])
    return f"## {title}\n\n" + table(["modality", "case", *numbers], lines)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Leak and sampler of a diffdenoise checkpoint.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="diffdenoise")
    parser.add_argument("--images", type=int, default=2, help="pictures of each modality")
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Speed and agreement of the one-pass networks run by OpenVINO and by torch, both in fp32, on this processor.

    python benchmarks/backends.py [--networks direct,direct-fast,diffdenoise,befoi] [--size 512] [--rounds 9]
        [--threads N] [--json FILE]

Both run in turns on the same plane, so that a change of the machine's load meets both: the ratio is the
median of those of all rounds. The largest difference is in units of the noise. Needs the extra `openvino`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.script import names_of, run
from meddenoise import weights
from meddenoise.engine.device import keep_freed_memory, quick_precision
from meddenoise.methods import Denoiser, Setup, get
from meddenoise.networks.compiled import openvino_version, processor
from meddenoise.noise import NoiseEstimate

NETWORKS = ("direct", "direct-fast", "diffdenoise", "befoi")
SIGMA = 20.0


def main() -> int:
    """Print a row for every network; 2 where OpenVINO is missing."""
    arguments = _parse()
    if openvino_version() is None:
        print("OpenVINO is not installed: pip install 'meddenoise[openvino]'.", file=sys.stderr)
        return 2
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    rows = [measure(name, arguments.size, arguments.rounds) for name in arguments.networks]
    where = f"{processor()}, OpenVINO {openvino_version()}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    title = f"one plane of {arguments.size} x {arguments.size}, fp32, threads: {threads}\n{where}"
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=140).print(table)
    quick = quick_precision(torch.device("cpu")) == "bf16"
    print(f"used by itself on this processor: {'no, torch computes in bf16 here' if quick else 'yes'}")
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"processor": where, "threads": threads, "rows": rows}, indent=1)
        )
    return 0


@torch.inference_mode()
def measure(name: str, size: int, rounds: int) -> dict[str, Any]:
    """Seconds a plane by both, the median ratio and the largest difference in sigmas."""
    setup = Setup(NoiseEstimate(SIGMA), "CT", checkpoint=weights.load(name))
    method = get(setup.checkpoint.metadata.method)
    both: list[Denoiser] = [
        method.load(setup),
        method.load(Setup(setup.noise, "CT", checkpoint=setup.checkpoint, backend="openvino")),
    ]
    generator = torch.Generator().manual_seed(0)
    noisy = 1000 + SIGMA * torch.randn(1, 2 * both[0].context + 1, size, size, generator=generator)
    sigma = torch.tensor([SIGMA])
    expected, made = (denoise(noisy, sigma) for denoise in both)  # the first time is slower
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for denoise, times in zip(both, seconds, strict=True):
            began = perf_counter()
            denoise(noisy, sigma)
            times.append(perf_counter() - began)
    return {
        "network": name,
        "torch_ms": 1000 * median(seconds[0]),
        "openvino_ms": 1000 * median(seconds[1]),
        "times_as_fast": median(one / other for one, other in zip(*seconds, strict=True)),
        "largest_difference": float((made - expected).abs().max()) / SIGMA,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="OpenVINO next to torch.")
    parser.add_argument("--networks", type=names_of("network", NETWORKS), default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=512, help="side of the plane")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

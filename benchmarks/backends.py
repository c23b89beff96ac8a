"""Speed and agreement of the one-pass networks run by OpenVINO and by torch, both in fp32.

    python benchmarks/backends.py [--networks direct,direct-fast,diffdenoise,befoi] [--size 512] [--rounds 9]
        [--threads N] [--json FILE]

They run in turns on the same plane, so that a change of the machine's load meets all: ratios are medians of
those of all rounds. Differences from torch are in units of the noise. Needs the extra `openvino`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.script import names_of, run
from meddenoise import weights
from meddenoise.engine.device import keep_freed_memory, quick_precision
from meddenoise.methods import Setup, get
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
    rows = [row for name in arguments.networks for row in measure(name, arguments.size, arguments.rounds)]
    where = f"{processor()}, OpenVINO {openvino_version()}, torch {torch.__version__}"
    threads = torch.get_num_threads()
    title = f"one plane of {arguments.size} x {arguments.size}, threads: {threads}\n{where}"
    table = Table(*rows[0], title=title)
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
def measure(name: str, size: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each way to run a network: milliseconds, times as fast as torch, the difference in sigmas."""
    checkpoint = weights.load(name)
    setup = Setup(NoiseEstimate(SIGMA), "CT", checkpoint=checkpoint)
    setups = {"torch": setup, "OpenVINO": replace(setup, backend="openvino")}
    method = get(checkpoint.metadata.method)
    denoisers = {way: method.load(one) for way, one in setups.items()}
    frames = 2 * denoisers["torch"].context + 1
    noisy = 1000 + SIGMA * torch.randn(1, frames, size, size, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([SIGMA])
    results = {way: denoise(noisy, sigma) for way, denoise in denoisers.items()}  # the first time is slower
    seconds: dict[str, list[float]] = {way: [] for way in denoisers}
    for _ in range(rounds):
        for way, denoise in denoisers.items():
            began = perf_counter()
            denoise(noisy, sigma)
            seconds[way].append(perf_counter() - began)
    for way, times in seconds.items():
        ratios = [one / other for one, other in zip(seconds["torch"], times, strict=True)]
        difference = (results[way] - results["torch"]) / SIGMA
        yield {
            "network": name,
            "run by": way,
            "ms": 1000 * median(times),
            "times as fast": median(ratios),
            "largest difference": float(difference.abs().max()),
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

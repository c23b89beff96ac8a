"""Speed of the one-pass network against the classical methods and against this machine's own floor.

    python benchmarks/speed.py [--weights NAME|PATH] [--size 512] [--threads N] [--slices 300] [--json FILE]
    python benchmarks/speed.py --series 50 [--each 100] [--size 512]    how far all else overlaps it

Everything in one table was measured in the same run: compare the ratios, not the seconds of two machines.
Without a checkpoint the network is untrained, which is as fast. Nothing is asserted.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.costs import count_flops, first_plane_seconds, peak_memory, startup_seconds, write_volume
from benchmarks.overlap import measure_overlap, write_series
from benchmarks.peers import as_series, make_columns
from benchmarks.script import run
from meddenoise.engine.device import Device, choose_device, keep_freed_memory
from meddenoise.errors import MeddenoiseError
from meddenoise.methods import Denoiser, Setup, get
from meddenoise.methods.choice import choose
from meddenoise.methods.direct import DirectDenoiser
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.noise import NoiseEstimate
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options

Row = dict[str, Any]

NETWORK = "direct, network alone"
SIGMA = 20.0
LEAST_SECONDS, LEAST_RUNS = 1.0, 3


def main() -> None:
    """Measure and print everything asked for."""
    arguments = _parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device, arguments.precision)
    if device.device.type == "cpu":
        keep_freed_memory()
    console = Console(width=140)
    threads = torch.get_num_threads()
    console.print(f"{device} ({device.reason}), {device.precision}, {threads} torch threads; best of repeats")
    if arguments.series:
        return _measure_overlap(console, arguments)
    document: dict[str, Any] = {"device": str(device), "precision": device.precision, "threads": threads}
    denoiser, weights = _network(arguments.weights, device)
    console.print(f"weights: {weights or 'none, an untrained network'}")
    document["weights"] = weights
    with torch.inference_mode():
        document["seconds"] = _time_methods(denoiser, device, arguments, weights)
        document["floor"] = _time_floor(
            denoiser, device, arguments, document["seconds"]["direct, network alone"]
        )
    _print_methods(console, document["seconds"], arguments.size)
    _print_pairs(console, "network against this machine's convolution floor", document["floor"])
    document["startup"] = startup_seconds()
    _print_pairs(console, "start-up of --help, seconds", document["startup"])
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), 1, 1, 64)
        document["first plane"] = first_plane_seconds(Path(folder) / "000" / "0000.dcm")
    _print_pairs(console, "start-up of a single slice, seconds", document["first plane"])
    if arguments.slices:
        document["memory"] = _measure_memory(arguments, weights)
        _print_pairs(console, "peak memory of meddenoise denoise", document["memory"])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document, indent=1))


def _measure_overlap(console: Console, arguments: argparse.Namespace) -> None:
    """Print the shares of the time of a run over many series."""
    options = Options(method="direct", weights=arguments.weights, device=arguments.device)
    shares = measure_overlap(arguments.series, arguments.each, arguments.size, options)
    _print_pairs(console, "shares of the wall time from the first plane on", shares)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(shares, indent=1))


def _network(spec: str | None, device: Device) -> tuple[Denoiser, str | None]:
    """The denoiser of a checkpoint and its name; an untrained one and None where there is no checkpoint."""
    try:
        choice = choose("direct", spec, "CT")
    except MeddenoiseError as error:
        if spec is not None:
            raise
        print(f"no checkpoint ({error})", file=sys.stderr)
    else:
        setup = Setup(NoiseEstimate(SIGMA), "CT", str(device), device.precision, choice.checkpoint)
        return choice.method.load(setup), choice.weights
    network = NoiseUNet().eval().requires_grad_(False).to(device.device)
    if device.precision == "bf16":
        network.lower_trunk(torch.bfloat16)
    return DirectDenoiser(network, torch.ones(network.bands), magnitude=False), None


def _time_methods(
    denoiser: Denoiser, device: Device, arguments: argparse.Namespace, weights: str | None
) -> Row:
    """Seconds for one plane of `size` x `size`, by method; None where a package or checkpoint is missing."""
    noisy = _plane(arguments.size)
    there, level = noisy.to(device.device), torch.tensor([SIGMA]).to(device.device)
    seconds: Row = {NETWORK: _best(lambda: denoiser(there, level), device), "direct, whole pipeline": None}
    if weights is not None:
        series = as_series(noisy[0, 0].numpy(), "CT")
        options = Options(
            method="direct", weights=weights, device=arguments.device, precision=arguments.precision
        )
        seconds["direct, whole pipeline"] = _best(lambda: denoise_series(series, options), device)
    peers, left_out = make_columns({name: partial(_load, name) for name in ("nlm", "wavelet", "bm3d")})
    seconds |= dict.fromkeys(left_out)
    return seconds | {
        name: _best(partial(peer, noisy, torch.tensor([SIGMA])), device) for name, peer in peers.items()
    }


def _load(name: str) -> dict[str, Denoiser]:
    return {name: get(name).load(Setup())}


def _time_floor(
    denoiser: Denoiser, device: Device, arguments: argparse.Namespace, seconds: float
) -> dict[str, float]:
    """The best convolution speed of the machine, that of the network, and the ratio of both."""
    sides = (arguments.size // 8, arguments.size // 4)
    floors = {
        name: max(_convolution_speed(width, side, dtype, device) for width in (64, 96, 128) for side in sides)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    noisy = _plane(arguments.size).to(device.device)
    flops = count_flops(lambda: denoiser(noisy, torch.tensor([SIGMA]).to(device.device)))
    achieved = flops / seconds / 1e9
    return {
        "GFLOP a plane": flops / 1e9,
        "kFLOP a pixel": flops / arguments.size**2 / 1e3,
        "floor, fp32 GFLOP/s (3x3 convolutions, 64-128 channels, channels_last)": floors["fp32"],
        "floor, bf16 GFLOP/s": floors["bf16"],
        f"network, {device.precision} GFLOP/s": achieved,
        "efficiency": achieved / floors[device.precision],
    }


def _convolution_speed(width: int, side: int, dtype: torch.dtype, device: Device) -> float:
    """GFLOP/s of one 3x3 convolution, channels_last."""
    layer = torch.nn.Conv2d(width, width, 3, padding=1).to(device.device, dtype)
    layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(1, width, side, side, device=device.device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    flops = 2 * 9 * width * width * side * side
    return flops / _best(lambda: layer(x), device) / 1e9


def _measure_memory(arguments: argparse.Namespace, weights: str | None) -> dict[str, float | str]:
    """Peak memory of `meddenoise denoise` of a long series over the size of its pixels."""
    # The cheapest classical method stands in where there is no checkpoint: the pipeline's memory is the same.
    method = ["--method", "direct", "--weights", weights] if weights else ["--method", "gaussian"]
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "long.nii", Path(folder) / "result.nii"
        size = write_volume(source, (arguments.slices, arguments.size, arguments.size))
        command = ["denoise", str(source), "-o", str(result), "--no-report", *method]
        peak = peak_memory([sys.executable, "-m", "meddenoise", *command, "--device", arguments.device])
        alone = peak_memory([sys.executable, "-c", "import torch, scipy.ndimage, pydicom"])
    return {
        "method": method[1],
        "slices": arguments.slices,
        "pixels, MiB": size / 2**20,
        "peak, MiB": peak / 2**20,
        "torch, scipy and pydicom imported alone, MiB": alone / 2**20,
        "peak / pixels": peak / size,
        "(peak - imports) / pixels": (peak - alone) / size,
    }


def _best(run: Callable[[], object], device: Device) -> float:
    """Seconds of the quickest of some runs, after one that warms up."""
    times: list[float] = []
    run()
    while len(times) < LEAST_RUNS or sum(times) < LEAST_SECONDS:
        _wait(device)
        started = perf_counter()
        run()
        _wait(device)
        times.append(perf_counter() - started)
    return min(times)


def _wait(device: Device) -> None:
    if device.device.type == "cuda":
        torch.cuda.synchronize(device.device)


def _plane(size: int) -> Tensor:
    """A noisy disc, [1, 1, size, size]."""
    axis = torch.linspace(-1, 1, size)
    disc = 100.0 * (torch.hypot(axis[:, None], axis[None]) < 0.7)
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    return (disc + SIGMA * noise)[None, None]


def _print_methods(console: Console, seconds: Row, size: int) -> None:
    ours = seconds[NETWORK]
    table = Table("method", "seconds", "times the network", title=f"one plane of {size} x {size}")
    for name, value in seconds.items():
        cells = ("-", "-") if value is None or ours is None else (f"{value:.4f}", f"{value / ours:.1f}")
        table.add_row(name, *cells)
    console.print(table)


def _print_pairs(console: Console, title: str, values: dict[str, Any]) -> None:
    table = Table("what", "value", title=title)
    for name, value in values.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed, efficiency, start-up and memory.")
    parser.add_argument("--weights", help="checkpoint of the method direct (default: of the manifest)")
    parser.add_argument("--size", type=int, default=512, help="side of the planes")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--slices", type=int, default=300, help="planes of the memory test; 0 leaves it out")
    parser.add_argument("--series", type=int, default=0, help="CT series of a run; nothing else is measured")
    parser.add_argument("--each", type=int, default=100, help="slices of each series")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)

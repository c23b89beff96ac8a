"""The body of one-pass networks in 8 bits: its speed next to fp32, and what it loses on exact truth.

    pip install nncf
    python benchmarks/eight_bits.py [--networks direct-fast,direct] [--keep decoder.0,tail]... [--seeds 1]
        [--data DATA --pictures 4] [--size 512] [--rounds 9]

It is calibrated on what the program gives the network for phantoms of training's seeds and, with `--data`,
photographs with noise. Entry and residual sum stay in fp32; every `--keep` adds a row with the layers named
in fp32, too ("decoder.0": all that begin so). Speed is processor time of the whole network on one plane, in
turns: ratios are medians of all rounds. Loss is of whole runs of the program on phantoms of held-back seeds
at two doses, against OpenVINO in fp32. Needs the extra `openvino`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from statistics import fmean, median
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.pictures import load_pictures
from benchmarks.script import names_of, run
from benchmarks.truth_exact import SIDE, natural, phantoms
from benchmarks.truth_trial import TruthTrial
from meddenoise import weights
from meddenoise.engine.device import keep_freed_memory
from meddenoise.errors import UsageError
from meddenoise.methods import direct
from meddenoise.networks import compiled
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.pipeline.denoise import prepare_denoising
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.plan import Plan
from meddenoise.weights.checkpoint import load_network

NETWORKS = ("direct-fast", "direct")
BASE = "OpenVINO fp32"

Body = Callable[[Tensor], Tensor]
Bodies = dict[str, Body | None]  # None for torch
Speed = dict[str, tuple[float, float]]
Losses = dict[str, dict[str, float]]


def main() -> int:
    """Print a table for every network; 2 where OpenVINO or NNCF is missing."""
    arguments = _parse()
    if compiled.openvino_version() is None or find_spec("nncf") is None:
        print("OpenVINO or NNCF is not installed: pip install 'meddenoise[openvino]' nncf.", file=sys.stderr)
        return 2
    keep_freed_memory()
    seen = list(phantoms(1, first=0))
    if arguments.data is not None:
        pictures = load_pictures(arguments.data, arguments.pictures, "train", [""])
        seen += natural(pictures, SIDE, levels=(15, 50), every=False)
    for name in arguments.networks:
        network = load(name)
        given = features_of(network, name, seen)
        bodies: Bodies = {"torch fp32": None}
        bodies[BASE] = compiled.CompiledBody(compiled.compile_body(network))
        for kept in [[], *arguments.keep]:
            way = "int8" + (f", {' '.join(kept)} fp32" if kept else "")
            bodies[way] = compiled.CompiledBody(compile_in_8_bits(network, given, kept))
        print(f"{name} on {compiled.processor()}, threads: {torch.get_num_threads()}")
        print(f"planes of {arguments.size} x {arguments.size}; calibrated on {len(given)} planes")
        speed = measure_speed(network, bodies, arguments.size, arguments.rounds)
        _print(speed, measure_losses(name, bodies, phantoms(arguments.seeds)))
    return 0


def load(name: str) -> NoiseUNet:
    """The network of a checkpoint, run by torch."""
    checkpoint = weights.load(name)
    network = load_network(checkpoint, checkpoint.metadata.network, checkpoint.metadata.network_options)
    assert isinstance(network, NoiseUNet)
    return network.eval()


def features_of(network: NoiseUNet, name: str, trials: Sequence[TruthTrial]) -> list[Any]:
    """Features that the program gives the body of the network for every plane, each [1, C, H, W]."""
    found: list[Any] = []

    def body(features: Tensor) -> Tensor:
        found.extend(np.split(features.contiguous().numpy().copy(), len(features)))
        residual: Tensor = network.tail(network.mix(features))
        return residual

    for trial in trials:
        left_by(body, trial, prepare(trial, name))
    return found


def prepare(trial: TruthTrial, name: str) -> list[Plan]:
    """The program's own choice and noise for a trial: the same for all bodies."""
    options = Options(method="direct", weights=name, device="cpu", precision="fp32")
    return [prepare_denoising(series, options) for series in trial.series]


def left_by(body: Body, trial: TruthTrial, plans: Sequence[Plan]) -> float:
    """Mean square error of the program's result with `body` in its network."""
    with patch.object(direct, "run_compiled", lambda network, setup: setattr(network, "body", body)):
        results = [plan.run().series for plan in plans]
    left = trial.judge([results[which].values(n, n + 1)[0] for which, n in trial.judged])[0].left_ms
    assert left is not None
    return left


def compile_in_8_bits(network: NoiseUNet, given: Sequence[Any], kept: Sequence[str] = ()) -> bytes:
    """As `compile_body`, calibrated on the features `given`; layers that begin as `kept` in fp32."""
    openvino = compiled.import_openvino()
    os.environ["NNCF_CI"] = "1"  # else it sends a message to its maker
    nncf = import_module("nncf")
    nncf.set_log_level(logging.WARNING)
    model = compiled._graph(network)
    names = name_layers(model, network)
    ignored = [name for name in names if f"{name}.".startswith(tuple(f"{part}." for part in kept))]
    if kept and not ignored:
        raise UsageError(f"--keep {','.join(kept)} names no layer: give one of {', '.join(names)}.")
    quantised = nncf.quantize(
        model,
        nncf.Dataset(list(given)),
        preset=nncf.QuantizationPreset.MIXED,  # what residual blocks pass on is of both signs
        subset_size=len(given),
        ignored_scope=nncf.IgnoredScope(names=ignored) if ignored else None,
    )
    model = openvino.Core().compile_model(quantised, "CPU", compiled._settings(1, 1))
    return bytes(model.export_model().getvalue())


def name_layers(model: Any, network: NoiseUNet) -> list[str]:
    """Give the convolutions of the graph the names they have in the network, found by their weights."""
    modules = [(name, module) for name, module in network.named_modules() if hasattr(module, "weight")]
    layers = {module.weight.detach().numpy().tobytes(): name for name, module in modules}
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name().startswith("Convolution")]
    for op in convolutions:
        op.set_friendly_name(layers[op.input_value(1).get_node().data.tobytes()])
    return [op.get_friendly_name() for op in convolutions]


@torch.inference_mode()
def measure_speed(network: NoiseUNet, bodies: Bodies, size: int, rounds: int) -> Speed:
    """Milliseconds a plane by body, and how many times as fast as BASE."""
    frames = 2 * network.middle + 1
    noisy = 20 * torch.randn(1, frames, size, size, generator=torch.Generator().manual_seed(0))
    given = (noisy, torch.full((1, 1, size, size), 20.0), torch.ones(1, network.bands), torch.zeros(1))
    seconds: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for way, body in bodies.items():
            network.body = body
            began = process_time()
            network(*given)
            if turn:  # the first time is slower
                seconds[way].append(process_time() - began)
    network.body = None
    ratios = {way: np.divide(seconds[BASE], times) for way, times in seconds.items()}
    return {way: (1000 * median(times), median(ratios[way])) for way, times in seconds.items()}


def measure_losses(name: str, bodies: Bodies, trials: Iterable[TruthTrial]) -> Losses:
    """dB lost against BASE by compiled body and row, the mean over all phantoms of the row."""
    ready = {way: body for way, body in bodies.items() if body is not None}
    found: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in ready}
    for trial in trials:
        plans = prepare(trial, name)
        left = {way: left_by(body, trial, plans) for way, body in ready.items()}
        for way, rows in found.items():
            rows[trial.row].append(10 * float(np.log10(left[way] / left[BASE])))
    return {way: {row: fmean(values) for row, values in rows.items()} for way, rows in found.items()}


def _print(speed: Speed, losses: Losses) -> None:
    print(f"{'run by':40}    ms  times as fast as {BASE}  dB lost, mean  worst")
    for way, (milliseconds, ratio) in speed.items():
        rows = losses.get(way, {"": 0.0})
        worst = max(rows, key=rows.__getitem__)
        lost = f"{fmean(rows.values()):13.3f}  {rows[worst]:5.3f}  {worst}"
        print(f"{way:40} {milliseconds:5.0f} {ratio:28.2f}  {lost if way.startswith('int8') else ''}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One-pass networks in 8 bits next to fp32.")
    parser.add_argument("--networks", type=names_of("network", NETWORKS), default=list(NETWORKS))
    parser.add_argument("--keep", type=names_of("layer"), action="append", default=[], help="layers in fp32")
    parser.add_argument("--seeds", type=int, default=1, help="held-back phantoms of each kind")
    parser.add_argument("--data", type=Path, help="a folder with photographs to calibrate on, too")
    parser.add_argument("--pictures", type=int, default=4, help="as many of them")
    parser.add_argument("--size", type=int, default=512, help="side of the plane that is timed")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

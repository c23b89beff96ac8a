"""Is MR without an empty background better denoised if its noise is taken as Rician?

    python benchmarks/rician_assumed.py [--methods direct,diffdenoise]

MR phantoms that nothing was trained on, cut inside the body, with true Rician noise: the share of pixels with
a signal below three times the noise, where Rician noise differs from normal by more than 5 %; the gain of the
result in dB with the noise taken as normal, and what it changes if it is taken as Rician.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
from dataclasses import replace
from typing import Literal

import numpy as np

from benchmarks.noise_cases import truth
from benchmarks.script import run
from benchmarks.truth_exact import held_back
from meddenoise.engine.planes import as_map
from meddenoise.phantom.acquire import to_series
from meddenoise.pipeline.denoise import prepare_denoising
from meddenoise.pipeline.options import Options
from meddenoise.series import Image, Series

INSIDE = slice(80, 176)
SEEDS = 18, 19
PERCENT = 3, 10, 20
"""Noise in hundredths of the range."""
TELLING = 3.0
"""Signal in units of the noise, from which Rician noise is normal."""


def main() -> None:
    """One line a phantom, level and method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default="direct,diffdenoise")
    methods = parser.parse_args().methods.split(",")
    phantom = held_back("mr")
    header = to_series(phantom, phantom.truth, "inside")
    print(f"{'seed':>4}{'noise':>7}{'below 3':>9}  {'method':12}{'normal':>9}{'Rician':>9}")
    for seed in SEEDS:
        plane, span = truth("mr", 256, seed)
        signal = plane[INSIDE, INSIDE]
        for percent in PERCENT:
            sigma = np.float32(span * percent / 100)
            real, imaginary = sigma * np.random.default_rng([seed, percent]).standard_normal(
                (2, *signal.shape), np.float32
            )
            noisy = np.hypot(signal + real, imaginary)
            share = float(np.mean(signal < TELLING * sigma))
            for method in methods:
                normal, rician = (
                    _gain(signal, noisy, _denoise(as_map(header, noisy[None]), method, model))
                    for model in ("gaussian", "rician")
                )
                line = f"{seed:4}{percent:5} %{share:9.0%}  {method:12}{normal:+9.2f}{rician - normal:+9.2f}"
                print(line, flush=True)


def _denoise(series: Series, method: str, model: Literal["gaussian", "rician"]) -> Image:
    """The plane of `series` by a method that takes its noise for that of a model."""
    plan = prepare_denoising(series, Options(method=method, device="cpu"))
    assert plan.setup.noise is not None
    setup = replace(plan.setup, noise=replace(plan.setup.noise, model=model))
    result: Image = replace(plan, setup=setup).run().series.values(0, 1)[0]
    return result


def _gain(signal: Image, noisy: Image, result: Image) -> float:
    """Error of the noisy image against the signal over that of the result, in dB."""
    return float(10 * np.log10(np.mean((noisy - signal) ** 2) / np.mean((result - signal) ** 2)))


if __name__ == "__main__":
    run(main)

"""Accuracy of the noise of each plane and frame if it varies along a series.

    python benchmarks/noise_by_plane.py [DATA] [--size N] [--seeds N]

A CT phantom whose dose falls from 60 to 8 % along z (seeds that nothing was trained on), the noise that was
added inside the body as truth; and, where DATA is given, the real cines of a scene in which nothing moves, a
frame's truth being its difference to the mean of settled frames that it shares no noise with. Wanted: 10 % on
every slice, 15 % on frame 0, the noisiest.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.script import run
from benchmarks.truth_exact import FIRST_SEED
from benchmarks.truth_real import cines
from meddenoise.engine.level import estimate_series
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.models import CtDoseNoise
from meddenoise.noise.simulate import simulate
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise, to_series

DOSES = np.geomspace(0.6, 0.08, 8)
BODY_HU = -500


@dataclass(frozen=True)
class Known:
    """Noise of each plane of one series: true and estimated, in its unit."""

    name: str
    true: list[float]
    estimated: list[float]


def main() -> None:
    """Measure and print one block a series."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    for known in falling_dose(arguments.size, arguments.seeds):
        print_series(known)
    for known in real_cines(arguments.data) if arguments.data else ():
        print_series(known)


def falling_dose(size: int, seeds: int) -> Iterator[Known]:
    """CT phantoms whose tube current falls along z."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        phantom = make_phantom("ct", size=size, planes=len(DOSES), seed=seed)
        noisy = np.empty_like(phantom.truth)
        for k, dose in enumerate(DOSES):
            noise = dose_noise(phantom, float(dose))[0]
            assert isinstance(noise, CtDoseNoise)
            noise = replace(noise, fast=True)
            noisy[k] = simulate(phantom.truth[k : k + 1], noise, np.random.default_rng([seed, k]))[0][0]
        added, body = noisy - phantom.truth, phantom.truth > BODY_HU
        true = [float(plane[inside].std()) for plane, inside in zip(added, body, strict=True)]
        # the noise of CT follows the place: its map inside the body, as the truth
        found = estimate_series(to_series(phantom, noisy, "noisy")).planes
        inside = [
            float(np.sqrt(np.square(sigma_map(noise, plane)[part]).mean()))
            for noise, plane, part in zip(found, noisy, body, strict=True)
        ]
        yield Known(f"ct phantom, seed {seed}", true, inside)


def real_cines(data: Path) -> Iterator[Known]:
    """The runs of `truth.py`, every frame."""
    for trial in cines(data):
        found = estimate_series(trial.series[0]).planes
        yield Known(
            f"cine {trial.row}", [case.sigma for case in trial.cases], [noise.sigma for noise in found]
        )


def print_series(known: Known) -> None:
    """Every plane, and the largest error."""
    errors = [e / t - 1 for t, e in zip(known.true, known.estimated, strict=True)]
    print(
        f"{known.name}: largest error {100 * max(map(abs, errors)):.0f} %, plane 0 {100 * errors[0]:+.0f} %"
    )
    for n, (t, e, error) in enumerate(zip(known.true, known.estimated, errors, strict=True)):
        print(f"  {n:3d}  true {t:8.3f}  estimated {e:8.3f}  {100 * error:+5.1f} %")


if __name__ == "__main__":
    run(main)

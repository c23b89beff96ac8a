"""Measure the estimators of noise where the noise is known: level, spectrum, whiteness, Rician or not.

    python benchmarks/noise_estimate.py DATA [--groups near-clean,texture] [--weights PATH] [--json FILE]

Without weights, given or bundled, only the first two methods run.

DATA is the folder with `SPLITS.csv`; phantoms are of seeds nothing was trained on. Methods: `wavelet`, the
peer (MAD of the finest diagonal band); `classical`, the block statistics of `noise.estimate`; `learned`, the
network; `ruling`, what `estimator.settle` makes of the two and every command uses. Of the level the median
and the worst error are given and the share of images within 25 %, from noise of 1 % of the range up; below
that the largest ratio to the truth, where more than twice it does harm. A band is right where it is within
20 % of the total. White noise is recognised where no band is more than 15 % off white.
The cases cut inside the body are not recognised as Rician, on purpose: `rician_assumed.py` tells why.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from skimage.restoration import estimate_sigma

from benchmarks.noise_cases import EXACT, NoiseCase
from benchmarks.noise_real import REAL
from meddenoise.engine.estimator import NAME, load_estimator, settle
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.cells import bands_of_cells, cell_shares
from meddenoise.noise.estimate import estimate_plane
from meddenoise.weights.manifest import published

Result = dict[str, Any]
LEAST_SHARE = 0.01
"""Noise, in parts of the range, from which the level must be right."""
WITHIN = 0.25
BAND_TOLERANCE = 0.2
WHITE_TOLERANCE = 0.15
TURNS = 11
"""Times that each method is timed; the first fills its tables."""
AREAS = np.asarray(cell_shares()).reshape(4, -1).sum(axis=1)
"""Share of all frequencies in each of the four bands."""


def main() -> None:
    """Print a table a group, and what failed with --verbose."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--groups", default="", help="parts of the names of groups, comma-separated")
    parser.add_argument("--weights", default=NAME if NAME in published() else "", help="of the network")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    results: list[Result] = []
    for case in cases(options.data, options.groups.split(",")):
        found = run(case, options.weights)
        results += found
        if options.verbose:
            ratios = "  ".join(f"{row['method']} {row['ratio']:5.2f}" for row in found)
            print(f"{case.group:12} {case.name:48.48} {100 * case.share:6.2f} %  {ratios}", flush=True)
    print_table(results)
    print_speed(options.weights)
    if options.json:
        options.json.write_text(json.dumps({"rows": results}, indent=1) + "\n")


def cases(data: Path, groups: list[str]) -> Iterator[NoiseCase]:
    """All cases of the groups with those words in their names."""
    for make in (*EXACT, *REAL):
        names = make.__name__.replace("_", "-")
        if any(group.strip() in names for group in groups):
            yield from make(data)


def run(case: NoiseCase, weights: str) -> list[Result]:
    """Every method on one case."""
    plane, valid = case.plane.astype(np.float32), np.ones(case.plane.shape, bool)
    peer = float(estimate_sigma(plane.astype(np.float64)))  # type: ignore[no-untyped-call]
    classical = estimate_plane(plane, valid, case.modality)
    methods = {"wavelet": NoiseEstimate(peer), "classical": classical}
    if weights:
        learned = load_estimator(weights).estimate(plane, valid, case.modality)
        methods |= {"learned": learned, "ruling": settle(classical, learned, plane, valid, case.modality)}
    return [score(case, name, estimate) for name, estimate in methods.items()]


def score(case: NoiseCase, method: str, estimate: NoiseEstimate) -> Result:
    """Errors of one estimate."""
    row: Result = {
        "group": case.group,
        "case": case.name,
        "method": method,
        "modality": case.modality,
        "share": case.share,
        # Where there is no noise, the level in parts of a thousandth of the range.
        "ratio": estimate.sigma / (case.sigma or case.span / 1000),
        "uncertainty": estimate.uncertainty,
        "rician": None,
        "band": None,
        "white": None,
    }
    if method == "wavelet":  # a level and nothing else
        return row
    if case.rician is not None:
        row["rician"] = (estimate.model == "rician") == case.rician
    if case.spectrum is not None:
        true = np.asarray(bands_of_cells(tuple(case.spectrum)))
        off = np.abs(np.asarray(estimate.bands) - true) * np.sqrt(AREAS)
        row["band"] = float(off.max())
        if np.ptp(case.spectrum) < 0.02:
            row["white"] = bool(np.abs(np.asarray(estimate.bands) - 1).max() < WHITE_TOLERANCE)
    return row


def print_table(results: list[Result]) -> None:
    """One line a group and method."""
    print(
        f"{'group':14}{'method':11}{'n':>4}  {'median':>7}{'lowest':>8}{'highest':>8}{'within':>8}"
        f"{'n <1%':>7}{'highest':>8}{'bands':>8}{'white':>7}{'Rician':>8}"
    )
    tables: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for row in results:
        tables[(row["group"], row["method"])].append(row)
        tables[("all", row["method"])].append(row)
    for (group, method), rows in sorted(tables.items(), key=lambda item: item[0][0] == "all"):
        strong = np.array([row["ratio"] for row in rows if row["share"] >= LEAST_SHARE])
        weak = np.array([row["ratio"] for row in rows if row["share"] < LEAST_SHARE])
        cells = [f"{group:14}{method:11}{len(strong):4}  "]
        if len(strong):
            off = np.abs(strong - 1)
            cells.append(f"{np.median(off):7.1%}{strong.min():8.2f}{strong.max():8.2f}")
            cells.append(f"{np.mean((strong > 1 - WITHIN) & (strong < 1 + WITHIN)):8.0%}")
        else:
            cells.append(" " * 31)
        cells.append(f"{len(weak):7}{weak.max():8.2f}" if len(weak) else " " * 15)
        for name, least, width in (("band", BAND_TOLERANCE, 8), ("white", None, 7), ("rician", None, 8)):
            known = [row[name] for row in rows if row[name] is not None and row["share"] >= LEAST_SHARE]
            good = [value <= least for value in known] if least is not None else known
            cells.append(f"{np.mean(good):{width}.0%}" if good else " " * width)
        print("".join(cells))


def print_speed(weights: str) -> None:
    """Milliseconds of CPU a 512 x 512 plane in one thread, and their ratio to those of the peer in turn."""
    plane = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    valid = np.ones(plane.shape, bool)
    ways: dict[str, Callable[[], object]] = {
        "wavelet": lambda: estimate_sigma(plane),  # type: ignore[no-untyped-call]
        "classical": lambda: estimate_plane(plane, valid),
    }
    if weights:
        ways["learned"] = lambda: load_estimator(weights).estimate(plane, valid)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.thread_time()
            way()
            times[name].append(time.thread_time() - start)
    for name, seconds in times.items():
        ratio = np.median(np.divide(seconds, times["wavelet"])[1:])
        print(f"{name}: {1000 * min(seconds):.0f} ms a 512 x 512 plane, {ratio:.1f} times the wavelet's")


if __name__ == "__main__":
    main()

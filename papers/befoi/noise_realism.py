"""Realism of simulated noise: the physics core, and white noise, against real repeats.

    python papers/befoi/noise_realism.py DATA [--seed 0] [--json FILE]

For each static XA run of DATA: the noise of its settled frames (a frame minus the mean of the others)
against that of its mean with noise of the profile which `measure_profile` gives of the run, and with white
noise of the same level, both rounded to grey levels as the run is. "halves" compares the real frames with
each other: no simulation can be nearer. The measures: mean Kolmogorov-Smirnov distance of the noise in bins
of brightness; relative L1 distance of the radial noise power; relative error of the slope of variance
against brightness. The profile is measured on the run it is compared with; its few numbers come from
millions of pixels.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks.noise_profile import RUNS
from meddenoise.io import read
from meddenoise.noise.models import GaussianNoise, NoiseOptions, ProfileNoise
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.profile.radial import RadialSpectrum
from meddenoise.noise.simulate import simulate
from meddenoise.pipeline.profile import measure_profile
from meddenoise.series import Image, Series

BINS = 8
SAMPLES = 20_000
"""Of each bin: more pixels of one frame share their noise."""
WHITE, CORE, HALVES = "white", "physics core", "halves of the run"


@dataclass(frozen=True)
class Realism:
    """Distances of simulated from real noise; all 0 at best."""

    histogram: float
    spectrum: float
    slope: float


def main() -> None:
    """Print a line for each run and kind of noise."""
    parser = argparse.ArgumentParser(description="Simulated noise against real repeats.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'run':8}{'noise':20}{'histogram KS':>14}{'NPS L1':>10}{'slope error':>13}")
    for path in sorted((arguments.folder / RUNS).glob("*.dcm")):
        for name, found in compare_run(read(path)[0], arguments.seed).items():
            print(f"{path.stem:8}{name:20}{found.histogram:14.4f}{found.spectrum:10.4f}{found.slope:13.4f}")
            rows.append({"run": path.stem, "noise": name, **asdict(found)})
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"kind": "realism", "rows": rows}, indent=1))


def compare_run(series: Series, seed: int) -> dict[str, Realism]:
    """Each kind of noise against that of the last frames of a run, which are the settled ones."""
    profile = measure_profile([series]).profile
    count = profile.counts.settled
    frames = series.values(len(series) - count, len(series))
    mean = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    rng = np.random.default_rng(seed)
    real = noise_of(frames)
    kinds: dict[str, NoiseOptions] = {CORE: core_of(profile), WHITE: GaussianNoise(profile.sigma)}
    found = {
        name: compare_noise(real, noise_of(_digital(mean, kind, len(frames), rng)), mean)
        for name, kind in kinds.items()
    }
    return {**found, HALVES: compare_noise(real[::2], real[1::2], mean)}


def core_of(profile: NoiseProfile) -> ProfileNoise:
    """The noise that `simulate --noise profile.toml` adds to a cine."""
    return ProfileNoise(profile.gain, profile.offset, profile.frequency, profile.power, rho=profile.rho)


def noise_of(frames: Image) -> Image:
    """Frames [T, Y, X] of a still scene without their mean, the variance that it took given back."""
    count = len(frames)
    noise: Image = (frames - frames.mean(axis=0, dtype=np.float64)) * np.sqrt(count / (count - 1))
    return noise.astype(np.float32)


def compare_noise(real: Image, other: Image, mean: Image) -> Realism:
    """Noise [T, Y, X] against other noise over the same mean brightness [Y, X]."""
    edges = np.quantile(mean, np.linspace(0, 1, BINS + 1))
    bins = np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, BINS - 1)
    distances = []
    for index in range(BINS):
        inside = bins == index
        if inside.any():
            first, second = (_some(noise[:, inside]) for noise in (real, other))
            distances.append(float(ks_2samp(first, second).statistic))
    wanted, got = (np.array(_spectrum(noise)) for noise in (real, other))
    slope, found = (_slope(noise, mean) for noise in (real, other))
    return Realism(
        histogram=float(np.mean(distances)),
        spectrum=float(np.abs(got - wanted).sum() / wanted.sum()),
        slope=abs(found - slope) / abs(slope),
    )


def _digital(mean: Image, noise: NoiseOptions, count: int, rng: np.random.Generator) -> Image:
    """Frames of the mean with noise, as 8-bit frames hold them."""
    noisy, _ = simulate(np.repeat(mean[None], count, axis=0), noise, rng)
    digital: Image = np.clip(np.rint(noisy), 0, 255)
    return digital


def _some(values: Image) -> NDArray[np.float32]:
    flat = values.ravel()
    picked: NDArray[np.float32] = flat[:: max(1, flat.size // SAMPLES)]
    return picked


def _spectrum(noise: Image) -> tuple[float, ...]:
    """Radial noise power relative to its mean."""
    spectrum, usable = RadialSpectrum(), np.ones(noise.shape[1:], bool)
    for plane in noise:
        spectrum.add(plane, usable)
    return spectrum.mean()[1]


def _slope(noise: Image, mean: Image) -> float:
    """Of a line through the variances of the pixels against their brightness."""
    variance = np.mean(np.square(noise, dtype=np.float64), axis=0)
    slope: float = np.polyfit(mean.ravel().astype(np.float64), variance.ravel(), 1)[0]
    return float(slope)


if __name__ == "__main__":
    main()

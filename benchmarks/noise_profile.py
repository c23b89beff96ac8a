"""The noise profile against direct statistics of real repeats, and against the physics of simulated cines.

    python benchmarks/noise_profile.py DATA

DATA holds the static XA runs `fluoro/xa_vessel_phantom_cine_dicom/*.dcm`: nothing moves, so the standard
deviation of a pixel over the settled frames is the truth. Frames that share noise vary less about their own
mean than the noise is strong; the direct figure is corrected for that by the lag of the profile.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.io import read
from meddenoise.noise.dependence import SMOOTH
from meddenoise.noise.models import XrayNoise
from meddenoise.noise.profile import SCHEDULE, NoiseProfile
from meddenoise.noise.simulate import simulate
from meddenoise.noise.spectrum import detector_mtf, mean_power, radial_frequency
from meddenoise.normalize import fit_window
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.pipeline.profile import measure_profile
from meddenoise.series import Floats, Series

BINS = 8
RUNS = "fluoro/xa_vessel_phantom_cine_dicom"
CASES = ((1.0, 1.0), (0.25, 1.0), (4.0, 1.0), (1.0, 0.6), (1.0, 0.4))
"""Dose over that of fluoroscopy, weight of the new frame in the recursive filter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=256, help="pixels of the simulated frames")
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    print("real repeats: sigma of the profile over the direct one, all pixels and by brightness")
    for path in sorted((options.data / RUNS).glob("*.dcm")):
        print_real(path.name, read(path)[0])
    print("\nsimulated angiograms: measured over true; steps: largest difference over the frames")
    print(" dose   rho | gain offset sigma   rho | NPS least  most | step")
    for seed, (dose, recursion) in enumerate(CASES):
        print_simulated(dose, recursion, (options.size, options.frames, seed))


def print_real(name: str, series: Series) -> None:
    profile = measure_profile([series]).profile
    mean, variance = repeat_statistics(series, profile)
    total = profile.sigma / float(np.sqrt(variance.mean()))
    edges = np.quantile(mean, np.linspace(0, 1, BINS + 1))
    cells = []
    for low, high in pairwise(edges):
        inside = (mean >= low) & (mean <= high)
        level = float(mean[inside].mean())
        # The mean over a bin of the curve: a bin of background is wide.
        curve = np.interp(mean[inside], profile.means, np.square(profile.deviations))
        cells.append(f"{level:.0f}: {np.sqrt(curve.mean() / variance[inside].mean()):.3f}")
    print(
        f"{name}: sigma {profile.sigma:.2f}, over direct {total:.3f}, rho {profile.rho:.2f}, "
        f"{profile.counts.settled} of {profile.counts.planes} frames | " + "  ".join(cells)
    )


def repeat_statistics(series: Series, profile: NoiseProfile) -> tuple[Floats, Floats]:
    """Local mean and variance over the settled frames of each pixel, which are the last ones here."""
    count = profile.counts.settled
    frames = series.values(len(series) - count, len(series)).astype(np.float64)
    lags = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    shared = float((profile.rho**lags).mean())
    variance = frames.var(axis=0) / (1 - shared)
    return uniform_filter(frames.mean(axis=0), SMOOTH), variance


def print_simulated(dose: float, recursion: float, scene: tuple[int, int, int]) -> None:
    size, frames, seed = scene
    phantom = make_phantom("fluoro", size=size, planes=frames, seed=seed)
    gain = float(phantom.truth.mean()) / 40 / dose
    noise = XrayNoise(gain, 2 * gain, 0.3, recursion)
    noisy, info = simulate(phantom.truth, noise, np.random.default_rng(seed))
    series = to_series(phantom, noisy, "noisy")
    profile = measure_profile([series]).profile
    mtf, kept = detector_mtf(noise.mtf_nyquist), recursion / (2 - recursion)
    passed = mean_power(mtf(radial_frequency(size, size)), size)
    slope, offset = gain * passed * kept, noise.electronic**2 * kept
    quantum = float(np.mean(slope * phantom.truth / (slope * phantom.truth + offset)))
    frequency = np.array(profile.frequency)
    shown = (frequency > 0.02) & (frequency <= 0.5)
    true = quantum * mtf(frequency.astype(np.float32)) ** 2 / passed + 1 - quantum
    ratio = (np.array(profile.power) / true)[shown]
    low, high = fit_window(series)
    schedule = get_schedule(SCHEDULE)
    levels = np.sqrt(np.mean(np.square(info.sigma, dtype=np.float64), axis=(1, 2)))
    steps = [schedule.index_of(2 * float(level) / (high - low)) for level in levels]
    apart = np.abs(np.array(profile.steps) - steps).max()
    sigma = profile.sigma / float(np.sqrt(np.mean(levels**2)))
    print(
        f"{dose:5g} {1 - recursion:5.2f} | {profile.gain / slope:.3f}  {profile.offset / offset:.3f} "
        f"{sigma:.3f} {profile.rho:5.2f} |     {ratio.min():.3f} {ratio.max():.3f} | {apart:4d}"
    )


if __name__ == "__main__":
    main()

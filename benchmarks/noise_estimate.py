"""Measure the noise estimator on real anatomy: known noise added to real images, ratio estimated / true.

    python benchmarks/noise_estimate.py DATA_FOLDER [--split val] [--per-modality 8] [--verbose]

DATA_FOLDER holds `SPLITS.csv` (columns file, split, wavelet_sigma, note) and the files it names, in the
folders ct, mr, xray and fluoro. Noise levels are in 255ths of the range (CT: 2000 HU; others: minimum to
99.9th percentile). True sigma is sqrt(added² + own²), own being the wavelet column of SPLITS.csv: a hint, too
high on textured MR, too low on correlated noise. The column "sum" takes as own what we estimate without
added noise: 1 where the estimate adds up, as noise does.
"""

import argparse
import csv
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import estimate_sigma

from meddenoise.noise import BAND_EDGES, NoiseEstimate, SeriesNoise
from meddenoise.noise.by_plane import Reading, estimate_planes
from meddenoise.noise.change import Scene
from meddenoise.noise.estimate import estimate_plane
from meddenoise.noise.models import CtDoseNoise
from meddenoise.noise.simulate import simulate

Plane = NDArray[np.float32]
Row = tuple[float, float, float, float]
MODALITY = {"ct": "CT", "mr": "MR", "xray": "DX", "fluoro": "XA"}
SLICES = 4
"""Planes taken from a volume, around its middle."""


@dataclass(frozen=True)
class Image:
    name: str
    group: str
    planes: Plane
    own_sigma: float

    @property
    def range(self) -> float:
        if self.group == "ct":
            return 2000.0
        return float(np.percentile(self.planes, 99.9) - self.planes.min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--per-modality", type=int, default=8)
    parser.add_argument("--group", default="")
    parser.add_argument("--case", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[Row]] = {}
    for image in load_images(options.data, options.split, options.per_modality):
        if options.group and image.group != options.group:
            continue
        own = _estimate(image.planes, image.group).sigma
        for case, noisy, noise in noisy_versions(image):
            if options.case not in case:
                continue
            row = measure(image, noisy, noise, own)
            rows.setdefault((image.group, case), []).append(row)
            if options.verbose:
                print(f"{image.name:50.50} {case:18}", *(f"{value:6.2f}" for value in row))
    print_table(rows)
    if not options.case or options.case == "cine":
        print_cine(options.data, options.split)
    print_speed()


def measure(image: Image, noisy: Plane, noise: Plane | None, own: float) -> Row:
    """Estimate over truth, the same with `own` noise, wavelet MAD over truth, worst ratio among the bands."""
    estimate = _estimate(noisy, image.group).middle
    added = 0.0 if noise is None else float(noise.std())
    true = float(np.hypot(added, image.own_sigma))
    wavelet = wavelet_sigma(noisy)
    total = max(float(np.hypot(added, own)), 1e-9)
    return estimate.sigma / true, estimate.sigma / total, wavelet / true, band_ratio(estimate, noise)


def _estimate(planes: Plane, group: str) -> SeriesNoise:
    return estimate_planes(Scene.of(planes), Reading(MODALITY[group]))


def wavelet_sigma(planes: Plane) -> float:
    """The peer: MAD of the finest diagonal wavelet band over 0.6745, median over planes."""
    return float(np.median([estimate_sigma(plane.astype(np.float64)) for plane in planes]))  # type: ignore[no-untyped-call]


def band_ratio(estimate: NoiseEstimate, noise: Plane | None) -> float:
    """The band amplitude ratio furthest from 1, of the bands that hold at least a tenth of the power."""
    if noise is None:
        return float("nan")
    power = np.mean([np.abs(np.fft.fft2(plane)) ** 2 for plane in noise], axis=0)
    fy, fx = (np.fft.fftfreq(n) for n in noise.shape[1:])
    radius = np.hypot(fy[:, None], fx[None, :])
    band = np.clip(np.digitize(radius, BAND_EDGES) - 1, 0, len(BAND_EDGES) - 2)
    worst = 1.0
    for k, amplitude in enumerate(estimate.bands):
        if power[band == k].sum() < 0.1 * power.sum():
            continue
        ratio = amplitude / float(np.sqrt(power[band == k].mean() / power.mean()))
        worst = ratio if abs(np.log(max(ratio, 1e-3))) > abs(np.log(max(worst, 1e-3))) else worst
    return worst


def noisy_versions(image: Image) -> Iterator[tuple[str, Plane, Plane | None]]:
    rng = np.random.default_rng(7)
    unit = image.range / 255
    yield "none", image.planes, None
    for level in (2.5, 5, 15, 25, 50):
        yield add(f"white {level:g}", image, unit * level * rng.standard_normal(image.planes.shape))
    filters: tuple[tuple[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]], ...] = (
        ("gauss 0.5px", lambda f: np.exp(-2 * (np.pi * 0.5 * f) ** 2)),
        ("gauss 0.8px", lambda f: np.exp(-2 * (np.pi * 0.8 * f) ** 2)),
        ("gauss 1.2px", lambda f: np.exp(-2 * (np.pi * 1.2 * f) ** 2)),
        ("ramp", lambda f: np.sqrt(f) * np.exp(-((f / 0.3) ** 2))),
    )
    for name, response in filters:
        for level in (5, 15, 40):
            yield add(f"{name} {level}", image, unit * level * coloured(image.planes.shape, response, rng))
    for level in (5, 15, 40):
        yield add(f"poisson+mtf {level}", image, unit * level * poisson_mtf(image, rng))
    if image.group == "ct":
        for level in (5, 15):
            yield add(f"ramp+field {level}", image, unit * level * centred_ramp(image.planes.shape, rng))
        for fraction in (0.25, 0.1):
            noisy = simulate(image.planes, [CtDoseNoise(fraction)], rng)[0]
            yield f"dose {fraction:.0%}", noisy, noisy - image.planes
    if image.group == "mr":
        for percent in (1.5, 3, 6, 10):
            yield rician(image, percent, rng)


def add(name: str, image: Image, noise: NDArray[np.float64]) -> tuple[str, Plane, Plane]:
    return name, (image.planes + noise).astype(np.float32), noise.astype(np.float32)


def coloured(
    shape: tuple[int, ...],
    response: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Gaussian noise of unit variance with amplitude spectrum `response`(cycles a pixel)."""
    fy, fx = (np.fft.fftfreq(n) for n in shape[1:])
    gain = response(np.hypot(fy[:, None], fx[None, :]))
    gain /= np.sqrt(np.mean(gain**2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * gain).real
    return np.asarray(noise)


def poisson_mtf(image: Image, rng: np.random.Generator) -> NDArray[np.float64]:
    """Quantum noise growing with the signal and blurred by the detector, plus white electronics; unit RMS."""
    signal = np.clip((image.planes - image.planes.min()) / image.range, 0, 1).astype(np.float64)
    quanta = coloured(image.planes.shape, lambda f: 1 / (1 + (f / 0.35) ** 2), rng)
    noise = np.sqrt(signal) * quanta + 0.25 * rng.standard_normal(signal.shape)
    return np.asarray(noise / noise.std())


def centred_ramp(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """CT noise of a round body: coloured by the kernel, 2.5 times stronger in the middle; unit RMS."""
    y, x = (np.linspace(-1, 1, n) for n in shape[1:])
    body = 1 + 1.5 * np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / 0.4)
    noise = body * coloured(shape, lambda f: np.sqrt(f) * np.exp(-((f / 0.3) ** 2)), rng)
    return np.asarray(noise / noise.std())


def rician(image: Image, percent: float, rng: np.random.Generator) -> tuple[str, Plane, Plane]:
    real, imaginary = image.range * percent / 100 * rng.standard_normal((2, *image.planes.shape))
    magnitude = np.hypot(image.planes + real, imaginary)
    return f"rician {percent:g}%", magnitude.astype(np.float32), real.astype(np.float32)


def load_images(data: Path, split: str, per_modality: int) -> Iterator[Image]:
    """Images of a split, evenly chosen from every collection of every modality."""
    with (data / "SPLITS.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    for group in MODALITY:
        mine = [r for r in rows if r["file"].startswith(group) and "cine_dicom" not in r["file"]]
        mine = [r for r in mine if "real noise" not in r["note"]]
        folders = sorted({r["file"].rsplit("/", 1)[0] for r in mine})
        share = max(per_modality // len(folders), 1)
        for folder in folders:
            inside = [r for r in mine if r["file"].rsplit("/", 1)[0] == folder]
            chosen = np.unique(np.linspace(0, len(inside) - 1, share).astype(int))
            yield from (load_image(data, inside[i]) for i in chosen)


def load_image(data: Path, row: dict[str, str]) -> Image:
    planes = load_planes(data / row["file"])
    own = float(row["wavelet_sigma"] or 0)
    percent = re.search(r"noise ([\d.]+) % of p99.9", row["note"])
    if percent:
        own = float(percent[1]) / 100 * float(np.percentile(planes, 99.9))
    if own == 0:
        own = wavelet_sigma(planes)
    return Image(row["file"].split("/", 1)[1], row["file"].split("/")[0], planes, own)


def load_planes(path: Path) -> Plane:
    """Up to `SLICES` planes around the middle of a file, [N, Y, X]."""
    if path.suffix == ".png":
        from PIL import Image as Picture

        pixels = np.asarray(Picture.open(path))[None]
    elif path.suffix == ".dcm":
        import SimpleITK

        pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    else:
        import nibabel

        pixels = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
        pixels = np.atleast_3d(pixels).transpose(2, 1, 0)
    middle = len(pixels) // 2
    start = max(middle - SLICES // 2, 0)
    return pixels[start : start + SLICES].astype(np.float32)


def print_table(rows: dict[tuple[str, str], list[Row]]) -> None:
    print(
        "ratio estimated / true      n   median  lowest highest |    sum | wavelet MAD | bands median, worst"
    )
    for (group, case), values in rows.items():
        ours, total, wavelet, bands = np.array(values).T
        worst = bands[np.argmax(np.abs(np.log(bands)))]
        print(
            f"{group:7} {case:18} {len(ours):3}   {np.median(ours):6.2f}  "
            f"{ours.min():6.2f}  {ours.max():6.2f} | {np.median(total):6.2f} | {np.median(wavelet):11.2f} | "
            f"{np.median(bands):6.2f} {worst:6.2f}"
        )
    added = [v for (_, case), values in rows.items() if case != "none" for v in values]
    if added:
        off = np.abs(np.log(np.array(added)[:, :3]))
        for name, column in zip(("ours", "ours, sum", "wavelet MAD"), off.T, strict=True):
            shares = ", ".join(
                f"{np.mean(column < np.log(1 + t)):.0%} within {t:.0%}" for t in (0.1, 0.2, 0.3)
            )
            print(f"{name}: {shares}, root mean square log error {np.sqrt(np.mean(column**2)):.3f}")


def print_cine(data: Path, split: str) -> None:
    """Real repeats of a static scene: the truth is the temporal standard deviation over late frames."""
    print("real XA cine: true sigma, temporal estimate, one frame alone, wavelet MAD")
    with (data / "SPLITS.csv").open() as file:
        names = [r["file"] for r in csv.DictReader(file) if "cine_dicom" in r["file"] and r["split"] == split]
    for name in names:
        import SimpleITK

        frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(data / name))).astype(np.float32)
        frames = frames.reshape(-1, *frames.shape[-2:])
        late = frames[2:]
        true = float(np.sqrt(late.var(axis=0, ddof=1)[4:-4, 4:-4].mean()))
        timed = estimate_planes(Scene.of(frames), Reading("XA", timed=True)).sigma
        single = estimate_plane(frames[-1], modality="XA").sigma
        wavelet = wavelet_sigma(late)
        print(f"{name.split('/')[-1]:10} {true:6.2f} {timed:6.2f} {single:6.2f} {wavelet:6.2f}")


def print_speed() -> None:
    plane = np.random.default_rng(0).normal(size=(1, 512, 512)).astype(np.float32)
    estimate_plane(plane[0])
    start = time.perf_counter()
    for _ in range(5):
        estimate_plane(plane[0])
    print(f"{(time.perf_counter() - start) * 200:.0f} ms a 512x512 plane")


if __name__ == "__main__":
    main()

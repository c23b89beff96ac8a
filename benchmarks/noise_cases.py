"""Images with noise that is known exactly, for `noise_estimate.py`: phantoms and photographs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter

from meddenoise.noise.cells import spectrum_cells
from meddenoise.noise.spectrum import filter_planes, mean_power
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise
from meddenoise.series import Image

KINDS = tuple(PHANTOMS)
WHITE = np.ones(16)
CORRELATIONS = {"soft": (0.72, 0.26), "iterative": (0.81, 0.41), "sharp": (0.20, 0.12)}
"""Of neighbours along x and y, measured on one scanner's kernels."""


@dataclass(frozen=True)
class NoiseCase:
    """A plane [Y, X], its true noise, and its range; `spectrum` [16] and `rician` are None where not known.

    `modality` is what the estimator is given, "" where it must do without.
    """

    group: str
    name: str
    plane: Image
    sigma: float
    span: float
    modality: str = ""
    spectrum: NDArray[np.float64] | None = None
    rician: bool | None = None

    @property
    def share(self) -> float:
        """Noise in parts of the range."""
        return self.sigma / self.span


@lru_cache(maxsize=64)
def truth(kind: str, size: int, seed: int) -> tuple[Image, float]:
    """A plane of a phantom and its range, 2000 HU for CT."""
    plane = make_phantom(kind, size=size, planes=1, seed=seed).truth[0]
    return plane, 2000.0 if kind == "ct" else float(np.percentile(plane, 99.9) - plane.min())


def photographs(data: Path, count: int, size: int = 256) -> list[tuple[str, Image]]:
    """Middle crops of validation photographs, which have next to no noise."""
    paths = sorted((data / "natural" / "kodak_half").glob("*.png"))[:: max(1, 24 // count)][:count]
    found = []
    for path in paths:
        pixels = np.asarray(Picture.open(path).convert("L"), np.float32)
        y, x = ((side - size) // 2 for side in pixels.shape)
        found.append((path.stem, pixels[max(y, 0) :, max(x, 0) :][:size, :size]))
    return found


def gauss(length_y: float, length_x: float) -> Callable[[tuple[int, int]], Image]:
    """Amplitudes, of unit mean power, of white noise blurred by a Gaussian kernel in pixels."""

    def amplitude(shape: tuple[int, int]) -> Image:
        fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
        gain = np.exp(-2 * np.pi**2 * ((length_y * fy) ** 2 + (length_x * fx) ** 2))
        return np.asarray(gain / np.sqrt(mean_power(gain, shape[1])), np.float32)

    return amplitude


def ramp(shape: tuple[int, int]) -> Image:
    """Amplitudes of filtered back-projection, of unit mean power."""
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    gain = np.sqrt(f) * np.exp(-((f / 0.3) ** 2))
    return np.asarray(gain / np.sqrt(mean_power(gain, shape[1])), np.float32)


def kernel_of(correlation: tuple[float, float]) -> Callable[[tuple[int, int]], Image]:
    """Amplitudes of noise under a Gaussian kernel with those correlations of neighbours along x and y."""
    f = np.fft.fftfreq(512)
    lengths = np.linspace(0.0, 2.0, 401)
    power = np.exp(-4 * np.pi**2 * np.square(lengths[:, None] * f))
    neighbours = (power * np.cos(2 * np.pi * f)).sum(axis=1) / power.sum(axis=1)
    x, y = np.interp(correlation, neighbours, lengths)
    return gauss(float(y), float(x))


SPECTRA: dict[str, Callable[[tuple[int, int]], Image]] = {
    "white": lambda shape: np.ones((shape[0], shape[1] // 2 + 1), np.float32),
    "gauss 0.5": gauss(0.5, 0.5),
    "gauss 0.8": gauss(0.8, 0.8),
    "ramp": ramp,
}


def soft_ramp(shape: tuple[int, int]) -> Image:
    """Amplitudes of filtered back-projection under a kernel that ends at half the Nyquist frequency."""
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    gain = np.sqrt(f) * np.cos(np.pi * np.minimum(f, 0.25) / 0.5)
    return np.asarray(gain / np.sqrt(mean_power(gain, shape[1])), np.float32)


def half_band(shape: tuple[int, int]) -> Image:
    """Amplitudes of images brought to twice the matrix by zeros in k-space."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    gain = ((np.abs(fy) < 0.25) & (np.abs(fx) < 0.25)).astype(float)
    return np.asarray(gain / np.sqrt(mean_power(gain, shape[1])), np.float32)


COARSE = {"gauss 1.5": gauss(1.5, 1.5), "soft ramp": soft_ramp, "half band": half_band}


def noise_of(
    shape: tuple[int, int], spectrum: Callable[[tuple[int, int]], Image], rng: np.random.Generator
) -> tuple[Image, NDArray[np.float64]]:
    """Noise of unit variance and its cells."""
    amplitude = spectrum(shape)
    noise = filter_planes(rng.standard_normal(shape, np.float32), amplitude)
    return noise, spectrum_cells(amplitude, shape[1])


def matrix(data: Path) -> Iterator[NoiseCase]:
    """Small matrices: phantoms of 64 to 160 pixels."""
    rng = np.random.default_rng(1)
    for size in (64, 96, 128, 160):
        for kind in KINDS:
            plane, span = truth(kind, size, 11)
            for name, percent in (("white", 1), ("white", 3), ("white", 10), ("gauss 0.8", 3), ("ramp", 3)):
                noise, cells = noise_of(plane.shape, SPECTRA[name], rng)
                sigma = span * percent / 100
                yield NoiseCase(
                    "small matrix",
                    f"{kind} {size} {name} {percent} %",
                    plane + np.float32(sigma) * noise,
                    sigma,
                    span,
                    PHANTOMS[kind].modality,
                    cells,
                    False,
                )


def texture(data: Path) -> Iterator[NoiseCase]:
    """Textured pictures with noise of 1 % of the range and more, white and correlated."""
    rng = np.random.default_rng(2)
    for name, plane in photographs(data, 8):
        for spectrum, level in (("white", 2.5), ("white", 5), ("white", 15), ("gauss 0.8", 8), ("ramp", 8)):
            noise, cells = noise_of(plane.shape, SPECTRA[spectrum], rng)
            label = f"{name} {spectrum} {level:g}"
            yield NoiseCase(
                "texture", label, plane + np.float32(level) * noise, level, 255.0, "DX", cells, False
            )


def eight_bit(data: Path) -> Iterator[NoiseCase]:
    """Whole numbers of 0 to 255."""
    rng = np.random.default_rng(3)
    pictures = [(name, plane, "") for name, plane in photographs(data, 4)]
    for kind in KINDS:
        plane, span = truth(kind, 256, 12)
        pictures.append(
            (kind, 20 + 215 * np.clip((plane - plane.min()) / span, 0, 1), PHANTOMS[kind].modality)
        )
    for name, plane, modality in pictures:
        for level in (2.5, 5, 15):
            noise, _ = noise_of(plane.shape, SPECTRA["white"], rng)
            noisy = np.clip(np.rint(plane + level * noise), 0, 255).astype(np.float32)
            sigma = float(np.sqrt(level**2 + 1 / 12))
            yield NoiseCase("8-bit", f"{name} {level:g}", noisy, sigma, 255.0, modality, WHITE, False)


def jpeg(data: Path) -> Iterator[NoiseCase]:
    """Noise over images that come from JPEG files."""
    rng = np.random.default_rng(4)
    for name, plane in photographs(data, 6):
        for quality in (75, 92):
            file = BytesIO()
            Picture.fromarray(plane.astype(np.uint8)).save(file, "JPEG", quality=quality)
            clean = np.asarray(Picture.open(file), np.float32)
            for level in (3, 10):
                noise, _ = noise_of(plane.shape, SPECTRA["white"], rng)
                label = f"{name} quality {quality}, {level}"
                yield NoiseCase(
                    "JPEG", label, clean + np.float32(level) * noise, level, 255.0, "", WHITE, False
                )


def near_clean(data: Path) -> Iterator[NoiseCase]:
    """No noise, and noise of less than 1 % of the range."""
    rng = np.random.default_rng(5)
    pictures = [(name, plane, 255.0, "") for name, plane in photographs(data, 6)]
    for kind in KINDS:
        pictures += [(kind, *truth(kind, size, 13), PHANTOMS[kind].modality) for size in (128, 256)]
    for name, plane, span, modality in pictures:
        for percent in (0.0, 0.1, 0.3, 0.6):
            noise, _ = noise_of(plane.shape, SPECTRA["white"], rng)
            sigma = span * percent / 100
            noisy = plane + np.float32(sigma) * noise
            yield NoiseCase("near-clean", f"{name} {percent:g} %", noisy, sigma, span, modality)


def unknown(data: Path) -> Iterator[NoiseCase]:
    """Single images whose modality nobody says."""
    rng = np.random.default_rng(6)
    for kind in KINDS:
        for size, seed in ((256, 14), (192, 15)):
            plane, span = truth(kind, size, seed)
            for name, percent in (("white", 2), ("gauss 0.5", 4), ("ramp", 3)):
                noise, cells = noise_of(plane.shape, SPECTRA[name], rng)
                sigma = span * percent / 100
                label = f"{kind} {size} {name} {percent} %"
                yield NoiseCase(
                    "unknown", label, plane + np.float32(sigma) * noise, sigma, span, "", cells, False
                )


def soft_ct(data: Path) -> Iterator[NoiseCase]:
    """CT phantoms with the correlations of real kernels; iterative images with a kurtosis of 6."""
    rng = np.random.default_rng(7)
    for seed in (16, 17):
        for size in (160, 256):
            plane, span = truth("ct", size, seed)
            for name, correlation in CORRELATIONS.items():
                for sigma in (23.0, 40.0):
                    noise, cells = noise_of(plane.shape, kernel_of(correlation), rng)
                    if name == "iterative":
                        patches = gaussian_filter(rng.standard_normal(plane.shape), 4)
                        gain = np.exp(np.sqrt(np.log(6 / 3) / 4) * patches / patches.std())
                        noise = noise * (gain / np.sqrt(np.mean(gain**2))).astype(np.float32)
                    noisy = plane + np.float32(sigma) * noise
                    yield NoiseCase(
                        "kernel CT", f"{size} {name} {sigma:g} HU", noisy, sigma, span, "CT", cells
                    )


def rician(data: Path) -> Iterator[NoiseCase]:
    """Magnitudes with an empty background, and cut so that there is none; normal noise as a trap."""
    rng = np.random.default_rng(8)
    for seed in (18, 19):
        plane, span = truth("mr", 256, seed)
        inside = plane[80:176, 80:176]
        for where, signal in (("whole", plane), ("inside", inside)):
            for name, percent in (("white", 3), ("white", 10), ("white", 20), ("gauss 0.5", 10)):
                sigma = np.float32(span * percent / 100)
                first, cells = noise_of(signal.shape, SPECTRA[name], rng)
                second, _ = noise_of(signal.shape, SPECTRA[name], rng)
                noisy = np.hypot(signal + sigma * first, sigma * second)
                faint = float(np.mean(signal < 2.5 * sigma)) > 0.03
                known = True if faint else None
                label = f"{where} {name} {percent} %"
                yield NoiseCase("Rician", label, noisy, float(sigma), span, "MR", cells, known)
                normal = signal + sigma * first + 4 * sigma
                yield NoiseCase("no Rician", label, normal, float(sigma), span, "MR", cells, False)


def dose(data: Path) -> Iterator[NoiseCase]:
    """The noise of each phantom's own physics, which follows place and signal."""
    for kind, doses in (("ct", (0.5, 0.25, 0.1)), ("xray", (0.5, 0.1, 0.03)), ("fluoro", (4, 1, 0.3))):
        for seed in (20, 21):
            phantom = make_phantom(kind, size=256, planes=1, seed=seed)
            for fraction in doses:
                noisy, _ = acquire(phantom, dose_noise(phantom, fraction), seed)
                noise = (noisy - phantom.truth)[0]
                span = truth(kind, 256, seed)[1]
                cells = spectrum_cells(np.abs(np.fft.rfft2(noise)), noise.shape[1])
                label = f"{kind} dose {fraction:g}"
                sigma, modality = float(noise.std()), PHANTOMS[kind].modality
                yield NoiseCase("physics", label, noisy[0], sigma, span, modality, cells, False)


def coarse(data: Path) -> Iterator[NoiseCase]:
    """Noise without a white part, of kernels wide for the pixels: interpolation, small fields of view."""
    rng = np.random.default_rng(9)
    for kind in KINDS:
        for seed in (22, 23):
            plane, span = truth(kind, 256, seed)
            for name, spectrum in COARSE.items():
                for percent in (1.5, 4):
                    noise, cells = noise_of(plane.shape, spectrum, rng)
                    sigma = span * percent / 100
                    noisy = plane + np.float32(sigma) * noise
                    noisy = np.rint(noisy) if kind == "ct" else noisy
                    label = f"{kind} {name} {percent:g} %"
                    yield NoiseCase(
                        "coarse", label, noisy, sigma, span, PHANTOMS[kind].modality, cells, False
                    )


EXACT = (matrix, texture, eight_bit, jpeg, near_clean, unknown, soft_ct, coarse, rician, dose)

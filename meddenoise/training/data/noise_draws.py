"""Patches with noise of which everything is known: what the noise estimator learns from."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter, zoom

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.cells import spectrum_cells
from meddenoise.noise.physics import magnitude_of
from meddenoise.noise.spectrum import filter_planes, gaussian_amplitude, shaped_noise, unit_gain, white_noise
from meddenoise.series import Image
from meddenoise.training.data.degradation import draw_level, signal_level, slow_variation
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.row_noise import draw_row_noise
from meddenoise.training.spectra import draw_amplitude, white_spectrum

FAINT = 2.5
"""Signal, in sigmas, below which Rician noise looks different from Gaussian."""
FAINT_SHARE = 0.03
"""Share of such pixels from which a patch counts for telling one from the other."""
MOST_CLIPPED = 0.05
"""Share of pixels out of range from which an 8-bit file would have had another window."""
MODALITIES = "CT", "MR", "DX", "XA"
ACROSS, ALONG = (0.3, 1.0), 1.6
"""Gaussian kernels of CT in pixels: least and most of the shorter one, most of the longer. Neighbour
correlations of 0.72 and 0.26, measured on a soft kernel, are about 0.9 and 0.4 pixels; 0.81 is 1.1. A small
field of view has more pixels to a kernel."""
STREAKED = 0.25
"""Share of CT noise with streaks: where few photons arrive, as across shoulders, it has a direction."""
STREAK_WIDTH = 0.015, 0.1
"""Standard deviation, in cycles a pixel along a streak, of its frequencies."""
EXPOSURES, MOST_GAMMA = 0.25, 4.0
"""Share of radiographs that are brought back to exposures, and the highest power: most of the range, and of
the noise, is then where the beam met nothing."""
KURTOSIS = 5.0, 8.0
"""Of the noise of iterative reconstructions."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A noisy patch [H, W] and its noise: `level` [H, W] sigma at each pixel, `spectrum` [16] cells.

    `valid` [H, W] is False where a pixel is no image; `zero` 1 where 0 may be a physical floor; `rician` 1 or
    0, which only counts where `telling` is 1.
    """

    noisy: Image
    valid: NDArray[np.bool_]
    level: Image
    spectrum: NDArray[np.float32]
    zero: float
    rician: float
    telling: float


@dataclass(frozen=True, slots=True)
class _Noise:
    """Noise laid over a patch: what came out, its level, its spectrum, whether it is Rician."""

    noisy: Image
    level: Image
    spectrum: NDArray[np.float64]
    rician: bool = False
    faint: float = 0.0


def draw_labelled(
    clean: Image, own: NoiseEstimate, modality: str, mix: NoiseMix, rng: np.random.Generator
) -> Labelled:
    """`clean` [H, W], in 255ths of its range, with noise of any kind and what there is to know of it.

    `own` is the noise that `clean` has itself; it counts, and what is added is at least three times as much.
    """
    modality = modality or str(rng.choice(MODALITIES))
    if own.sigma == 0 and rng.random() < 0.12:
        clean = _recompressed(clean, rng)
    if rng.random() < 0.2:  # low contrast
        clean = clean.mean() + (clean - clean.mean()) * np.float32(np.exp(rng.uniform(np.log(0.05), 0)))
    if own.sigma == 0 and modality in ("DX", "XA") and rng.random() < EXPOSURES:
        bright = np.maximum(clean, 0) / np.float32(255)
        clean = (255 * bright ** rng.uniform(1.5, MOST_GAMMA)).astype(np.float32)
    sigma = max(draw_level(mix, rng), 3 * own.sigma)
    if own.sigma == 0 and rng.random() < mix.none:
        sigma = 0.0
    drawn = draw_row_noise(clean, modality, mix.models, rng)
    if drawn is None:
        noise = _degrade(clean, sigma, modality, mix, rng)
    else:
        noise = _Noise(drawn[0], drawn[1], spectrum_cells(drawn[2], clean.shape[1]))
    noise = _counted(noise, own)
    if rng.random() < mix.clipped:
        noise = _rounded(noise, rng)
    noisy, valid = _masked(noise.noisy, rng)
    nonnegative = bool(noisy.min() >= 0)
    zero = nonnegative and (rng.random() < (0.95 if noise.rician else 0.5))
    return Labelled(
        noisy.astype(np.float32),
        valid,
        noise.level.astype(np.float32),
        noise.spectrum.astype(np.float32),
        float(zero),
        float(noise.rician),
        float(zero and (not noise.rician or noise.faint > FAINT_SHARE)),
    )


def _degrade(clean: Image, sigma: float, modality: str, mix: NoiseMix, rng: np.random.Generator) -> _Noise:
    """Noise of some kind; zero-filled and interpolated images are as soft as their noise."""
    shape = (clean.shape[0], clean.shape[1])
    flat = np.ones(2 * 8)
    if sigma == 0:
        return _Noise(clean, np.zeros_like(clean), flat)
    if rng.random() < 0.1:
        return _interpolated(clean, sigma, rng)
    rician = modality == "MR" and rng.random() < mix.rician
    white = rng.random() < (0.6 if rician else mix.white / (1 - mix.rician / 4))
    amplitude = white_spectrum(shape) if white else _amplitude(shape, modality, rng)
    if amplitude[0, 0] > 0.5 * amplitude.max() and not white and rng.random() < 0.4:
        clean = filter_planes(np.ascontiguousarray(clean), np.minimum(1, amplitude / amplitude[0, 0]))
    level = np.full_like(clean, sigma)
    if not rician and modality != "CT" and rng.random() < mix.signal_dependent:
        level = signal_level(clean, sigma, rng)
    elif rng.random() < (0.6 if modality == "CT" else 0.3):
        level = level * slow_variation(shape, rng)
    if modality == "CT" and rng.random() < 0.3:
        level = level * _patchy(shape, rng)
    noise = level * shaped_noise(shape, amplitude, rng)
    spectrum = spectrum_cells(amplitude, shape[1])
    if not rician:
        return _Noise(clean + noise, level, spectrum)
    clean = np.maximum(clean, 0)
    if rng.random() < 0.3:
        clean = clean + np.float32(rng.uniform(0, 4) * sigma)  # no empty background
    other = level * shaped_noise(shape, amplitude, rng)
    faint = float(np.mean(clean < FAINT * level))
    return _Noise(magnitude_of(clean + noise, other), level, spectrum, True, faint)


def _amplitude(shape: tuple[int, int], modality: str, rng: np.random.Generator) -> Image:
    if modality != "CT":
        return draw_amplitude(shape, modality, rng)
    plain = _kernel(shape, rng)
    if rng.random() > STREAKED:
        return plain
    share = rng.uniform(0.2, 0.9)
    mixed: Image = np.sqrt((1 - share) * plain**2 + share * _streaks(shape, plain, rng) ** 2)
    return mixed


def _streaks(shape: tuple[int, int], plain: Image, rng: np.random.Generator) -> Image:
    """The noise of that amplitude spectrum, drawn out in one direction: mostly along the rows."""
    angle = float(rng.choice((0.0, np.pi / 2, rng.uniform(0, np.pi)), p=(0.55, 0.15, 0.3)))
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    along = fx * np.cos(angle) + fy * np.sin(angle)
    width = np.exp(rng.uniform(*np.log(STREAK_WIDTH)))
    return unit_gain(plain * np.exp(-0.5 * (along / width) ** 2), shape[1])


def _kernel(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    if rng.random() < 0.5:
        return draw_amplitude(shape, "CT", rng)
    across = rng.uniform(*ACROSS)
    along = rng.uniform(across, ALONG)
    lengths = (across, along) if rng.random() < 0.5 else (along, across)
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    return unit_gain(gaussian_amplitude(1.0)(np.hypot(lengths[0] * fy, lengths[1] * fx)), shape[1])


def _patchy(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """A level that changes over a few pixels, so that the noise has the KURTOSIS of iterative images."""
    field = gaussian_filter(rng.standard_normal(shape).astype(np.float32), rng.uniform(1.5, 8))
    field /= max(float(field.std()), 1e-6)
    spread = np.sqrt(np.log(rng.uniform(*KURTOSIS) / 3) / 4)
    level = np.exp(np.float32(spread) * field)
    patchy: Image = level / np.sqrt(np.mean(level**2))
    return patchy


def _interpolated(clean: Image, sigma: float, rng: np.random.Generator) -> _Noise:
    """A coarser noisy image brought to a finer grid; what is known of the noise is what came out of it."""
    factor, order = rng.uniform(1.15, 2.2, 2), int(rng.choice((1, 3)))
    if rng.random() < 0.5:
        factor[1] = factor[0]
    shape = clean.shape
    coarse = zoom(clean, 1 / factor, order=1, mode="nearest")
    back = np.array(shape) / coarse.shape
    noise = zoom(white_noise(coarse.shape, rng), back, order=order, mode="nearest")
    noise *= np.float32(sigma / max(float(noise.std()), 1e-6))
    spectrum = spectrum_cells(np.abs(np.fft.rfft2(noise)), shape[1])
    noisy = zoom(coarse, back, order=order, mode="nearest") + noise
    return _Noise(noisy.astype(np.float32), np.full_like(clean, sigma), spectrum)


def _counted(noise: _Noise, own: NoiseEstimate) -> _Noise:
    """The noise with that of the clean image itself, which has the fine spectrum of its `bands`."""
    if own.sigma == 0:
        return noise
    added = float(np.sqrt(np.mean(noise.level**2)))
    total = np.hypot(noise.level, np.float32(own.sigma))
    theirs = np.square(np.repeat(own.bands, 4))
    power = (added**2 * noise.spectrum**2 + own.sigma**2 * theirs) / (added**2 + own.sigma**2)
    return _Noise(noise.noisy, total, np.sqrt(power), noise.rician, noise.faint)


def _rounded(noise: _Noise, rng: np.random.Generator) -> _Noise:
    """Whole numbers as in an 8-bit file; rounding is white noise where there is noise to round."""
    level = float(np.sqrt(np.mean(noise.level**2)))
    step = min(level / 0.3, 1.0) ** 2 / 12
    power = (level**2 * noise.spectrum**2 + step) / max(level**2 + step, 1e-9) if level else noise.spectrum**2
    noisy = np.rint(noise.noisy)
    if np.mean((noisy < 0) | (noisy > 255)) < MOST_CLIPPED:
        noisy = np.clip(noisy, 0, 255)
    return _Noise(
        noisy, np.sqrt(noise.level**2 + np.float32(step)), np.sqrt(power), noise.rician, noise.faint
    )


def _recompressed(clean: Image, rng: np.random.Generator) -> Image:
    """`clean` as it comes back from a JPEG file of quality 75 to 95, which is no noise."""
    picture = Picture.fromarray(np.clip(np.rint(clean), 0, 255).astype(np.uint8))
    with BytesIO() as file:
        picture.save(file, "JPEG", quality=int(rng.integers(75, 96)))
        with Picture.open(file) as back:
            return np.asarray(back, np.float32)


def _masked(noisy: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """Now and then the outside of a disc filled with one value, as scanners and segmentations do."""
    valid = np.ones(noisy.shape, bool)
    if rng.random() > 0.12:
        return noisy, valid
    y, x = np.mgrid[-1 : 1 : noisy.shape[0] * 1j, -1 : 1 : noisy.shape[1] * 1j]
    valid = np.hypot(y - rng.uniform(-0.5, 0.5), x - rng.uniform(-0.5, 0.5)) < rng.uniform(0.5, 1.3)
    return np.where(valid, noisy, np.float32(min(0.0, float(noisy.min())))), valid

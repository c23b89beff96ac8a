"""Noise of a lower CT dose, inserted into a real or simulated image: made in projections, added in HU.

The image is projected only to learn how many photons each ray keeps; the photons missing at the lower
dose are drawn there, and their effect alone is reconstructed. The image itself is never resampled.
Source: Yu et al., J Comput Assist Tomogr 2012 (noise insertion in projection data).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, hypot

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import zoom

from meddenoise.noise.models import CtDoseNoise
from meddenoise.noise.spectrum import Amplitude, coloured_noise, sampled_amplitude
from meddenoise.series import Image

MU_WATER_MM = 0.0195
"""Linear attenuation of water at about 70 keV, per mm."""
FIELD_MM = 360.0
"""Usual width of the reconstructed field, where the size of a pixel is not known."""
LIGHTEST_HU = -500.0
FEWEST_PHOTONS = 50.0
"""In a ray, of 1e6 in air: beyond that electronic noise rules."""
_PHASES = 8
_SIGMA_STEP = 4


def insert_dose_noise(
    plane: Image, options: CtDoseNoise, rng: np.random.Generator
) -> tuple[Image, Image, Amplitude]:
    """Noise to add to one plane [Y, X] of HU, its sigma map (HU) and the amplitude of its spectrum."""
    amplitude = kernel_amplitude(options.kernel)
    if options.fraction == 1:
        return np.zeros_like(plane), np.zeros_like(plane), amplitude
    if options.fast:
        sigma = _sigma_hu(plane.shape, project(plane, options, 96, 90), options)
        return sigma * coloured_noise(plane.shape, amplitude, rng), sigma, amplitude
    views = _full_views(plane.shape)
    kept = project(plane, options, 256, views)
    error = _draw_error(_resample(kept, plane.shape), options, rng)
    filtered = scipy.fft.irfft(scipy.fft.rfft(error, _padded(error)) * _ramp(_padded(error), options.kernel))
    filtered = _interpolate(filtered[:, : error.shape[1]].astype(np.float32))
    noise = _backproject(filtered, *_axes(plane.shape, 1), _PHASES)
    noise *= np.float32(np.pi / views * 1000 / (MU_WATER_MM * options.pixel_mm))
    return noise, _sigma_hu(plane.shape, kept, options), amplitude


@lru_cache
def kernel_amplitude(kernel: str) -> Amplitude:
    """Amplitude of the noise that white projections leave in pixels, a kernel of `CtDoseNoise` applied.

    The ramp squared over the density of views, f² / f, through window and linear interpolation, whose side
    lobes beyond Nyquist the pixel grid folds back.
    """
    f = np.linspace(0, np.sqrt(0.5), 200)
    turn = np.linspace(0, np.pi / 2, 65)[:, None]
    power = np.zeros_like(f)
    for right, down in ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1)):
        radius = np.hypot(f * np.cos(turn) + right, f * np.sin(turn) + down)
        fold = np.abs(radius - np.rint(radius))
        passed = fold * _window(fold, kernel) * np.sinc(radius) ** 2
        power += np.mean(passed**2 / np.maximum(radius, 1e-9), axis=0)
    return sampled_amplitude(f.tolist(), power.tolist())


def attenuation_variance(plane: Image, grid: int) -> Image | None:
    """Relative noise variance [grid, grid] over a plane [Y, X] of HU, by what its rays lose in it.

    Without tube-current modulation, for a field of FIELD_MM; None where nothing is as light as air, so that
    the values are not HU or the body goes on outside.
    """
    values = np.nan_to_num(plane, nan=-1000.0)
    if values.min() > LIGHTEST_HU:
        return None
    options = CtDoseNoise(0.5, pixel_mm=FIELD_MM / max(plane.shape))
    rays = project(values, options, 64, 48)
    t = (np.arange(grid, dtype=np.float32) + np.float32(0.5)) / np.float32(grid) - np.float32(0.5)
    y, x = (t * np.float32(side / rays.factor) for side in plane.shape)
    spent: Image = np.reciprocal(np.maximum(rays.photons, np.float32(FEWEST_PHOTONS)))
    return _backproject(spent, y, x, 1)


@dataclass(frozen=True, slots=True)
class Rays:
    """Photons that reach the detector at full dose, [views, bins]; bins are `factor` pixels wide."""

    photons: Image
    factor: int


def project(plane: Image, options: CtDoseNoise, side: int, views: int) -> Rays:
    """Photons behind a plane [Y, X] of HU, from `views` angles over 180°, reduced to about `side` pixels."""
    factor = max(1, max(plane.shape) // side)
    attenuation = np.maximum(1 + plane / np.float32(1000), 0) * np.float32(MU_WATER_MM * options.pixel_mm)
    coarse = _block_mean(attenuation, factor) * np.float32(factor)
    y, x = _axes(plane.shape, factor)
    bins = _bin_count(plane.shape, factor)
    inside = coarse > 1e-6
    weights, across = coarse[inside], np.broadcast_to(x / factor, coarse.shape)[inside]
    down = np.broadcast_to(y[:, None] / factor, coarse.shape)[inside]
    paths = np.empty((views, bins), np.float32)
    for index, angle in enumerate(_angles(views)):
        place = across * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle)) + (bins - 1) / 2
        left = place.astype(np.int32)
        part = (place - left) * weights
        paths[index] = np.bincount(left, weights - part, bins) + np.bincount(left + 1, part, bins)[:bins]
    # A pixel grid projected between its axes leaves a ripple; three bins smooth it.
    paths[:, 1:-1] = (paths[:, :-2] + 2 * paths[:, 1:-1] + paths[:, 2:]) / 4
    return Rays(_incident(bins, max(plane.shape) / factor, options) * np.exp(-paths), factor)


def _incident(bins: int, width: float, options: CtDoseNoise) -> Image:
    """Photons in air along the detector: all in the middle, the bow-tie's part at the edge of the field."""
    radius = np.abs(np.arange(bins) - (bins - 1) / 2) / (width / 2)
    shape = np.cos(np.minimum(radius, 1) * np.pi / 2) ** 2
    return np.asarray(options.photons * (options.bowtie + (1 - options.bowtie) * shape), np.float32)


def _draw_error(photons: Image, options: CtDoseNoise, rng: np.random.Generator) -> Image:
    """Error of each line integral at the lower dose.

    Thinning the photons of the full dose gives the added variance exactly, and in starved rays the bias
    and the skew that a Gaussian does not have.
    """
    full = np.maximum(photons, 1)
    counts = rng.binomial(np.rint(full).astype(np.int64), options.fraction).astype(np.float32)
    electronic = options.electronic * np.sqrt(1 - options.fraction**2)
    counts += np.float32(electronic) * rng.standard_normal(counts.shape, dtype=np.float32)
    error: Image = -np.log(np.maximum(counts, 1) / (np.float32(options.fraction) * full))
    return error


def _error_variance(photons: Image, options: CtDoseNoise) -> Image:
    """Variance of what `_draw_error` draws, by quadrature over the counts; clipped counts included."""
    f = options.fraction
    grid = np.linspace(0, np.log(options.photons) + 0.1, 200)
    z = np.linspace(-5, 5, 201)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    full = np.exp(grid)[:, None]
    spread = np.sqrt(f * (1 - f) * full + (1 - f * f) * options.electronic**2)
    logs = np.log(np.maximum(f * full + spread * z, 1))
    variance = (logs**2 @ weight) - (logs @ weight) ** 2
    result: Image = np.interp(np.log(np.maximum(photons, 1)), grid, variance).astype(np.float32)
    return result


def _sigma_hu(shape: tuple[int, ...], rays: Rays, options: CtDoseNoise) -> Image:
    """Standard deviation of the reconstructed noise at each pixel [Y, X], HU."""
    variance = _error_variance(rays.photons, options)
    kernel = scipy.fft.irfft(_ramp(512, options.kernel))
    phase = np.arange(_PHASES) / _PHASES
    own, shared = np.mean((1 - phase) ** 2 + phase**2), np.mean(2 * phase * (1 - phase))
    gain = own * np.sum(kernel**2) + shared * np.sum(kernel * np.roll(kernel, 1))
    y, x = _axes(shape, _SIGMA_STEP)
    unit = np.float32(rays.factor)
    mean = _backproject(variance, y / unit, x / unit, 1) / np.float32(len(variance))
    scale = 1000 * np.pi / (MU_WATER_MM * options.pixel_mm)
    sigma = np.sqrt(mean * np.float32(gain / _full_views(shape))) * np.float32(scale)
    enlarged: Image = zoom(sigma, _SIGMA_STEP, order=1, mode="nearest", grid_mode=True)
    return enlarged[: shape[0], : shape[1]]


def _backproject(projections: Image, y: Image, x: Image, phases: int) -> Image:
    """Sum over the views of each pixel's nearest sample, 1 / phases of the unit of y and x apart."""
    views, samples = projections.shape
    total = np.zeros((len(y), len(x)), np.float32)
    middle = (samples - 1) / 2 + 0.5
    for angle, row in zip(_angles(views), projections, strict=True):
        across = x * np.float32(phases * np.cos(angle))
        down = y * np.float32(phases * np.sin(angle)) + np.float32(middle)
        total += row[(down[:, None] + across[None, :]).astype(np.int32)]
    return total


def _interpolate(rows: Image) -> Image:
    """Linear interpolation between bins, `_PHASES` samples a bin, [views, (bins - 1) * phases + 1]."""
    phase = np.arange(_PHASES, dtype=np.float32) / _PHASES
    fine = rows[:, :-1, None] * (1 - phase) + rows[:, 1:, None] * phase
    return np.concatenate([fine.reshape(len(rows), -1), rows[:, -1:]], axis=1)


def _resample(rays: Rays, shape: tuple[int, ...]) -> Image:
    """Photons in bins one pixel wide."""
    if rays.factor == 1:
        return rays.photons
    coarse, bins = rays.photons, _bin_count(shape, 1)
    place = (np.arange(bins) - (bins - 1) / 2) / rays.factor + (coarse.shape[1] - 1) / 2
    left = np.clip(place.astype(np.int64), 0, coarse.shape[1] - 2)
    part = np.clip(place - left, 0, 1).astype(np.float32)
    fine: Image = coarse[:, left] * (1 - part) + coarse[:, left + 1] * part
    return fine


def _ramp(size: int, kernel: str) -> NDArray[np.float64]:
    """Transfer [size // 2 + 1] of the band-limited (Ram-Lak) ramp with its window."""
    distance = np.fft.fftfreq(size, 1 / size)
    response = np.zeros(size)
    response[0] = 0.25
    odd = distance % 2 == 1
    response[odd] = -1 / (np.pi * distance[odd]) ** 2
    transfer: NDArray[np.float64] = scipy.fft.rfft(response).real
    return transfer * _window(np.fft.rfftfreq(size), kernel)


def _window(f: NDArray[np.floating], kernel: str) -> NDArray[np.floating]:
    return np.cos(np.pi * np.minimum(f, 0.5)) ** 2 if kernel == "hann" else np.ones_like(f)


def _block_mean(plane: Image, factor: int) -> Image:
    height, width = (ceil(n / factor) * factor for n in plane.shape)
    padded = np.zeros((height, width), np.float32)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    blocks: Image = padded.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    return blocks


def _axes(shape: tuple[int, ...], step: int) -> tuple[Image, Image]:
    """Places of blocks of `step` pixels, in pixels from the middle of the plane: rows, columns."""
    y, x = (
        (np.arange(ceil(n / step)) * step + (step - 1) / 2 - (n - 1) / 2).astype(np.float32) for n in shape
    )
    return y, x


def _angles(views: int) -> NDArray[np.float64]:
    return (np.arange(views) + 0.5) * np.pi / views


def _full_views(shape: tuple[int, ...]) -> int:
    return ceil(1.5 * max(shape))


def _bin_count(shape: tuple[int, ...], factor: int) -> int:
    return ceil(hypot(*shape) / factor) + 8


def _padded(rows: Image) -> int:
    return int(scipy.fft.next_fast_len(2 * rows.shape[1], real=True))

"""Random physics-like noise for training patches, with what an estimator would have told about it.

Every patch draws a kind of noise (white, coloured, signal-dependent, Rician, none), a level, a spectrum and
a slow variation over the patch. The network is told the level and the spectrum the way `noise.estimate`
tells them: with errors, sometimes without the spectrum or the variation, and with the noise that the
"clean" image already had counted in.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import BAND_EDGES, WHITE, NoiseEstimate
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.spectrum import filter_planes, mean_power

Image = NDArray[np.float32]
MORE = 0.7
"""Noise added for recorrupted pairs, relative to what is there. Less of it makes the partner noisier."""
UNKNOWN = (0.0,) * len(WHITE)
"""Bands where the spectrum is not known."""


@dataclass(frozen=True, slots=True)
class NoiseMix:
    """How training noise is drawn; levels are in 255ths of the image's range."""

    sigma_min: float = 0.5
    sigma_max: float = 64.0
    uniform_share: float = 0.45
    """Share of levels drawn uniformly (where scores are taken); the rest is log-uniform (low dose)."""
    none: float = 0.05
    white: float = 0.3
    coloured: float = 0.42
    signal_dependent: float = 0.23
    """CT has coloured noise instead: its noise follows the place, not the value."""
    lagged: float = 0.0
    """Share of sequences of frames whose noise is correlated from frame to frame."""
    rician: float = 0.5
    """Share of Rician noise among magnitude (MR) patches, whatever the shares above."""
    told_error: float = 0.2
    """Standard deviation of log(told sigma / true sigma)."""
    bands_unknown: float = 0.15
    map_unknown: float = 0.3
    own_counted: float = 0.8
    """Share of patches whose told noise counts what is estimated of the clean image itself."""
    level_spread: float = 0.3
    """Standard deviation of log(level / estimated level) of noise that is drawn like a user's own."""
    clipped: float = 0.15
    """Share of patches rounded and clipped to 0..255 like an 8-bit file."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """One noisy patch: `noisy` and `told` [H, W], `bands` [K] (zeros: unknown), `zero` 0 or 1."""

    noisy: Image
    told: Image
    bands: NDArray[np.float32]
    zero: float
    sigma: float


def degrade(
    clean: Image, own: NoiseEstimate, modality: str, mix: NoiseMix, rng: np.random.Generator
) -> Degraded:
    """A noisy version of `clean` [H, W] (0..255 units) and what the network is told about its noise.

    `own` is what is estimated of the clean image itself; `modality` is a DICOM code: MR images are taken for
    magnitudes, whose 0 is a physical floor.
    """
    kind = _draw_kind(modality, mix, rng)
    magnitude = modality == "MR"
    if kind == "none":
        return tell(Truth(clean, np.zeros_like(clean), WHITE, own), magnitude, mix, rng)
    sigma = draw_level(mix, rng)
    amplitude = white_spectrum(clean.shape) if kind == "white" else draw_amplitude(clean.shape, modality, rng)
    if kind == "rician" and rng.random() < 0.6:
        amplitude = white_spectrum(clean.shape)
    level = np.full_like(clean, sigma)
    if kind == "signal_dependent":
        level = signal_level(clean, sigma, rng)
    elif kind != "white" and rng.random() < (0.7 if modality == "CT" else 0.4):
        level = level * slow_variation(clean.shape, rng)
    poisson = kind == "signal_dependent" and rng.random() < 0.5
    noise = level * filter_planes(_unit_noise(clean, level, poisson, rng), amplitude)
    if kind == "rician":
        other = level * filter_planes(_unit_noise(clean, level, False, rng), amplitude)
        noisy = np.hypot(clean + noise, other)
    else:
        noisy = clean + noise
    if rng.random() < mix.clipped:
        noisy = np.clip(np.rint(noisy), 0, 255)
    return tell(Truth(noisy, level, bands_of(amplitude), own), magnitude, mix, rng)


def degrade_like(
    clean: Image, like: NoiseEstimate, magnitude: bool, mix: NoiseMix, rng: np.random.Generator
) -> Degraded:
    """A version of `clean` [H, W] with fresh noise as `like` describes it, at a level near its own."""
    near = replace(like, sigma=like.sigma * float(np.exp(rng.normal(0, mix.level_spread))), field=None)
    level = sigma_map(near, clean)
    noise = noise_like(near, clean, rng)
    noisy = clean + noise
    if like.model == "rician":
        noisy = np.hypot(noisy, noise_like(near, clean, rng))
    return tell(Truth(noisy, level, like.bands, NoiseEstimate(0.0)), magnitude, mix, rng)


def pair(
    clean: Image, noise: Image, own: NoiseEstimate, magnitude: bool, mix: NoiseMix, rng: np.random.Generator
) -> Degraded:
    """A patch with its own real `noise` [H, W]; told as `own`, or by its level alone where that is 0."""
    noisy = clean + noise
    if own.sigma > 0:
        level, bands = sigma_map(replace(own, field=None), noisy), own.bands
    else:
        level, bands = np.full_like(clean, noise.std()), UNKNOWN
    return tell(Truth(noisy, level, bands, NoiseEstimate(0.0)), magnitude, mix, rng)


def recorrupt(
    clean: Image, noise: Image, own: NoiseEstimate, magnitude: bool, mix: NoiseMix, rng: np.random.Generator
) -> tuple[Degraded, Image]:
    """A patch with its own `noise` [H, W] and some more, and a partner whose noise is independent of that.

    The network that maps one to the other in the mean square gives the clean patch, whatever `clean`, an
    estimate that sets the level where it depends on the signal, has lost. Right for normal noise of the
    level and spectrum of `own`; of a level too low, some noise stays.
    Source: Pang, Zheng, Quan, Ji 2021, CVPR (Recorrupted-to-Recorrupted), equations 8 to 10.
    """
    noisy, own = clean + noise, replace(own, field=None)
    fresh = noise_like(own, clean, rng)
    level = sigma_map(own, clean) * np.float32(np.hypot(1, MORE))
    first = (noisy + np.float32(MORE) * fresh).astype(np.float32)
    truth = Truth(first, level, own.bands, NoiseEstimate(0.0))
    return tell(truth, magnitude, mix, rng), noisy - fresh / np.float32(MORE)


def _draw_kind(modality: str, mix: NoiseMix, rng: np.random.Generator) -> str:
    if modality == "MR" and rng.random() < mix.rician:
        return "rician"
    kinds = ("none", "white", "coloured", "signal_dependent")
    shares = np.array([getattr(mix, kind) for kind in kinds])
    kind = str(rng.choice(kinds, p=shares / shares.sum()))
    return "coloured" if kind == "signal_dependent" and modality == "CT" else kind


def draw_level(mix: NoiseMix, rng: np.random.Generator) -> float:
    """A noise level in 255ths of the range."""
    if rng.random() < mix.uniform_share:
        return float(rng.uniform(mix.sigma_min, mix.sigma_max))
    return float(np.exp(rng.uniform(np.log(mix.sigma_min), np.log(mix.sigma_max))))


@dataclass(frozen=True, slots=True)
class Truth:
    """A noisy patch, its noise map and spectrum, and what is estimated of the clean image itself."""

    noisy: Image
    level: Image
    bands: tuple[float, ...]
    own: NoiseEstimate


def tell(truth: Truth, magnitude: bool, mix: NoiseMix, rng: np.random.Generator) -> Degraded:
    """What an estimator would say of it, errors included."""
    level, power = truth.level, np.square(truth.bands)
    sigma = float(np.sqrt(np.mean(level**2)))
    told = level if rng.random() >= mix.map_unknown else np.full_like(level, sigma)
    if sigma == 0 or rng.random() < mix.own_counted:
        # An estimator cannot tell the noise added from the noise, and the texture, that was there before.
        own = (truth.own.sigma * rng.uniform(0.4, 1.0)) ** 2
        told = np.sqrt(told**2 + own)
        power = (sigma**2 * power + own * np.square(truth.own.bands)) / max(sigma**2 + own, 1e-9)
    told = np.maximum(told * np.exp(rng.normal(0, mix.told_error)), 0.05).astype(np.float32)
    bands = np.sqrt(power) * np.exp(rng.normal(0, 0.15, len(power)))
    if rng.random() < mix.bands_unknown:
        bands = np.asarray(UNKNOWN)
    zero = float(magnitude and truth.noisy.min() >= 0 and rng.random() < 0.9)
    return Degraded(truth.noisy.astype(np.float32), told, bands.astype(np.float32), zero, sigma)


@lru_cache(maxsize=8)
def _frequencies(shape: tuple[int, int]) -> tuple[Image, Image]:
    fy = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    return fy, fx


@lru_cache(maxsize=8)
def white_spectrum(shape: tuple[int, int]) -> Image:
    """The amplitude spectrum [H, W/2 + 1] of white noise."""
    return np.ones((shape[0], shape[1] // 2 + 1), np.float32)


SPECTRA = {"CT": (0.1, 0.75, 0.1, 0.05), "MR": (0.3, 0.05, 0.55, 0.1)}
"""Shares of interpolated, ramp-filtered, k-space and scintillator noise in a modality."""
OTHER_SPECTRA = (0.3, 0.1, 0.05, 0.55)


def draw_amplitude(shape: tuple[int, ...], modality: str, rng: np.random.Generator) -> Image:
    """A random noise amplitude spectrum [H, W/2 + 1] of unit mean power: blurred, ramp-filtered, k-space."""
    fy, fx = _frequencies((shape[0], shape[1]))
    angle, stretch = rng.uniform(0, np.pi), 1.0 if rng.random() < 0.5 else rng.uniform(1.0, 2.2)
    u, v = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
    f = np.hypot(u * stretch, v)
    kind = rng.choice(4, p=SPECTRA.get(modality, OTHER_SPECTRA))
    if kind == 0:  # interpolation, smoothing: Gaussian kernel of 0.3 to 1.5 pixels
        amplitude = np.exp(-2 * (np.pi * rng.uniform(0.3, 1.5) * f) ** 2)
    elif kind == 1:  # CT: ramp times a reconstruction kernel's roll-off
        roll_off = np.exp(-((f / rng.uniform(0.12, 0.5)) ** rng.uniform(1.5, 4)))
        amplitude = f ** rng.uniform(0.3, 1.0) * roll_off
    elif kind == 2:  # zero-filled or windowed k-space
        cut_x, cut_y = rng.uniform(0.2, 0.55, 2) if rng.random() < 0.5 else (rng.uniform(0.2, 0.5), 1.0)
        amplitude = _edge(np.abs(fx), cut_x) * _edge(np.abs(fy), cut_y)
    else:  # scintillator: MTF with 0.1 to 0.6 left at the Nyquist frequency
        left, power = rng.uniform(0.1, 0.6), rng.uniform(0.7, 2.0)
        amplitude = (1 + (2 * f) ** 2 * (left ** (-1 / power) - 1)) ** -power
    amplitude = amplitude / np.sqrt(mean_power(amplitude, shape[1]) + 1e-12)
    white = rng.uniform(0.0, 0.35)  # electronic noise stays white
    mixed: Image = np.sqrt((1 - white**2) * amplitude**2 + white**2).astype(np.float32)
    return mixed


def _edge(f: Image, cut: float) -> Image:
    edge: Image = 1 / (1 + np.exp((f - cut) / 0.02))
    return edge


def bands_of(amplitude: Image) -> tuple[float, ...]:
    """Amplitude in each frequency band relative to white noise: `NoiseEstimate.bands` of this spectrum."""
    height, width = amplitude.shape[0], 2 * (amplitude.shape[1] - 1)
    fy, fx = _frequencies((height, width))
    band = np.digitize(np.hypot(fy, fx), BAND_EDGES[1:-1])
    count = np.bincount(band.ravel(), minlength=len(WHITE))
    power = np.bincount(band.ravel(), amplitude.ravel() ** 2, minlength=len(WHITE))
    return tuple(np.sqrt(power / count).tolist())


def _unit_noise(clean: Image, level: Image, poisson: bool, rng: np.random.Generator) -> Image:
    if not poisson:
        return rng.standard_normal(clean.shape, np.float32)
    # As many quanta as make sigma(x) the shot noise of the signal: skewed where they are few.
    quanta = np.clip((np.maximum(clean, 1.0) / np.maximum(level, 0.05)) ** 2, 2.0, 1e5)
    return ((rng.poisson(quanta) - quanta) / np.sqrt(quanta)).astype(np.float32)


def signal_level(clean: Image, sigma: float, rng: np.random.Generator) -> Image:
    """sigma(x) with variance linear in the signal plus a constant (electronic) share."""
    signal = np.maximum(clean, 0) + 1e-3
    share = rng.uniform(0.02, 0.6)
    reference = max(float(signal.mean()), 20.0)
    level: Image = (sigma * np.sqrt((1 - share) * signal / reference + share)).astype(np.float32)
    return level


def slow_variation(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A smooth positive field of unit root mean square, up to about a factor 3 from side to side."""
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    a, b, c, d, e = rng.normal(0, 0.3, 5)
    field = np.exp(a * x + b * y + c * x * y + d * (x**2 - 0.33) + e * (y**2 - 0.33))
    unit: Image = (field / np.sqrt(np.mean(field**2))).astype(np.float32)
    return unit

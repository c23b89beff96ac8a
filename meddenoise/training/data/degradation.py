"""Random physics-like noise for training patches, and the level and spectrum a network is given of it.

Every patch draws a kind of noise (white, coloured, signal-dependent, Rician, none), a level, a spectrum and
a slow variation over the patch. The network is given the level and the spectrum of the *total*, the noise
that the reference already had included, the way `noise.estimate` gives them: with errors, sometimes without
the spectrum or the variation. How much of the total is the reference's own goes into the loss (`own_share`).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.physics import magnitude_of, share_noise, shot_noise
from meddenoise.noise.spectrum import filter_planes, white_noise
from meddenoise.series import Image
from meddenoise.training.data.mix import KINDS, NoiseMix
from meddenoise.training.data.row_noise import draw_row_noise
from meddenoise.training.spectra import (
    PLAIN,
    Scan,
    amplitude_of,
    bands_of,
    blurring,
    directional_bands,
    draw_amplitude,
    white_spectrum,
)

MORE = 0.7
"""Noise added for recorrupted pairs, relative to what is there. Less of it makes the partner noisier."""
NOTHING = NoiseEstimate(0.0)
EXACT = 0.6
"""Own noise, in 255ths, below which a reference counts as exact where nothing is added to it: rounding to
8 bits has 0.3."""
ROUNDING = 0.5
"""Level from which on patches may be rounded to 8 bits: below it nobody could see the noise."""
LOGARITHMIC, MOST_DECADES = 0.4, 2.5
"""Share of noise following the signal whose variance is exponential in it, and how many decades it changes
by over the range at most."""
LEAST_CHANGE = 0.3
"""A draw of the level is kept this much below the top of the range, whatever the reference's own noise."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """One noisy patch: `noisy` and `told` [H, W], `bands` [K] (zeros: unknown), `zero` 0 or 1.

    `sigma` is the total level; `own_share` [H, W / 2 + 1] the share of the noise power that is the
    reference's own, at each frequency of `rfft2`.
    """

    noisy: Image
    told: Image
    bands: NDArray[np.float32]
    zero: float
    sigma: float
    own_share: Image

    def with_noisy(self, noisy: Image) -> "Degraded":
        """The same report of other noisy planes."""
        return replace(self, noisy=noisy)


def degrade(
    clean: Image,
    own: NoiseEstimate,
    modality: str,
    mix: NoiseMix,
    rng: np.random.Generator,
    scan: Scan = PLAIN,
) -> Degraded:
    """A noisy version of `clean` [H, W] (0..255 units) and the noise level and spectrum given to the network.

    `own` is what is estimated of the clean image itself; `modality` is a DICOM code: MR images are taken for
    magnitudes, whose 0 is a physical floor. Of slices [T, H, W], all get noise of one kind, and
    the report is that of the middle one.
    """
    magnitude, shape = modality == "MR", clean.shape[-2:]
    drawn = draw_row_noise(clean, modality, mix.models, rng)
    if drawn is not None:
        noisy, level, amplitude = drawn
        return tell(Truth(noisy, middle_of(level), amplitude, own), magnitude, mix, rng)
    kind = _draw_kind(modality, mix, rng)
    if kind == "none" and own.sigma < EXACT:
        nothing = np.zeros(shape, np.float32)
        return tell(Truth(clean, nothing, white_spectrum(shape), own), magnitude, mix, rng)
    sigma = draw_level(mix, rng, own) if scan.sigma is None else scan.sigma
    amplitude = white_spectrum(shape) if kind == "white" else draw_amplitude(shape, modality, rng)
    if kind == "rician" and rng.random() < 0.6:
        amplitude = white_spectrum(shape)
    if scan.window is not None:
        amplitude = scan.window.amplitude(shape)
    level = np.full_like(clean, sigma)
    if kind == "signal_dependent":
        level = signal_level(clean, sigma, rng)
    elif kind != "white" and rng.random() < (0.7 if modality == "CT" else 0.4):
        level = level * slow_variation(shape, rng)
    poisson = kind == "signal_dependent" and rng.random() < 0.5

    def draw(poisson: bool) -> Image:
        unit = _unit_noise(clean, level, poisson, rng)
        share_noise(unit, scan.rho)
        return level * filter_planes(unit, amplitude)

    noise = draw(poisson)
    if rng.random() < mix.heavy:
        noise = _heavy_tailed(noise, rng)
    noisy = magnitude_of(clean + noise, draw(False)) if kind == "rician" else clean + noise
    if rng.random() < mix.clipped and sigma > ROUNDING:
        noisy = stored(noisy, clean)
    return tell(Truth(noisy, middle_of(level), amplitude, own), magnitude, mix, rng)


def degrade_like(
    clean: Image, like: NoiseEstimate, magnitude: bool, mix: NoiseMix, rng: np.random.Generator
) -> Degraded:
    """A version of `clean` [H, W] with fresh noise as `like` describes it, at a level near its own."""
    near = replace(like, sigma=like.sigma * float(np.exp(rng.normal(0, mix.level_spread))), field=None)
    level = sigma_map(near, clean)
    noise = noise_like(near, clean, rng)
    noisy = clean + noise
    if like.model == "rician":
        noisy = magnitude_of(noisy, noise_like(near, clean, rng))
    return tell(Truth(noisy, level, amplitude_of(like, clean.shape), NOTHING), magnitude, mix, rng)


def pair(
    clean: Image, noise: Image, own: NoiseEstimate, magnitude: bool, mix: NoiseMix, rng: np.random.Generator
) -> Degraded:
    """A patch with its own real `noise` [H, W]; described by `own`, or only by its level if that is 0."""
    noisy = clean + noise
    if own.sigma > 0:
        level = sigma_map(replace(own, field=None), noisy)
        return tell(Truth(noisy, level, amplitude_of(own, clean.shape), NOTHING), magnitude, mix, rng)
    level = np.full_like(clean, noise.std())
    unknown = replace(mix, bands_unknown=1.0)
    return tell(Truth(noisy, level, white_spectrum(clean.shape), NOTHING), magnitude, unknown, rng)


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
    truth = Truth(first, level, amplitude_of(own, clean.shape), NOTHING)
    return tell(truth, magnitude, mix, rng), noisy - fresh / np.float32(MORE)


def blank(degraded: Degraded, clean: Image, rng: np.random.Generator) -> tuple[Degraded, Image]:
    """The patch and its reference with a part that is one value and has no noise, though noise is told.

    Masks, padding and collimators are such parts; the level given for them is that of the rest.
    """
    side = clean.shape[0]
    t = np.arange(side, dtype=np.float32) - np.float32(rng.uniform(0, side))
    s = np.arange(clean.shape[1], dtype=np.float32) - np.float32(rng.uniform(0, clean.shape[1]))
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8) * side
    across = np.float32(np.cos(angle)) * t[:, None] + np.float32(np.sin(angle)) * s[None]
    outside = across > 0 if rng.random() < 0.5 else np.hypot(t[:, None], s[None]) > radius
    value = np.float32(clean.min() if rng.random() < 0.7 else rng.uniform(0, 255))
    noisy, truth = (np.where(outside, value, image) for image in (degraded.noisy, clean))
    return replace(degraded, noisy=noisy.astype(np.float32)), truth.astype(np.float32)


def middle_of(planes: Image) -> Image:
    """The plane itself [H, W], or the middle one of several [T, H, W]."""
    return planes if planes.ndim == 2 else planes[len(planes) // 2]


def _draw_kind(modality: str, mix: NoiseMix, rng: np.random.Generator) -> str:
    if modality == "MR" and rng.random() < mix.rician:
        return "rician"
    shares = np.array(mix.kind_shares)
    kind = str(rng.choice(KINDS, p=shares / shares.sum()))
    return "coloured" if kind == "signal_dependent" and modality == "CT" else kind


def draw_level(mix: NoiseMix, rng: np.random.Generator, own: NoiseEstimate = NOTHING) -> float:
    """A noise level in 255ths of the range, high enough that `own` is at most `own_limit` of the total."""
    least = own.sigma * np.sqrt((1 - mix.own_limit) / mix.own_limit)
    low = max(mix.sigma_min, min(float(least), (1 - LEAST_CHANGE) * mix.sigma_max))
    if rng.random() < mix.uniform_share:
        return float(rng.uniform(low, mix.sigma_max))
    return float(np.exp(rng.uniform(np.log(low), np.log(mix.sigma_max))))


@dataclass(frozen=True, slots=True)
class Truth:
    """A noisy patch, the map and the amplitude spectrum [H, W / 2 + 1] of the noise added, and the noise its
    reference had before."""

    noisy: Image
    level: Image
    amplitude: Image
    own: NoiseEstimate


def tell(truth: Truth, magnitude: bool, mix: NoiseMix, rng: np.random.Generator) -> Degraded:
    """The patch with the total noise as an estimator would give it, errors included."""
    added, own = float(np.mean(truth.level**2)), truth.own.sigma**2
    total = added + own
    given = truth.level if rng.random() >= mix.map_unknown else np.full_like(truth.level, np.sqrt(added))
    given = np.sqrt(given**2 + np.float32(own))
    power, share = np.square(truth.amplitude), np.zeros_like(truth.amplitude)
    if own > 0:
        before = np.float32(own) * np.square(amplitude_of(truth.own, truth.noisy.shape[-2:]))
        after = np.float32(added) * power + before
        share, power = before / np.maximum(after, 1e-9), after / np.float32(total)
    given = np.maximum(given * np.exp(rng.normal(0, mix.told_error)), 0.05).astype(np.float32)
    bands = _given_bands(np.sqrt(power), mix, rng)
    zero = float(magnitude and truth.noisy.min() >= 0 and rng.random() < 0.9)
    noisy = truth.noisy.astype(np.float32)
    return Degraded(noisy, given, bands, zero, float(np.sqrt(total)), share.astype(np.float32))


def _given_bands(amplitude: Image, mix: NoiseMix, rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() < mix.bands_unknown:
        return np.zeros(mix.bands, np.float32)
    if mix.bands == len(WHITE) or rng.random() < mix.radial:
        bands = np.array(bands_of(amplitude)) * np.exp(rng.normal(0, 0.15, len(WHITE)))
        return np.repeat(bands, mix.bands // len(WHITE)).astype(np.float32)
    spectrum = np.array(directional_bands(amplitude))
    return (spectrum * np.exp(rng.normal(0, 0.15, len(spectrum)))).astype(np.float32)


def _heavy_tailed(noise: Image, rng: np.random.Generator) -> Image:
    """The noise with a random local strength of unit mean power: kurtosis up to about 8."""
    texture = white_noise(noise.shape, rng)
    texture = filter_planes(texture, blurring(noise.shape[-2:], rng.uniform(0.5, 3.0)))
    strength = np.exp(rng.uniform(0.15, 0.5) * texture / texture.std())
    heavy: Image = (noise * strength / np.sqrt(np.mean(strength**2))).astype(np.float32)
    return heavy


def _unit_noise(clean: Image, level: Image, poisson: bool, rng: np.random.Generator) -> Image:
    if not poisson:
        return white_noise(clean.shape, rng)
    # As many quanta as make sigma(x) the shot noise of the signal: skewed where they are few.
    quanta = np.clip((np.maximum(clean, 1.0) / np.maximum(level, 0.05)) ** 2, 2.0, 1e5)
    return (shot_noise(quanta, rng) / np.sqrt(quanta)).astype(np.float32)


def signal_level(clean: Image, sigma: float, rng: np.random.Generator) -> Image:
    """sigma(x) with variance linear in the signal plus a constant (electronic) share, or exponential in it,
    as quanta are on the logarithmic scale of radiographs, in either photometric interpretation."""
    if rng.random() < LOGARITHMIC:
        decades = rng.uniform(-1, 1) * MOST_DECADES
        level = np.exp((clean - clean.mean()) * np.float32(np.log(10) * decades / 2 / 255))
        logarithmic: Image = (sigma * level / np.sqrt(np.mean(level**2))).astype(np.float32)
        return logarithmic
    signal = np.maximum(clean, 0) + 1e-3
    share = rng.uniform(0.02, 0.6)
    reference = max(float(signal.mean()), 20.0)
    linear: Image = (sigma * np.sqrt((1 - share) * signal / reference + share)).astype(np.float32)
    return linear


def slow_variation(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A smooth positive field of unit root mean square, up to about a factor 3 from side to side."""
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    a, b, c, d, e = rng.normal(0, 0.3, 5)
    field = np.exp(a * x + b * y + c * x * y + d * (x**2 - 0.33) + e * (y**2 - 0.33))
    unit: Image = (field / np.sqrt(np.mean(field**2))).astype(np.float32)
    return unit


def stored(noisy: Image, clean: Image) -> Image:
    """`noisy` rounded and cut off at 0 and 255, or at the ends of a range of `clean` that is wider."""
    return np.clip(np.rint(noisy), min(0.0, float(clean.min())), max(255.0, float(clean.max())))

"""Stationary noise with a given radial spectrum, and the amplitudes that describe detectors and kernels.

Frequencies are radial, in cycles a pixel: Nyquist is 0.5, the corners of the spectrum reach 0.707.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import scipy.fft

from meddenoise.series import Image

Amplitude = Callable[[Image], Image]
"""Relative noise amplitude sqrt(NPS) at radial frequencies; its scale does not matter."""

_PLANES_AT_ONCE = 16


@lru_cache(maxsize=16)
def radial_frequency(height: int, width: int) -> Image:
    """Radial frequency of each coefficient of `rfft2`, float32 [height, width // 2 + 1], cycles a pixel."""
    down = np.fft.fftfreq(height)[:, None]
    right = np.fft.rfftfreq(width)[None, :]
    grid: Image = np.hypot(down, right).astype(np.float32)
    grid.flags.writeable = False
    return grid


def white_noise(shape: Sequence[int], rng: np.random.Generator) -> Image:
    """Independent normal noise, mean 0, standard deviation 1, float32."""
    return rng.standard_normal(tuple(shape), dtype=np.float32)


def coloured_noise(shape: Sequence[int], amplitude: Amplitude, rng: np.random.Generator) -> Image:
    """Normal noise with the radial spectrum `amplitude(f)` in each plane, expected variance exactly 1.

    `shape` is [..., Y, X]; planes are independent and periodic at their borders.
    """
    height, width = shape[-2:]
    return shaped_noise(shape, unit_gain(amplitude(radial_frequency(height, width)), width), rng)


def shaped_noise(shape: Sequence[int], gain: Image, rng: np.random.Generator) -> Image:
    """Normal noise [..., Y, X] with the amplitude spectrum `gain` [Y, X // 2 + 1] in each plane."""
    return filter_planes(white_noise(shape, rng), gain)


def filter_planes(planes: Image, transfer: Image) -> Image:
    """`planes` [..., Y, X] multiplied by `transfer` [Y, X // 2 + 1] in the frequency domain, float32."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    result = np.empty_like(flat)
    for start in range(0, len(flat), _PLANES_AT_ONCE):
        stop = start + _PLANES_AT_ONCE
        part = scipy.fft.rfft2(flat[start:stop])
        part *= transfer
        result[start:stop] = scipy.fft.irfft2(part, s=planes.shape[-2:], overwrite_x=True)
    return result.reshape(planes.shape)


def mean_power(amplitude: Image, width: int) -> float:
    """Mean of amplitude² over the whole spectrum, from the half that `rfft2` keeps of planes `width` wide."""
    power = np.square(amplitude, dtype=np.float64)
    twice = power[:, 1 : (width + 1) // 2].sum()
    return float((power.sum() + twice) / (amplitude.shape[0] * width))


def gaussian_amplitude(kernel_px: float) -> Amplitude:
    """Amplitude of white noise blurred with a Gaussian kernel of standard deviation `kernel_px`."""
    exponent = np.float32(-2 * np.pi**2 * kernel_px**2)
    return lambda f: np.exp(exponent * f * f)


def detector_mtf(at_nyquist: float, power: float = 1.0) -> Amplitude:
    """Transfer function (1 + (f / f0)²)^-power of a scintillator, with the given value (0..1] at Nyquist."""
    steepness = np.float32((at_nyquist ** (-1 / power) - 1) / 0.25)
    if power == 1:
        return lambda f: np.reciprocal(1 + steepness * f * f)
    return lambda f: (1 + steepness * f * f) ** np.float32(-power)


def ct_amplitude(cutoff: float, ramp: float = 0.5, fall: float = 2.0) -> Amplitude:
    """Amplitude of filtered back-projection noise: f^ramp exp(-(f / cutoff)^fall), cutoff in cycles a pixel.

    The ramp filter leaves a power that rises with f, an amplitude that rises with its root.
    """
    return lambda f: f**ramp * np.exp(-((f / np.float32(cutoff)) ** fall))


def band_amplitude(band: float) -> Amplitude:
    """Amplitude of noise from a k-space filled to the fraction `band` (0..1] of its radius, softly cut."""
    # 2 % of Nyquist wide: a hard cut would ring, as scanners' own apodisation avoids.
    return fading_edge(0.5 * band, 0.01)


def fading_edge(cut: float, width: float) -> Amplitude:
    """An edge of k-space: 1 below the frequency `cut`, 0 above, in a transition of `width`."""
    edge, soft = np.float32(cut), np.float32(width)
    return lambda f: 1 / (1 + np.exp(np.clip((f - edge) / soft, -40, 40)))


def sampled_amplitude(frequency: Sequence[float], power: Sequence[float]) -> Amplitude:
    """Amplitude sqrt(NPS), linearly interpolated between samples of a measured radial power spectrum."""
    root = np.sqrt(np.asarray(power, dtype=np.float64))
    return lambda f: np.interp(f, frequency, root).astype(np.float32)


def unit_gain(amplitude: Image, width: int) -> Image:
    """An amplitude spectrum [Y, width // 2 + 1] scaled to unit mean power: it keeps the variance of noise.

    Raises ValueError if it is zero everywhere.
    """
    power = mean_power(amplitude, width)
    if not power > 0:
        raise ValueError("the noise spectrum is zero everywhere")
    return (amplitude / np.float32(np.sqrt(power))).astype(np.float32)

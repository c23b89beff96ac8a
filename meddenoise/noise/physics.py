"""The physics of noise: one `add_...` for each kind of options in `models`.

Images are float32, [Y, X] or [N, Y, X], in physical units (HU, exposure, signal); so are all levels. Training
draws through the same functions: `shot_noise`, `magnitude_of`, `share_noise` and the spectra of `spectrum`.
"""

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import SignalVariance
from meddenoise.noise.ct import insert_dose_noise
from meddenoise.noise.dependence import Dependence
from meddenoise.noise.models import (
    CorrelatedNoise,
    CtDoseNoise,
    GaussianNoise,
    ImpulseNoise,
    ProfileNoise,
    RicianNoise,
    SpectralNoise,
    XrayNoise,
)
from meddenoise.noise.spectrum import (
    Amplitude,
    band_amplitude,
    coloured_noise,
    detector_mtf,
    filter_planes,
    gaussian_amplitude,
    mean_power,
    radial_frequency,
    sampled_amplitude,
    white_noise,
)
from meddenoise.series import Image

NPS_FREQUENCIES: NDArray[np.float64] = np.linspace(0.0, 0.5, 51)
"""Radial frequencies, cycles a pixel, at which `NoiseInfo.nps` is stated."""
_FREQUENCIES: Image = NPS_FREQUENCIES.astype(np.float32)

Added = tuple[Image, Image, NDArray[np.float64]]
"""Noisy image, sigma at each pixel (or one that broadcasts to it), NPS at NPS_FREQUENCIES."""


def add_gaussian(image: Image, options: GaussianNoise, rng: np.random.Generator) -> Added:
    """White noise of one sigma."""
    noisy = image + np.float32(options.sigma) * white_noise(image.shape, rng)
    return noisy, np.float32(options.sigma) * np.ones(1, np.float32), _spectrum(None, options.sigma)


def add_correlated(image: Image, options: CorrelatedNoise, rng: np.random.Generator) -> Added:
    """Noise with the spectrum of a Gaussian kernel."""
    return _add_coloured(image, options.sigma, gaussian_amplitude(options.kernel_px), rng)


def add_spectral(image: Image, options: SpectralNoise, rng: np.random.Generator) -> Added:
    """Noise with a sampled radial spectrum."""
    return _add_coloured(image, options.sigma, sampled_amplitude(options.frequency, options.power), rng)


def add_rician(image: Image, options: RicianNoise, rng: np.random.Generator) -> Added:
    """Magnitude of the signal, shared equally by the coils, with complex noise in each.

    Source: Constantinides et al., Magn Reson Med 1997 (signal in multi-coil magnitude images).
    """
    amplitude = band_amplitude(options.band) if options.band < 1 else None
    sigma = np.float32(options.sigma) * g_factor(image.shape[-2], image.shape[-1], options.g_peak)
    signal = image / np.float32(np.sqrt(options.coils))
    power = np.zeros(image.shape, np.float32)
    for _ in range(options.coils):
        power += np.square(signal + sigma * _unit_noise(image.shape, amplitude, rng))
        power += np.square(sigma * _unit_noise(image.shape, amplitude, rng))
    level = float(np.sqrt(np.mean(np.square(sigma))))
    return np.sqrt(power), sigma, _spectrum(amplitude, level)


def add_xray(image: Image, options: XrayNoise, rng: np.random.Generator) -> Added:
    """Quantum noise through the scintillator plus electronic noise; the image itself is not blurred.

    Its sigma is exact for any image: variance gain m, spread by the squared kernel of the scintillator.
    """
    height, width = image.shape[-2:]
    mtf = detector_mtf(options.mtf_nyquist)(radial_frequency(height, width))
    quanta = np.maximum(image, 0) / np.float32(options.gain)
    noise = shot_noise(quanta, rng).astype(np.float32) * np.float32(options.gain)
    noise = filter_planes(noise, mtf)
    noise += np.float32(options.electronic) * white_noise(image.shape, rng)
    quantum: Image = (quanta * np.float32(options.gain**2)).astype(np.float32)
    variance = _blurred_variance(quantum, mtf) + np.float32(options.electronic**2)
    transfer = detector_mtf(options.mtf_nyquist)(_FREQUENCIES).astype(np.float64)
    nps = float(quantum.mean()) * transfer**2 + options.electronic**2
    if options.recursion < 1:
        factor = recursive_filter(noise, options.recursion)
        variance *= np.float32(factor)
        nps = nps * factor
    return image + noise, np.sqrt(variance), nps


def add_impulses(image: Image, options: ImpulseNoise, rng: np.random.Generator) -> Added:
    """Independent pixels replaced by the low or the high value."""
    low = np.float32(image.min() if options.low is None else options.low)
    high = np.float32(image.max() if options.high is None else options.high)
    draw = rng.random(image.shape, dtype=np.float32)
    half = options.fraction / 2
    noisy = np.where(draw < half, low, np.where(draw < 2 * half, high, image))
    variance = half * (np.square(low - image) + np.square(high - image))
    return noisy, np.sqrt(variance), _spectrum(None, float(np.sqrt(variance.mean())))


def add_profile(image: Image, options: ProfileNoise, rng: np.random.Generator) -> Added:
    """Noise of a measured profile; frames follow each other along the first axis."""
    amplitude = sampled_amplitude(options.frequency, options.power)
    local = Dependence(np.ones(0), SignalVariance(options.gain, options.offset))
    planes = image.reshape(-1, *image.shape[-2:])
    variance = np.stack([local.over(plane) for plane in planes]).reshape(image.shape)
    if image.ndim == 3 and options.ratios:
        frames = np.ones(len(image), np.float32)
        known = options.ratios[: len(image)]
        frames[: len(known)] = known
        variance *= np.square(frames)[:, None, None]
    sigma: Image = np.sqrt(variance)

    def draw() -> Image:
        noise = coloured_noise(image.shape, amplitude, rng)
        share_noise(noise, options.rho)
        return sigma * noise

    noisy = image + draw()
    if options.rician:
        noisy = magnitude_of(noisy, draw())
    return noisy, sigma, _spectrum(amplitude, float(np.sqrt(variance.mean(dtype=np.float64))))


def shot_noise(quanta: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float64]:
    """Poisson counts minus their mean `quanta`, in quanta: skewed if they are few."""
    return np.asarray(rng.poisson(quanta) - quanta, np.float64)


def magnitude_of(real: Image, imaginary: Image) -> Image:
    """The magnitude of a complex signal; of signal plus noise and noise of the same level it is Rician."""
    return np.hypot(real, imaginary)


def share_noise(frames: Image, rho: float) -> None:
    """n_t = rho n_(t-1) + sqrt(1 - rho²) x_t, applied in place to `frames` [T, Y, X]: variances stay."""
    stack = frames if frames.ndim == 3 else frames[None]
    for index in range(1, len(stack) if rho else 0):
        stack[index] *= np.float32(np.sqrt(1 - rho**2))
        stack[index] += np.float32(rho) * stack[index - 1]


def g_factor(height: int, width: int, peak: float) -> Image:
    """Smooth noise amplification of parallel imaging, 1 at the borders to 1 + peak in the middle, [Y, X]."""
    down = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) / height
    right = (np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2) / width
    # Width of a quarter of the field of view: typical of two- to fourfold acceleration.
    return np.float32(1) + np.float32(peak) * np.exp(-(down**2 + right**2) / np.float32(2 * 0.25**2))


def recursive_filter(frames: Image, weight: float) -> float:
    """Variance factor of n_t = (1 - weight) n_(t-1) + weight x_t, applied in place to `frames` [T, Y, X].

    The first frame is scaled to the settled variance weight / (2 - weight): as cut from a running cine.
    """
    factor = weight / (2 - weight)
    stack = frames if frames.ndim == 3 else frames[None]
    stack[0] *= np.float32(np.sqrt(factor))
    for index in range(1, len(stack)):
        stack[index] *= np.float32(weight)
        stack[index] += np.float32(1 - weight) * stack[index - 1]
    return factor


def add_ct_dose(image: Image, options: CtDoseNoise, rng: np.random.Generator) -> Added:
    """Noise of a lower dose, made in projections, plane by plane; images in HU."""
    planes = image.reshape(-1, *image.shape[-2:])
    noise, sigma = np.empty_like(planes), np.empty_like(planes)
    nps = np.zeros(len(NPS_FREQUENCIES))
    for index, plane in enumerate(planes):
        noise[index], sigma[index], shape = insert_dose_noise(plane, options, rng)
        level = float(np.sqrt(np.mean(np.square(sigma[index]))))
        nps += _spectrum(shape, level) / len(planes)
    return image + noise.reshape(image.shape), sigma.reshape(image.shape), nps


def _add_coloured(image: Image, sigma: float, amplitude: Amplitude, rng: np.random.Generator) -> Added:
    noisy = image + np.float32(sigma) * coloured_noise(image.shape, amplitude, rng)
    return noisy, np.full(1, sigma, np.float32), _spectrum(amplitude, sigma)


def _unit_noise(shape: tuple[int, ...], amplitude: Amplitude | None, rng: np.random.Generator) -> Image:
    return white_noise(shape, rng) if amplitude is None else coloured_noise(shape, amplitude, rng)


def _spectrum(amplitude: Amplitude | None, sigma: float) -> NDArray[np.float64]:
    if amplitude is None:
        return np.full(len(NPS_FREQUENCIES), sigma**2)
    # A 256 px plane is fine enough for the integral that links the level to the spectrum.
    power = mean_power(amplitude(radial_frequency(256, 256)), 256)
    return np.square(amplitude(_FREQUENCIES), dtype=np.float64) * sigma**2 / power


def _blurred_variance(variance: Image, mtf: Image) -> Image:
    height, width = variance.shape[-2:]
    kernel = np.fft.irfft2(mtf, s=(height, width))
    transfer = np.fft.rfft2(kernel**2).real.astype(np.float32)
    return np.maximum(filter_planes(variance, transfer), 0)

"""Physics-based noise for clean images: one row of `SIMULATORS` for each kind in `models`.

    noisy, info = simulate(image, [XrayNoise(gain=4.0, electronic=3.0), ImpulseNoise(1e-4)], rng)

Images are float32, [Y, X] or [N, Y, X], in physical units (HU, exposure, signal); so are all levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.ct import insert_dose_noise
from meddenoise.noise.dependence import Dependence
from meddenoise.noise.models import (
    CorrelatedNoise,
    CtDoseNoise,
    GaussianNoise,
    ImpulseNoise,
    NoiseOptions,
    ProfileNoise,
    RicianNoise,
    SpectralNoise,
    XrayNoise,
)
from meddenoise.noise.spectrum import (
    Amplitude,
    Array,
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

NPS_FREQUENCIES: NDArray[np.float64] = np.linspace(0.0, 0.5, 51)
"""Radial frequencies, cycles a pixel, at which `NoiseInfo.nps` is stated."""


@dataclass(frozen=True, slots=True)
class NoiseInfo:
    """What was added to an image.

    `sigma` is the noise standard deviation at each pixel, in the image's units and shape (Rician: that of
    each complex channel). `nps` is the noise power over the plane, mean over the image, at the radial
    `frequency`: in units² for pixels of size 1, so white noise has nps = sigma² everywhere.
    `applied` holds the name and options of each noise in order; `seed` is the entropy of the generator,
    None where it was not seeded with a number.
    """

    sigma: Array
    frequency: NDArray[np.float64]
    nps: NDArray[np.float64]
    applied: tuple[dict[str, Any], ...]
    seed: int | None

    def summary(self) -> dict[str, Any]:
        """The same for JSON: sigma as its root mean square, least and largest value."""
        return {
            "applied": list(self.applied),
            "seed": self.seed,
            "sigma": float(np.sqrt(np.mean(np.square(self.sigma, dtype=np.float64)))),
            "sigma_range": [float(self.sigma.min()), float(self.sigma.max())],
            "frequency_cycles_per_pixel": self.frequency.round(4).tolist(),
            "nps": self.nps.tolist(),
        }


Result = tuple[Array, Array, NDArray[np.float64]]
"""Noisy image, sigma at each pixel (or one that broadcasts to it), NPS at NPS_FREQUENCIES."""


def simulate(
    image: Array, options: NoiseOptions | Sequence[NoiseOptions], rng: np.random.Generator
) -> tuple[Array, NoiseInfo]:
    """`image` with one or several noises added in order, and what they are; float32, same shape.

    Independent noises add their variances and spectra. Raises ValueError where an image is not [Y, X] or
    [N, Y, X].
    """
    if image.ndim not in (2, 3):
        raise ValueError(f"an image is [Y, X] or [N, Y, X], not {list(image.shape)}")
    steps = options if isinstance(options, Sequence) else (options,)
    noisy = image.astype(np.float32)
    variance = np.zeros(image.shape, np.float32)
    nps = np.zeros(len(NPS_FREQUENCIES))
    for step in steps:
        noisy, sigma, power = SIMULATORS[step.name](noisy, step, rng)
        variance += np.square(sigma)
        nps += power
    applied = tuple({"noise": step.name, **asdict(step)} for step in steps)
    return noisy, NoiseInfo(np.sqrt(variance), NPS_FREQUENCIES, nps, applied, _seed_of(rng))


def add_gaussian(image: Array, options: GaussianNoise, rng: np.random.Generator) -> Result:
    """White noise of one sigma."""
    noisy = image + np.float32(options.sigma) * white_noise(image.shape, rng)
    return noisy, np.float32(options.sigma) * np.ones(1, np.float32), _spectrum(None, options.sigma)


def add_correlated(image: Array, options: CorrelatedNoise, rng: np.random.Generator) -> Result:
    """Noise with the spectrum of a Gaussian kernel."""
    return _add_coloured(image, options.sigma, gaussian_amplitude(options.kernel_px), rng)


def add_spectral(image: Array, options: SpectralNoise, rng: np.random.Generator) -> Result:
    """Noise with a sampled radial spectrum."""
    return _add_coloured(image, options.sigma, sampled_amplitude(options.frequency, options.power), rng)


def add_rician(image: Array, options: RicianNoise, rng: np.random.Generator) -> Result:
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


def add_xray(image: Array, options: XrayNoise, rng: np.random.Generator) -> Result:
    """Quantum noise through the scintillator plus electronic noise; the image itself is not blurred.

    Its sigma is exact for any image: variance gain m, spread by the squared kernel of the scintillator.
    """
    height, width = image.shape[-2:]
    mtf = detector_mtf(options.mtf_nyquist)(radial_frequency(height, width))
    quanta = np.maximum(image, 0) / np.float32(options.gain)
    noise = (rng.poisson(quanta) - quanta).astype(np.float32) * np.float32(options.gain)
    noise = filter_planes(noise, mtf)
    noise += np.float32(options.electronic) * white_noise(image.shape, rng)
    quantum: Array = (quanta * np.float32(options.gain**2)).astype(np.float32)
    variance = _blurred_variance(quantum, mtf) + np.float32(options.electronic**2)
    transfer = detector_mtf(options.mtf_nyquist)(_FREQUENCIES).astype(np.float64)
    nps = float(quantum.mean()) * transfer**2 + options.electronic**2
    if options.recursion < 1:
        factor = recursive_filter(noise, options.recursion)
        variance *= np.float32(factor)
        nps = nps * factor
    return image + noise, np.sqrt(variance), nps


def add_impulses(image: Array, options: ImpulseNoise, rng: np.random.Generator) -> Result:
    """Independent pixels replaced by the low or the high value."""
    low = np.float32(image.min() if options.low is None else options.low)
    high = np.float32(image.max() if options.high is None else options.high)
    draw = rng.random(image.shape, dtype=np.float32)
    half = options.fraction / 2
    noisy = np.where(draw < half, low, np.where(draw < 2 * half, high, image))
    variance = half * (np.square(low - image) + np.square(high - image))
    return noisy, np.sqrt(variance), _spectrum(None, float(np.sqrt(variance.mean())))


def add_profile(image: Array, options: ProfileNoise, rng: np.random.Generator) -> Result:
    """Noise of a measured profile; frames follow each other along the first axis."""
    amplitude = sampled_amplitude(options.frequency, options.power)
    local = Dependence(np.ones(0), (options.gain, options.offset))
    planes = image.reshape(-1, *image.shape[-2:])
    variance = np.stack([local.over(plane) for plane in planes]).reshape(image.shape)
    if image.ndim == 3 and options.ratios:
        frames = np.ones(len(image), np.float32)
        known = options.ratios[: len(image)]
        frames[: len(known)] = known
        variance *= np.square(frames)[:, None, None]
    sigma: Array = np.sqrt(variance)

    def draw() -> Array:
        noise = coloured_noise(image.shape, amplitude, rng)
        share_noise(noise, options.rho)
        return sigma * noise

    noisy = image + draw()
    if options.rician:
        noisy = np.hypot(noisy, draw())
    return noisy, sigma, _spectrum(amplitude, float(np.sqrt(variance.mean(dtype=np.float64))))


def share_noise(frames: Array, rho: float) -> None:
    """n_t = rho n_(t-1) + sqrt(1 - rho²) x_t, applied in place to `frames` [T, Y, X]: variances stay."""
    stack = frames if frames.ndim == 3 else frames[None]
    for index in range(1, len(stack)):
        stack[index] *= np.float32(np.sqrt(1 - rho**2))
        stack[index] += np.float32(rho) * stack[index - 1]


def g_factor(height: int, width: int, peak: float) -> Array:
    """Smooth noise amplification of parallel imaging, 1 at the borders to 1 + peak in the middle, [Y, X]."""
    down = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) / height
    right = (np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2) / width
    # Width of a quarter of the field of view: typical of two- to fourfold acceleration.
    return np.float32(1) + np.float32(peak) * np.exp(-(down**2 + right**2) / np.float32(2 * 0.25**2))


def recursive_filter(frames: Array, weight: float) -> float:
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


def add_ct_dose(image: Array, options: CtDoseNoise, rng: np.random.Generator) -> Result:
    """Noise of a lower dose, made in projections, plane by plane; images in HU."""
    planes = image.reshape(-1, *image.shape[-2:])
    noise, sigma = np.empty_like(planes), np.empty_like(planes)
    nps = np.zeros(len(NPS_FREQUENCIES))
    for index, plane in enumerate(planes):
        noise[index], sigma[index], shape = insert_dose_noise(plane, options, rng)
        level = float(np.sqrt(np.mean(np.square(sigma[index]))))
        nps += _spectrum(shape, level) / len(planes)
    return image + noise.reshape(image.shape), sigma.reshape(image.shape), nps


SIMULATORS: Mapping[str, Callable[[Array, Any, np.random.Generator], Result]] = {
    GaussianNoise.name: add_gaussian,
    CorrelatedNoise.name: add_correlated,
    SpectralNoise.name: add_spectral,
    RicianNoise.name: add_rician,
    CtDoseNoise.name: add_ct_dose,
    XrayNoise.name: add_xray,
    ImpulseNoise.name: add_impulses,
    ProfileNoise.name: add_profile,
}
_FREQUENCIES: Array = NPS_FREQUENCIES.astype(np.float32)


def _add_coloured(image: Array, sigma: float, amplitude: Amplitude, rng: np.random.Generator) -> Result:
    noisy = image + np.float32(sigma) * coloured_noise(image.shape, amplitude, rng)
    return noisy, np.full(1, sigma, np.float32), _spectrum(amplitude, sigma)


def _unit_noise(shape: tuple[int, ...], amplitude: Amplitude | None, rng: np.random.Generator) -> Array:
    return white_noise(shape, rng) if amplitude is None else coloured_noise(shape, amplitude, rng)


def _spectrum(amplitude: Amplitude | None, sigma: float) -> NDArray[np.float64]:
    if amplitude is None:
        return np.full(len(NPS_FREQUENCIES), sigma**2)
    # A 256 px plane is fine enough for the integral that links the level to the spectrum.
    power = mean_power(amplitude(radial_frequency(256, 256)), 256)
    return np.square(amplitude(_FREQUENCIES), dtype=np.float64) * sigma**2 / power


def _blurred_variance(variance: Array, mtf: Array) -> Array:
    height, width = variance.shape[-2:]
    kernel = np.fft.irfft2(mtf, s=(height, width))
    transfer = np.fft.rfft2(kernel**2).real.astype(np.float32)
    return np.maximum(filter_planes(variance, transfer), 0)


def _seed_of(rng: np.random.Generator) -> int | None:
    sequence = rng.bit_generator.seed_seq
    entropy = getattr(sequence, "entropy", None)
    return entropy if isinstance(entropy, int) else None

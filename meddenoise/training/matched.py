"""Frames with the noise of one device: the noise module of BeFOI, which makes fluoroscopy of cine frames."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.spectrum import sampled_amplitude
from meddenoise.series import Image
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.spectra import radial_gain


@dataclass(frozen=True, slots=True)
class FrameNoise:
    """The standard deviation in every pixel [T, H, W], the amplitude spectrum [H, W / 2 + 1] and the
    correlation from frame to frame of noise to add."""

    level: Image
    amplitude: Image
    lag: float


def match_noise(
    clean: Image, device: NoiseProfile, own: NoiseEstimate, mix: NoiseMix, rng: np.random.Generator
) -> FrameNoise:
    """Noise that frames `clean` [T, H, W] (0..255), with noise `own` in each, lack to match the device.

    `device` is the profile in their units. Levels are drawn near those of successive frames of it, the first
    ones of a run included (`mix.level_spread`), and follow the brightness by its gain. Where the frames have
    as much noise themselves, enough is added for the loss to learn from (`mix.own_limit`).
    Source: Hu, Huang 2024 (BeFOI), equations 7 and 8.
    """
    ratios = device.draw_ratios(len(clean), rng) * np.exp(rng.normal(0, mix.level_spread))
    wanted = np.stack([device.sigma_at(frame) for frame in clean]) * ratios[:, None, None]
    total = float(np.mean(np.square(wanted, dtype=np.float64)))
    least = own.sigma**2 * (1 - mix.own_limit) / mix.own_limit
    added = max(total - own.sigma**2, least)
    level = (wanted * np.sqrt(added / max(total, 1e-9))).astype(np.float32)
    amplitude = _amplitude(device.frequency, device.power, (clean.shape[1], clean.shape[2]))
    return FrameNoise(level, amplitude, device.rho)


@lru_cache(maxsize=8)
def _amplitude(frequency: tuple[float, ...], power: tuple[float, ...], shape: tuple[int, int]) -> Image:
    return radial_gain(sampled_amplitude(frequency, power), shape)

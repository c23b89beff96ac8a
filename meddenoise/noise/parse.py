"""The noise a person asks for in words: `gaussian:25`, `rician:5`, `ct-dose:0.25`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meddenoise.errors import UsageError, unknown_name
from meddenoise.io.modality import same_kind
from meddenoise.noise.models import (
    CorrelatedNoise,
    CtDoseNoise,
    GaussianNoise,
    ImpulseNoise,
    NoiseOptions,
    ProfileNoise,
    RicianNoise,
    XrayNoise,
)
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.profile.file import SUFFIX, read_profile
from meddenoise.noise.spectrum import Array

ELECTRONIC_QUANTA = 2.0
"""Electronic noise of a flat detector, in quanta a pixel."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What relative levels refer to: the image's 99.9th percentile and mean, and the size of its pixels.

    And what a profile must fit: whether planes are frames of a cine, the unit and the modality, empty where
    unknown.
    """

    peak: float
    mean: float
    pixel_mm: float
    cine: bool = False
    unit: str = ""
    modality: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """One kind of noise: how it is written, what that means, and the options it stands for."""

    form: str
    meaning: str
    most: int
    """Most numbers it takes; at least one is needed."""
    build: Callable[[list[float], Scale], NoiseOptions]


def measure(values: Array, pixel_mm: float) -> Scale:
    """The scale of an image; infinite values and NaN do not count."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale(0.0, 0.0, pixel_mm)
    return Scale(float(np.percentile(finite, 99.9)), float(finite.mean()), pixel_mm)


def parse_noise(text: str, scale: Scale) -> NoiseOptions:
    """The options that `text` (NAME:NUMBER[:NUMBER...]) stands for, for images of that scale.

    A text that ends in .toml is the file of a noise profile. Raises UsageError where it does not follow a
    form of WORDS, or is no profile for such images.
    """
    if text.lower().endswith(SUFFIX):
        return _from_profile(Path(text), scale)
    name, *parts = text.split(":")
    if name not in WORDS:
        raise unknown_name("noise", name, WORDS)
    word = WORDS[name]
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise _misread(text, word, "its values must be numbers") from error
    if not 1 <= len(numbers) <= word.most:
        raise _misread(text, word, f"it has {len(numbers)} values")
    try:
        return word.build(numbers, scale)
    except ValueError as error:
        raise _misread(text, word, str(error)) from error


def _misread(text: str, word: Word, reason: str) -> UsageError:
    return UsageError(f"the noise {text!r} cannot be used ({reason}): write {word.form}, {word.meaning}.")


def _from_profile(path: Path, scale: Scale) -> NoiseOptions:
    profile = read_profile(path)
    if profile.unit and scale.unit and profile.unit != scale.unit:
        raise UsageError(
            f"{path} is in {profile.unit}, the image in {scale.unit}: measure a profile of such images."
        )
    if not same_kind(profile.modality, scale.modality):
        raise UsageError(
            f"{path} is of {profile.modality}, the image is {scale.modality}: "
            "measure a profile of such images."
        )
    return ProfileNoise(
        profile.gain,
        profile.offset,
        profile.frequency,
        profile.power,
        rho=profile.rho if scale.cine else 0.0,
        rician=profile.model == "rician",
        ratios=_ratios(profile) if scale.cine else (),
    )


def _ratios(profile: NoiseProfile) -> tuple[float, ...]:
    """Levels of the frames measured, relative to the usual one; empty where they say nothing."""
    levels = profile.levels(profile.counts.planes // profile.counts.series)
    return () if levels is None or not profile.sigma > 0 else tuple(x / profile.sigma for x in levels)


def _rician(numbers: list[float], scale: Scale) -> NoiseOptions:
    coils = numbers[1] if len(numbers) > 1 else 1.0
    if not coils.is_integer():
        raise ValueError(f"the number of coils must be whole, not {coils:g}")
    return RicianNoise(numbers[0] / 100 * scale.peak, int(coils))


def _xray(numbers: list[float], scale: Scale) -> NoiseOptions:
    if not numbers[0] > 0:
        raise ValueError(f"the quanta must be above 0, not {numbers[0]:g}")
    if not scale.mean > 0:
        raise ValueError("the mean of the image is not above 0, so its values are no exposures")
    gain = scale.mean / numbers[0]
    electronic = numbers[1] if len(numbers) > 1 else ELECTRONIC_QUANTA
    return XrayNoise(gain, electronic * gain)


WORDS: Mapping[str, Word] = {
    "gaussian": Word(
        "gaussian:SIGMA", "white noise, SIGMA in image units", 1, lambda n, _: GaussianNoise(n[0])
    ),
    "correlated": Word(
        "correlated:SIGMA[:KERNEL_PX]",
        "noise of SIGMA image units blurred with a Gaussian kernel of KERNEL_PX pixels (1)",
        2,
        lambda n, _: CorrelatedNoise(*n),
    ),
    "rician": Word(
        "rician:PERCENT[:COILS]",
        "magnitude MR noise, PERCENT of the brightest signal in each channel",
        2,
        _rician,
    ),
    "ct-dose": Word(
        "ct-dose:FRACTION[:PHOTONS]",
        "the noise that a CT in HU has more at FRACTION (0..1) of its dose, PHOTONS a ray at full dose (1e6)",
        2,
        lambda n, scale: CtDoseNoise(n[0], scale.pixel_mm, photons=n[1] if len(n) > 1 else 1e6),
    ),
    "xray": Word(
        "xray:QUANTA[:ELECTRONIC]",
        "quantum noise of QUANTA a pixel at the image's mean, and ELECTRONIC noise in quanta (2)",
        2,
        _xray,
    ),
    "salt-pepper": Word(
        "salt-pepper:FRACTION",
        "FRACTION (0..1) of the pixels black or white",
        1,
        lambda n, _: ImpulseNoise(n[0]),
    ),
}

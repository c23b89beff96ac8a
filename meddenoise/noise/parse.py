"""The noise a person asks for in words: `gaussian:25`, `rician:5`, `ct-dose:0.25`."""

from pathlib import Path

import numpy as np

from meddenoise.errors import UsageError, unknown_name
from meddenoise.io.modality import same_kind
from meddenoise.noise.models import NoiseOptions, ProfileNoise
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.profile.file import SUFFIX, read_profile
from meddenoise.noise.table import NoiseRow, Scale, Values, worded
from meddenoise.series import Image


def measure(values: Image, pixel_mm: float) -> Scale:
    """The scale of an image; infinite values and NaN do not count."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale(0.0, 0.0, pixel_mm)
    return Scale(float(np.percentile(finite, 99.9)), float(finite.mean()), pixel_mm)


def parse_noise(text: str, scale: Scale) -> NoiseOptions:
    """The options that `text` (NAME:NUMBER[:NUMBER...]) stands for, for images of that scale.

    A text that ends in .toml is the file of a noise profile. Raises UsageError where it does not follow a
    form in the table, or is no profile for such images.

    >>> parse_noise("rician:5", Scale(peak=1000.0, mean=200.0, pixel_mm=0.7))
    RicianNoise(sigma=50.0, coils=1, g_peak=0.0, band=1.0)
    """
    if text.lower().endswith(SUFFIX):
        return _from_profile(Path(text), scale)
    name, *parts = text.split(":")
    row = worded().get(name)
    if row is None or row.build is None:
        raise unknown_name("noise", name, worded())
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise _misread(text, row, "its values must be numbers") from error
    if not 1 <= len(numbers) <= row.most:
        raise _misread(text, row, f"it has {len(numbers)} values")
    try:
        return row.build(numbers, scale)
    except ValueError as error:
        raise _misread(text, row, str(error)) from error


def kind_of(text: str) -> Values:
    """The pixel values that the noise of `text` is made for; "any" for the file of a profile."""
    row = worded().get(text.partition(":")[0])
    return row.values if row is not None else "any"


def _misread(text: str, row: NoiseRow, reason: str) -> UsageError:
    return UsageError(f"the noise {text!r} cannot be used ({reason}): write {row.form}, {row.meaning}.")


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

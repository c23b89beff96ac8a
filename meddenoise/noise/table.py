"""The kinds of noise there are: one row each, which `simulate`, `phantom` and training read.

A kind with a `form` can be asked for in words, `gaussian:25`; the others come from files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

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
from meddenoise.noise.physics import (
    Added,
    add_correlated,
    add_ct_dose,
    add_gaussian,
    add_impulses,
    add_profile,
    add_rician,
    add_spectral,
    add_xray,
)
from meddenoise.series import Image

Values = Literal["any", "HU", "magnitude", "exposure"]
"""The pixel values that a kind of noise is made for."""
ELECTRONIC_QUANTA = 2.0
"""Electronic noise of a flat detector, in quanta a pixel."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Reference of relative levels: the image's 99.9th percentile and mean, and the size of its pixels.

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
class NoiseRow:
    """A kind of noise: how it is added to an image and, if it has words, their form, meaning and options."""

    add: Callable[[Image, Any, np.random.Generator], Added]
    values: Values = "any"
    form: str = ""
    meaning: str = ""
    most: int = 0
    """Most numbers its words take; at least one is needed."""
    build: Callable[[list[float], Scale], NoiseOptions] | None = None
    """Its options, of the numbers and the scale of the image."""


def _rician(numbers: list[float], scale: Scale) -> NoiseOptions:
    coils = numbers[1] if len(numbers) > 1 else 1.0
    if not coils.is_integer():
        raise ValueError(f"the number of coils must be whole, not {coils:g}")
    return RicianNoise(numbers[0] / 100 * scale.peak, int(coils))


def _xray(numbers: list[float], scale: Scale) -> NoiseOptions:
    if not numbers[0] > 0:
        raise ValueError(f"the quanta must be above 0, not {numbers[0]:g}")
    if not scale.mean > 0:
        raise ValueError("the mean of the image is not above 0, so its values are not exposures")
    gain = scale.mean / numbers[0]
    electronic = numbers[1] if len(numbers) > 1 else ELECTRONIC_QUANTA
    return XrayNoise(gain, electronic * gain)


NOISES: Mapping[str, NoiseRow] = {
    GaussianNoise.name: NoiseRow(
        add_gaussian,
        "any",
        "gaussian:SIGMA",
        "white noise, SIGMA in image units",
        1,
        lambda n, _: GaussianNoise(n[0]),
    ),
    CorrelatedNoise.name: NoiseRow(
        add_correlated,
        "any",
        "correlated:SIGMA[:KERNEL_PX]",
        "noise of SIGMA image units blurred with a Gaussian kernel of KERNEL_PX pixels (1)",
        2,
        lambda n, _: CorrelatedNoise(*n),
    ),
    RicianNoise.name: NoiseRow(
        add_rician,
        "magnitude",
        "rician:PERCENT[:COILS]",
        "magnitude MR noise, PERCENT of the brightest signal in each channel",
        2,
        _rician,
    ),
    CtDoseNoise.name: NoiseRow(
        add_ct_dose,
        "HU",
        "ct-dose:FRACTION[:PHOTONS]",
        "the noise that a CT in HU has more at FRACTION (0..1) of its dose, PHOTONS a ray at full dose (1e6)",
        2,
        lambda n, scale: CtDoseNoise(n[0], scale.pixel_mm, photons=n[1] if len(n) > 1 else 1e6),
    ),
    XrayNoise.name: NoiseRow(
        add_xray,
        "exposure",
        "xray:QUANTA[:ELECTRONIC]",
        "quantum noise of QUANTA a pixel at the image's mean, and ELECTRONIC noise in quanta (2)",
        2,
        _xray,
    ),
    ImpulseNoise.name: NoiseRow(
        add_impulses,
        "any",
        "salt-pepper:FRACTION",
        "FRACTION (0..1) of the pixels black or white",
        1,
        lambda n, _: ImpulseNoise(n[0]),
    ),
    SpectralNoise.name: NoiseRow(add_spectral),
    ProfileNoise.name: NoiseRow(add_profile),
}


def worded() -> dict[str, NoiseRow]:
    """The kinds that can be asked for in words."""
    return {name: row for name, row in NOISES.items() if row.form}

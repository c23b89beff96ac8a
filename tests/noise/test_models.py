"""Options of noise: each names what is out of its range, and a number that is none is in no range."""

import math

import pytest

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

FLAT = ((0.0, 0.5), (1.0, 1.0))


@pytest.mark.parametrize(
    "make",
    [
        GaussianNoise,
        CorrelatedNoise,
        lambda value: CorrelatedNoise(1.0, value),
        lambda value: SpectralNoise(value, *FLAT),
        lambda value: SpectralNoise(1.0, (0.0, 0.5), (1.0, value)),
        lambda value: SpectralNoise(1.0, (0.0, value), (1.0, 1.0)),
        RicianNoise,
        lambda value: RicianNoise(1.0, g_peak=value),
        XrayNoise,
        lambda value: XrayNoise(1.0, value),
        ImpulseNoise,
        lambda value: ImpulseNoise(0.1, low=value),
        lambda value: ImpulseNoise(0.1, high=value),
        CtDoseNoise,
        lambda value: CtDoseNoise(0.5, photons=value),
        lambda value: CtDoseNoise(0.5, pixel_mm=value),
        lambda value: ProfileNoise(value, 1.0, *FLAT),
        lambda value: ProfileNoise(1.0, value, *FLAT),
        lambda value: ProfileNoise(1.0, 1.0, *FLAT, ratios=(1.0, value)),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_finite_number_is_refused(make, value: float) -> None:
    with pytest.raises(ValueError, match=rf"must .*not {value}"):
        make(value)


@pytest.mark.parametrize(
    ("frequency", "power", "said"),
    [
        ((), (), "one power for each frequency"),
        ((0.0, 0.5), (1.0,), "one power for each frequency"),
        ((0.5, 0.0), (1.0, 1.0), "must rise"),
        ((0.2, 0.2), (1.0, 1.0), "must rise"),
        ((0.0, 0.5), (1.0, -1.0), "a power must be at least 0, not -1"),
        ((-0.1, 0.5), (1.0, 1.0), "a frequency must be at least 0, not -0.1"),
    ],
)
def test_a_spectrum_that_is_none_is_refused_in_its_own_and_in_a_profile(frequency, power, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SpectralNoise(1.0, frequency, power)
    with pytest.raises(ValueError, match=said):
        ProfileNoise(1.0, 1.0, frequency, power)

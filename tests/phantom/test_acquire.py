"""The noise of a dose from truths that are known by hand, and values as their pixel format holds them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import UsageError
from meddenoise.noise.models import CtDoseNoise, GaussianNoise, RicianNoise, XrayNoise
from meddenoise.phantom import PHANTOMS, Phantom, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, named_noise, to_series
from meddenoise.phantom.xray import exposure
from tests.phantom.flat import flat

quick = settings(max_examples=30, deadline=None)


@quick
@given(st.floats(1e-3, 100))
def test_the_noise_of_a_dose_is_that_of_its_quanta(dose: float) -> None:
    (ct,) = dose_noise(flat("ct", 0), dose)
    assert isinstance(ct, CtDoseNoise)
    # a thousandth of a scan of endless dose, which has all its photons
    assert (ct.fraction, ct.photons) == pytest.approx((1e-3, 1e9 * dose)) and ct.pixel_mm == 360 / 32
    for name, level, linear, quanta in (("fluoro", 800.0, 800.0, 40), ("xray", 2500.0, np.exp(-1), 2500)):
        (noise,) = dose_noise(flat(name, level), dose)
        assert isinstance(noise, XrayNoise) and noise.mtf_nyquist == 0.3
        assert noise.gain == pytest.approx(linear / (quanta * dose), rel=1e-5)
        # electronic noise is that of so many quanta, whatever the dose
        assert noise.electronic / noise.gain == pytest.approx(
            dose_noise(flat(name, level), 1.0)[0].electronic / dose_noise(flat(name, level), 1.0)[0].gain
        )


def test_without_a_dose_each_kind_has_its_own() -> None:
    assert dose_noise(flat("ct", 0)) == dose_noise(flat("ct", 0), 0.1)
    assert dose_noise(flat("xray", 2000)) == dose_noise(flat("xray", 2000), 0.1)
    assert dose_noise(flat("fluoro", 2000)) == dose_noise(flat("fluoro", 2000), 1.0)
    (mr,) = dose_noise(flat("mr", 1500))
    assert mr == RicianNoise(mr.sigma) and mr.sigma == pytest.approx(90.0)


@pytest.mark.parametrize(("name", "dose", "said"), [
    ("mr", 0.5, "an MR phantom has no dose"), ("ct", 0.00099, r"0\.001 to 100, not 0\.00099"),
    ("xray", 100.1, r"0\.001 to 100"), ("fluoro", float("nan"), r"0\.001 to 100"),
])  # fmt: skip
def test_doses_that_make_no_sense_are_refused(name: str, dose: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dose_noise(flat(name, 900), dose)


def test_noise_in_words_counts_quanta_in_exposure_and_is_added_in_order() -> None:
    phantom = flat("xray", 2500)
    noises = named_noise(phantom, ["xray:100", "gaussian:20"])
    assert noises[0].gain == pytest.approx(np.exp(-1) / 100) and noises[1] == GaussianNoise(20.0)
    noisy, infos = acquire(phantom, noises, seed=7)
    assert [info.applied[0]["noise"] for info in infos] == ["xray", "gaussian"]
    assert [info.seed for info in infos] == [7, 7]
    again, _ = acquire(phantom, noises[:1], seed=7)
    assert (noisy - again).std() == pytest.approx(20, rel=0.1)
    # quantum noise arises before the logarithm: exposures stay right in the mean
    assert exposure(again).mean() == pytest.approx(np.exp(-1), rel=0.01)
    (cine,) = named_noise(flat("fluoro", 800, 2), ["xray:10"])
    assert cine.gain == pytest.approx(80)


@quick
@given(st.sampled_from(sorted(PHANTOMS)), st.floats(-4e4, 4e4))
def test_values_are_rounded_and_cut_to_their_pixel_format(name: str, value: float) -> None:
    phantom = flat(name, 0, 2)
    series = to_series(phantom, np.full_like(phantom.truth, value), "clean")
    low, high = phantom.kind.stored_range
    assert series.stored_range == (low, high) and series.name == f"{phantom.kind.title} clean"
    assert series.pixels.dtype == (np.int16 if name == "ct" else np.uint16)
    assert np.all(series.values(0, 2) == np.clip(np.rint(np.float32(value)), low, high))


def test_planes_are_centred_on_the_patient_and_projections_have_no_place() -> None:
    for name, kind in PHANTOMS.items():
        found = flat(name, 0, 2).geometry
        pixel = kind.field_mm / 32
        assert found.spacing_mm == (kind.between_mm, pixel, pixel)
        if name in ("ct", "mr"):
            last = np.array(found.origin_mm) + np.array([31 * pixel, 31 * pixel, kind.between_mm])
            assert last == pytest.approx(-np.array(found.origin_mm))
        else:
            assert found.origin_mm == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "ctt"}, "did you mean 'ct'"),
        ({"size": 31}, "32 to 4096 pixels, not 31"),
        ({"size": 4097}, "32 to 4096"),
        ({"planes": 0}, "1 to 262144 planes, not 0"),
        ({"planes": 2**18 + 1}, "1 to 262144"),
        ({"seed": -1}, "0 or more, not -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes: dict[str, Any], said: str) -> None:
    arguments = {"name": "ct", "size": 32} | changes
    with pytest.raises(UsageError, match=said):
        make_phantom(arguments.pop("name"), **arguments)


def test_the_smallest_phantom_is_drawn_and_has_the_planes_of_its_kind() -> None:
    found = make_phantom("mr", size=32)
    assert isinstance(found, Phantom) and found.truth.shape == (PHANTOMS["mr"].planes, 32, 32)
    assert found.seed == 0 and found.geometry.origin_mm[2] == -10.5

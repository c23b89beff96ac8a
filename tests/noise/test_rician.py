"""Magnitudes: their mean over a signal, and the transform that gives them one level and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise.rician import NEGATIVE_SHARE, RESAMPLED, has_negatives, mean_magnitude
from meddenoise.noise.stabilise import Rician

quick = settings(max_examples=60, deadline=None)
levels = st.floats(1e-2, 1e4)
UNIT = np.concatenate([np.linspace(0, 10, 101), np.geomspace(10, 1000, 50)[1:]])


def test_the_mean_of_noise_alone_is_that_of_rayleigh_and_a_strong_signal_keeps_its_own() -> None:
    assert mean_magnitude(np.zeros(1), 1.0)[0] == pytest.approx(np.sqrt(np.pi / 2))
    strong = np.array([30.0, 300.0])
    assert mean_magnitude(strong, 1.0) == pytest.approx(np.sqrt(strong**2 + 1), rel=1e-4)


@quick
@given(levels)
def test_the_mean_grows_with_the_signal_lies_above_it_and_scales_with_the_unit(sigma: float) -> None:
    mean = mean_magnitude(sigma * UNIT, sigma)
    assert (np.diff(mean) > 0).all() and (mean >= sigma * UNIT).all()
    np.testing.assert_allclose(mean, sigma * mean_magnitude(UNIT, 1.0), rtol=1e-9)


def test_a_signal_below_zero_counts_as_none_and_the_width_of_the_numbers_stays() -> None:
    below = np.array([-5.0, 0.0], np.float32)
    mean = mean_magnitude(below, 2.0)
    assert mean.dtype == np.float32 and mean[0] == mean[1]


@pytest.mark.parametrize("signal", [0.0, 0.5, 2.0, 10.0])
def test_the_mean_is_that_of_many_draws(signal: float) -> None:
    rng = np.random.default_rng(0)
    draws = np.hypot(signal + rng.normal(size=200_000), rng.normal(size=200_000))
    assert mean_magnitude(np.array([signal]), 1.0)[0] == pytest.approx(draws.mean(), abs=0.01)


@quick
@given(levels)
def test_the_transform_rises_does_not_know_the_unit_and_its_inverse_rises_too(sigma: float) -> None:
    stable = Rician(sigma).forward(sigma * UNIT)
    assert (np.diff(stable) > 0).all()
    np.testing.assert_allclose(stable, Rician(1.0).forward(UNIT), rtol=1e-6, atol=1e-9)
    back = Rician(sigma).inverse(stable)
    assert (np.diff(back) >= 0).all() and back[0] == 0
    np.testing.assert_allclose(back, sigma * Rician(1.0).inverse(stable), rtol=1e-9)


def test_far_above_the_noise_the_transform_is_a_shift() -> None:
    high = np.array([100.0, 101.0, 500.0, 501.0])
    stable = Rician(1.0).forward(high)
    assert np.diff(stable)[[0, 2]] == pytest.approx([1, 1], abs=1e-3)


def test_values_a_little_below_zero_are_of_resampling_and_many_far_below_are_no_magnitudes() -> None:
    plane = np.full((100, 100), 50.0, np.float32)
    sigma, few = 10.0, round(NEGATIVE_SHARE * plane.size)
    plane.ravel()[:5000] = -0.9 * RESAMPLED * sigma
    assert not has_negatives(plane, sigma)
    plane.ravel()[:few] = -2 * RESAMPLED * sigma
    assert not has_negatives(plane, sigma)
    plane.ravel()[: few + 1] = -2 * RESAMPLED * sigma
    assert has_negatives(plane, sigma)

"""The most noise that quiet squares leave room for: never less than there is, near it where anatomy is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise import WHITE, NoiseEstimate, SignalVariance
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.quiet import most_noise
from meddenoise.phantom import make_phantom

SPECTRA = [WHITE, (1.3, 1.2, 1.1, 0.85), (1.7, 1.4, 1.0, 0.6), (0.6, 0.8, 1.0, 1.1)]
ALL = np.ones((192, 192), bool)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SPECTRA), st.floats(0.01, 1000), st.integers(0, 99))
def test_noise_alone_has_room_for_itself_and_little_more(bands, sigma, seed):
    noise = NoiseEstimate(sigma, bands)
    plane = 5 * sigma + noise_like(noise, np.zeros((192, 192), np.float32), np.random.default_rng(seed))
    assert 0.97 * plane.std() < most_noise(noise, plane, ALL) < 1.25 * plane.std()


def test_an_estimate_that_took_anatomy_for_noise_is_found_too_high():
    truth = make_phantom("xray", size=192, seed=9000).truth[0]
    sigma = 0.004 * float(np.ptp(truth))
    plane = truth + noise_like(NoiseEstimate(sigma), truth, np.random.default_rng(0))
    assert most_noise(NoiseEstimate(3 * sigma), plane, ALL) < 1.3 * sigma


def test_noise_that_follows_the_brightness_is_measured_in_its_own_units():
    ramp = np.tile(np.linspace(10, 1000, 192, dtype=np.float32), (192, 1))
    noise = NoiseEstimate(float(np.sqrt(ramp.mean())), variance=SignalVariance(1.0, 0.0))
    plane = ramp + noise_like(noise, ramp, np.random.default_rng(0))
    assert most_noise(noise, plane, ALL) == pytest.approx(noise.sigma, rel=0.2)
    assert most_noise(NoiseEstimate(noise.sigma), plane, ALL) < 0.7 * noise.sigma


def test_too_few_squares_and_coarse_noise_say_nothing():
    plane = np.random.default_rng(0).normal(size=(192, 192)).astype(np.float32)
    few = np.zeros_like(ALL)
    few[:40, :40] = True
    assert most_noise(NoiseEstimate(1.0), plane, few) == np.inf
    assert most_noise(NoiseEstimate(1.0, (3.5, 1.5, 0.3, 0.05)), plane, ALL) == np.inf
    assert most_noise(NoiseEstimate(0.0), plane, ALL) == np.inf

"""Correlation length of noise, and fresh noise drawn like an estimate."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meddenoise.noise import BAND_EDGES, WHITE, NoiseEstimate, SignalVariance
from meddenoise.noise.by_plane import Reading, estimate_planes
from meddenoise.noise.correlation import (
    REACH,
    autocorrelation,
    blind_radius,
    nearest_radius,
    noise_like,
    spectrum_of,
    unit_noise,
)
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.profile.change import Scene
from meddenoise.noise.spectrum import Amplitude, coloured_noise, ct_amplitude, gaussian_amplitude
from meddenoise.phantom import make_phantom

UNKNOWN = (0.0, 0.0, 0.0, 0.0)
RADIUS = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256)] * 2)).astype(np.float32)


def bands_of(amplitude: Amplitude) -> tuple[float, ...]:
    """`NoiseEstimate.bands` of noise of this amplitude."""
    power = np.square(amplitude(RADIUS), dtype=np.float64)
    inside = [power[(low <= RADIUS) & (high > RADIUS)] for low, high in pairwise(BAND_EDGES)]
    return tuple(float(np.sqrt(part.mean() / power.mean())) for part in inside)


def blurred(kernel_px: float) -> NoiseEstimate:
    return NoiseEstimate(1.0, bands_of(gaussian_amplitude(kernel_px)))


def correlation_of(noise: NDArray[np.float32], dy: int, dx: int) -> float:
    """Mean product of pixels (dy, dx) apart in planes [N, Y, X], over the mean square."""
    height, width = noise.shape[1:]
    product = noise[:, dy:, dx:] * noise[:, : height - dy, : width - dx]
    return float(product.mean() / np.square(noise).mean())


@pytest.mark.parametrize("bands", [WHITE, UNKNOWN])
def test_white_and_unknown_noise_is_correlated_with_itself_alone(bands: tuple[float, ...]) -> None:
    correlation = autocorrelation(NoiseEstimate(2.0, bands))
    expected = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    expected[REACH, REACH] = 1
    assert correlation == pytest.approx(expected, abs=1e-5)
    assert blind_radius(NoiseEstimate(2.0, bands)) == 0


@pytest.mark.parametrize("kernel_px", [0.8, 1.2, 1.6])
def test_four_bands_tell_the_correlation_of_blurred_noise(kernel_px: float) -> None:
    # White noise under a Gaussian kernel k is correlated as exp(-d^2 / 4 k^2).
    lags = np.arange(-REACH, REACH + 1)
    exact = np.exp(-(lags[:, None] ** 2 + lags[None, :] ** 2) / (4 * kernel_px**2))
    assert autocorrelation(blurred(kernel_px)) == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("amplitude", [gaussian_amplitude(0.5), gaussian_amplitude(1.2), ct_amplitude(0.3)])
def test_the_correlation_is_that_of_noise_drawn_with_the_true_spectrum(amplitude: Amplitude) -> None:
    drawn = coloured_noise((24, 256, 256), amplitude, np.random.default_rng(0))
    told = autocorrelation(NoiseEstimate(1.0, bands_of(amplitude)))
    for dy, dx in ((0, 1), (1, 1), (0, 2), (2, 2), (3, 0), (4, 4)):
        assert told[REACH + dy, REACH + dx] == pytest.approx(correlation_of(drawn, dy, dx), abs=0.03)


@pytest.mark.parametrize(
    ("kernel_px", "radii"), [(0.05, {0}), (0.3, {1}), (0.5, {1, 2}), (0.8, {2}), (1.2, {4}), (3.0, {4})]
)
def test_the_blind_radius_covers_the_kernel(kernel_px: float, radii: set[int]) -> None:
    assert blind_radius(blurred(kernel_px)) in radii


@pytest.mark.parametrize("name", ["ct", "mr", "xray", "fluoro"])
@pytest.mark.parametrize(("kernel_px", "network"), [(0.01, 0), (1.2, 4)])
def test_noise_estimated_on_phantoms_leads_to_the_right_network(
    name: str, kernel_px: float, network: int
) -> None:
    phantom = make_phantom(name, size=256, planes=1)
    level = 25 / 255 * (2000 if name == "ct" else float(np.ptp(phantom.truth)))
    rng = np.random.default_rng(3)
    noise = level * coloured_noise(phantom.truth.shape, gaussian_amplitude(kernel_px), rng)
    estimate = estimate_planes(Scene.of(phantom.truth + noise), Reading(phantom.kind.modality)).middle
    assert nearest_radius(blind_radius(estimate), (0, 2, 4)) == network


def test_anatomy_in_the_lowest_band_alone_does_not_widen_the_blind_box() -> None:
    assert blind_radius(NoiseEstimate(1.0, (1.9, 1.04, 1.0, 0.9))) == 0
    assert autocorrelation(NoiseEstimate(1.0, (1.9, 1.04, 1.0, 0.9)))[REACH, REACH + 1] > 0.1


def test_the_nearest_radius_is_the_smallest_that_covers_the_noise() -> None:
    assert [nearest_radius(rho, (4, 0, 2)) for rho in range(5)] == [0, 2, 2, 4, 4]
    assert nearest_radius(4, (0, 2)) == 2


AMPLITUDES = st.floats(0.03, 4.0)


@given(st.tuples(AMPLITUDES, AMPLITUDES, AMPLITUDES, AMPLITUDES))
@settings(max_examples=50, deadline=None)
def test_a_spectrum_has_the_mean_power_of_every_band(bands: tuple[float, ...]) -> None:
    power = np.square(spectrum_of(NoiseEstimate(1.0, bands))(RADIUS), dtype=np.float64)
    means = [power[(low <= RADIUS) & (high > RADIUS)].mean() for low, high in pairwise(BAND_EDGES)]
    assert np.sqrt(means) == pytest.approx(bands, rel=0.06)


@pytest.mark.parametrize("bands", [WHITE, UNKNOWN, bands_of(gaussian_amplitude(1.2))])
def test_unit_noise_has_variance_one(bands: tuple[float, ...]) -> None:
    noise = unit_noise(NoiseEstimate(7.0, bands), (24, 128, 100), np.random.default_rng(0))
    assert noise.shape == (24, 128, 100) and noise.dtype == np.float32
    assert noise.var() == pytest.approx(1, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.03)


def test_fresh_noise_does_not_wrap_around_the_plane() -> None:
    noise = unit_noise(blurred(1.2), (200, 64, 64), np.random.default_rng(0))
    assert (noise[:, 0] * noise[:, 1]).mean() > 0.7
    assert abs((noise[:, 0] * noise[:, -1]).mean()) < 0.05


def test_fresh_noise_follows_the_map_of_the_estimate() -> None:
    plane = np.linspace(0, 100, 512, dtype=np.float32)[None].repeat(512, axis=0)
    estimate = NoiseEstimate(5.0, bands_of(gaussian_amplitude(0.5)), variance=SignalVariance(0.5, 2.0))
    rng = np.random.default_rng(1)
    draws = np.stack([noise_like(estimate, plane, rng) for _ in range(4)])
    level = sigma_map(estimate, plane)
    for columns in (slice(0, 128), slice(384, 512)):
        ratio = draws[..., columns].std() / np.sqrt(np.square(level[:, columns]).mean())
        assert ratio == pytest.approx(1, rel=0.03)
    assert np.sqrt(np.square(draws).mean()) == pytest.approx(5.0, rel=0.02)


def test_fresh_noise_is_drawn_from_the_generator_alone_and_is_nothing_where_there_is_none() -> None:
    plane = np.ones((40, 30), np.float32)
    first, again = (noise_like(blurred(0.8), plane, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again) and first.std() > 0.5
    assert not noise_like(NoiseEstimate(0.0), plane, np.random.default_rng(5)).any()

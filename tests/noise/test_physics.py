"""Invariants of noise physics: units, zeros, filters over time, and the spectrum that each kind states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise.models import (
    CorrelatedNoise,
    GaussianNoise,
    ImpulseNoise,
    ProfileNoise,
    RicianNoise,
    SpectralNoise,
    XrayNoise,
)
from meddenoise.noise.physics import (
    NPS_FREQUENCIES,
    add_correlated,
    add_gaussian,
    add_impulses,
    add_profile,
    add_rician,
    add_spectral,
    add_xray,
    g_factor,
    magnitude_of,
    recursive_filter,
    share_noise,
    shot_noise,
)

FLAT = ((0.0, 0.5), (1.0, 1.0))
seeds = st.integers(0, 2**16)
quick = settings(max_examples=25, deadline=None)


def scene(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(50, 200, (2, 24, 20)).astype(np.float32)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


LINEAR = {
    "gaussian": (add_gaussian, lambda k: GaussianNoise(5.0 * k)),
    "correlated": (add_correlated, lambda k: CorrelatedNoise(5.0 * k, 1.2)),
    "spectral": (add_spectral, lambda k: SpectralNoise(5.0 * k, (0.0, 0.2, 0.5), (4.0, 1.0, 0.0))),
    "rician": (add_rician, lambda k: RicianNoise(5.0 * k, 2, 0.5, 0.8)),
    "xray": (add_xray, lambda k: XrayNoise(2.0 * k, 3.0 * k, 0.4, 0.6)),
    "profile": (add_profile, lambda k: ProfileNoise(0.2 * k, 9.0 * k * k, *FLAT, rho=0.3)),
}


@pytest.mark.parametrize("name", LINEAR)
@quick
@given(seed=seeds, unit=st.sampled_from([0.25, 2.0, 64.0, 1024.0]))
def test_a_change_of_unit_changes_nothing_but_the_unit(name: str, seed: int, unit: float) -> None:
    add, options = LINEAR[name]
    noisy, sigma, nps = add(scene(seed), options(1.0), rng(seed))
    scaled, scaled_sigma, scaled_nps = add(unit * scene(seed), options(unit), rng(seed))
    np.testing.assert_allclose(scaled, unit * noisy, rtol=2e-5, atol=1e-3 * unit)
    np.testing.assert_allclose(scaled_sigma, unit * sigma, rtol=1e-4)
    np.testing.assert_allclose(scaled_nps, unit**2 * nps, rtol=1e-4)


@pytest.mark.parametrize("name", ["gaussian", "correlated", "spectral"])
@quick
@given(seed=seeds, offset=st.sampled_from([-1024.0, 512.0, 4096.0]))
def test_noise_that_does_not_follow_the_signal_is_the_same_on_any_background(
    name: str, seed: int, offset: float
) -> None:
    add, options = LINEAR[name]
    image = scene(seed)
    here = add(image, options(1.0), rng(seed))[0] - image
    there = add(image + np.float32(offset), options(1.0), rng(seed))[0] - (image + np.float32(offset))
    np.testing.assert_allclose(there, here, atol=2e-3)


@pytest.mark.parametrize(
    ("add", "options"),
    [
        (add_gaussian, GaussianNoise(0.0)),
        (add_correlated, CorrelatedNoise(0.0)),
        (add_spectral, SpectralNoise(0.0, *FLAT)),
        (add_profile, ProfileNoise(0.0, 0.0, *FLAT)),
        (add_impulses, ImpulseNoise(0.0)),
    ],
)
def test_a_level_of_zero_keeps_every_bit(add, options) -> None:
    noisy, sigma, nps = add(scene(), options, rng(0))
    assert np.array_equal(noisy, scene())
    # a profile counts no variance below the smallest that has a square root
    assert sigma.max() < 1e-12 and nps.max() < 1e-12


@pytest.mark.parametrize("coils", [1, 2, 4])
def test_magnitudes_without_noise_are_the_signal(coils: int) -> None:
    noisy, _, _ = add_rician(scene(), RicianNoise(0.0, coils), rng(0))
    np.testing.assert_allclose(noisy, scene(), rtol=1e-6)


@quick
@given(seed=seeds, fraction=st.floats(0, 1), low=st.floats(-50, 0), high=st.floats(300, 400))
def test_an_impulse_is_low_or_high_and_every_other_pixel_keeps_its_bits(
    seed: int, fraction: float, low: float, high: float
) -> None:
    image = scene(seed)
    noisy, sigma, _ = add_impulses(image, ImpulseNoise(fraction, low, high), rng(seed))
    hit = noisy != image
    assert np.isin(noisy[hit], np.array([low, high], np.float32)).all()
    expected = fraction / 2 * ((low - image) ** 2 + (high - image) ** 2)
    np.testing.assert_allclose(sigma**2, expected, rtol=1e-3, atol=1e-3)


def test_all_pixels_can_be_impulses_and_both_ends_are_as_likely() -> None:
    noisy, _, _ = add_impulses(np.full((1, 200, 200), 7.0, np.float32), ImpulseNoise(1.0, 0.0, 9.0), rng(0))
    assert set(np.unique(noisy)) == {0.0, 9.0}
    assert np.mean(noisy == 9) == pytest.approx(0.5, abs=0.02)


@quick
@given(seed=seeds, rho=st.floats(0, 0.99))
def test_sharing_noise_between_frames_is_an_autoregression_with_variance_one(seed: int, rho: float) -> None:
    fresh = rng(seed).normal(size=(4, 6, 5)).astype(np.float32)
    frames = fresh.copy()
    share_noise(frames, rho)
    assert np.array_equal(frames[0], fresh[0])
    for before, now, new in zip(frames, frames[1:], fresh[1:], strict=False):
        np.testing.assert_allclose(now, rho * before + np.sqrt(1 - rho**2) * new, atol=1e-5)


def test_sharing_nothing_keeps_every_bit_and_a_single_plane_has_nothing_to_share() -> None:
    fresh = rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    frames = fresh.copy()
    share_noise(frames, 0.0)
    assert np.array_equal(frames, fresh)
    share_noise(frames[0], 0.9)
    assert np.array_equal(frames, fresh)


@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0])
def test_the_recursive_filter_is_settled_from_the_first_frame_on(weight: float) -> None:
    frames = rng(1).normal(size=(6, 200, 200)).astype(np.float32)
    factor = recursive_filter(frames, weight)
    assert factor == pytest.approx(weight / (2 - weight))
    assert frames.var(axis=(1, 2)) == pytest.approx(np.full(6, factor), rel=0.05)
    lag = np.mean(frames[1:] * frames[:-1]) / factor
    assert lag == pytest.approx(1 - weight, abs=0.02)


def test_a_filter_that_takes_the_new_frame_whole_changes_nothing() -> None:
    frames = rng(1).normal(size=(3, 8, 8)).astype(np.float32)
    kept = frames.copy()
    assert recursive_filter(frames, 1.0) == 1.0
    assert np.array_equal(frames, kept)


@quick
@given(st.integers(2, 70), st.integers(2, 70), st.floats(0, 3))
def test_the_g_factor_is_symmetric_highest_in_the_middle_and_never_below_one(
    height: int, width: int, peak: float
) -> None:
    factor = g_factor(height, width, peak)
    assert factor.shape == (height, width) and factor.min() >= 1 and factor.max() <= 1 + peak + 1e-6
    np.testing.assert_allclose(factor, factor[::-1, ::-1], rtol=1e-6)
    np.testing.assert_allclose(factor, factor[::-1], rtol=1e-6)
    assert factor[height // 2, width // 2] == pytest.approx(factor.max(), rel=1e-6)


def test_shot_noise_has_mean_zero_the_variance_of_its_quanta_and_none_in_the_dark() -> None:
    quanta = np.array([0.0, 0.5, 4.0, 100.0])[:, None] * np.ones(100_000)
    noise = shot_noise(quanta, rng(0))
    assert not noise[0].any()
    assert noise[1:].mean(axis=1) == pytest.approx(np.zeros(3), abs=0.1)
    assert noise[1:].var(axis=1) == pytest.approx(quanta[1:, 0], rel=0.03)


@quick
@given(seeds, st.floats(0, 2 * np.pi))
def test_a_magnitude_does_not_depend_on_the_phase(seed: int, phase: float) -> None:
    real, imaginary = rng(seed).normal(0, 9, (2, 5, 5))
    turned = (real + 1j * imaginary) * np.exp(1j * phase)
    np.testing.assert_allclose(magnitude_of(turned.real, turned.imag), magnitude_of(real, imaginary))


@pytest.mark.parametrize("name", ["gaussian", "correlated", "spectral", "profile"])
def test_the_spectrum_stated_holds_the_variance_stated(name: str) -> None:
    add, options = LINEAR[name]
    _, sigma, nps = add(scene(), options(1.0), rng(0))
    down, right = (np.fft.fftfreq(256) for _ in range(2))
    power = np.interp(np.hypot(down[:, None], right[None]), NPS_FREQUENCIES, nps).mean()
    # beyond 0.5 cycles the corners of the spectrum are not stated
    assert power == pytest.approx(float(np.mean(np.square(sigma))), rel=0.06)

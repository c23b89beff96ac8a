"""The noise of a series, plane by plane."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.noise import NoiseEstimate, SeriesNoise, SignalVariance
from meddenoise.noise.by_plane import Reading, estimate_planes
from meddenoise.noise.estimate import estimate_plane
from meddenoise.noise.physics import share_noise
from meddenoise.noise.profile.change import Scene
from meddenoise.noise.simulate import simulate
from meddenoise.noise.steady import steady
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise

Planes = NDArray[np.float32]


def test_a_series_has_one_estimate_for_each_plane_and_tells_level_and_range() -> None:
    noise = SeriesNoise((NoiseEstimate(3.0), NoiseEstimate(0.0), NoiseEstimate(4.0)))
    assert len(noise) == 3 and noise.plane(2).sigma == 4
    assert noise.sigma == pytest.approx(np.sqrt(12.5))
    assert noise.range() == (3, 4)


@pytest.mark.parametrize("planes", [(), (NoiseEstimate(0.0),) * 2])
def test_a_series_without_noise_has_level_zero(planes: tuple[NoiseEstimate, ...]) -> None:
    noise = SeriesNoise(planes)
    assert noise.sigma == 0 and noise.range() == (0, 0)


def test_one_plane_is_estimated_where_it_is_image() -> None:
    plane = 5 * np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    plane[:, 64:] *= 10
    valid = np.arange(128)[None, :].repeat(128, 0) < 64
    assert estimate_plane(plane, valid, "CT").sigma == pytest.approx(5, rel=0.1)


SIDE = 128


def white(count: int, seed: int = 0, side: int = SIDE) -> Planes:
    return np.random.default_rng(seed).standard_normal((count, side, side), np.float32)


def scene(count: int, side: int = SIDE) -> Planes:
    """The same soft shapes in every plane, about 200 to 800."""
    y, x = np.mgrid[:side, :side] / side * 2 - 1
    body = (
        500
        + 200 * np.tanh(20 * (0.6 - np.hypot(x, 1.2 * y)))
        + 80 * np.tanh(20 * (0.2 - np.hypot(x - 0.2, y)))
    )
    return np.repeat(body.astype(np.float32)[None], count, axis=0)


def levels(planes: Planes, modality: str = "XA", **known: Any) -> NDArray[np.float64]:
    """The estimated level of every plane."""
    found = estimate_planes(Scene.of(planes), Reading(modality, **known))
    return np.array([plane.sigma for plane in found.planes])


def with_level(true: NDArray[np.float64], seed: int = 0, rho: float = 0.0) -> Planes:
    """The scene with noise of these levels, of which each frame shares `rho` with the one before."""
    noise = white(len(true), seed)
    share_noise(noise, rho)
    return scene(len(true)) + true[:, None, None].astype(np.float32) * noise


def test_every_slice_of_a_ct_with_falling_dose_has_its_own_level() -> None:
    phantom = make_phantom("ct", size=512, planes=8)
    noisy = np.empty_like(phantom.truth)
    for k, dose in enumerate(np.geomspace(0.6, 0.08, 8)):
        noise = replace(dose_noise(phantom, dose)[0], fast=True, kernel="ramp")
        noisy[k] = simulate(phantom.truth[k : k + 1], noise, np.random.default_rng(k))[0][0]
    true = (noisy - phantom.truth).std(axis=(1, 2))
    assert true[-1] > 2 * true[0]
    assert levels(noisy, "CT") == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("timed", [False, True])
def test_an_even_rise_is_not_flattened_at_its_ends(timed: bool) -> None:
    true = np.geomspace(10, 40, 12)
    assert levels(with_level(true), timed=timed) == pytest.approx(true, rel=0.1)


def test_neighbours_that_agree_steady_each_other() -> None:
    noisy = scene(40, 48) + 20 * white(40, side=48)
    own = np.array([estimate_plane(plane, modality="XA").sigma for plane in noisy])
    steadied = levels(noisy)
    assert np.std(np.log(steadied)) < 0.7 * np.std(np.log(own))
    assert steadied.mean() == pytest.approx(own.mean(), rel=0.05)


@pytest.mark.parametrize("timed", [False, True])
def test_a_loud_first_frame_stays_loud_and_leaves_the_others_alone(timed: bool) -> None:
    true = np.array([33.0, 14.0, *[8.6] * 10])
    found = levels(with_level(true, rho=0.0 if not timed else 0.45), timed=timed)
    assert found == pytest.approx(true, rel=0.12)


def test_a_run_that_ends_before_it_has_settled_keeps_its_levels() -> None:
    true = np.array([33.0, 14.0, 9.3, 9.2])
    assert levels(with_level(true, rho=0.4), timed=True) == pytest.approx(true, rel=0.12)


@pytest.mark.parametrize("timed", [False, True])
def test_blank_planes_have_no_noise_and_say_nothing_of_the_others(timed: bool) -> None:
    true = np.full(10, 15.0)
    noisy = with_level(true)
    noisy[[0, 4, 5]] = 0
    noisy[8] = 4095
    found = levels(noisy, timed=timed)
    assert not found[[0, 4, 5, 8]].any()
    assert found[[1, 2, 3, 6, 7, 9]] == pytest.approx(15, rel=0.1)


def test_an_exposure_that_changes_mid_run_changes_level_and_contrast() -> None:
    true = np.array([10.0] * 6 + [25.0] * 6)
    noisy = with_level(true)
    noisy[6:] += 0.4 * scene(6)
    assert levels(noisy, timed=True) == pytest.approx(true, rel=0.1)


def test_a_saturated_part_does_not_lower_the_level_of_its_frame() -> None:
    noisy = with_level(np.full(8, 20.0))
    noisy[3:] = np.minimum(noisy[3:], 650)
    assert levels(noisy, timed=True) == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_short_runs_are_measured(count: int) -> None:
    assert levels(with_level(np.full(count, 20.0)), timed=True) == pytest.approx(20, rel=0.1)


def test_frames_over_fine_texture_are_told_by_their_differences() -> None:
    texture = 60 * white(1, seed=9)
    true = np.array([30.0, *[15.0] * 9])
    noisy = with_level(true) + texture
    assert levels(noisy, timed=True)[1:] == pytest.approx(15, rel=0.1)
    assert levels(noisy, timed=True)[0] == pytest.approx(30, rel=0.1)
    assert levels(noisy).min() > 45


def test_a_scene_that_moves_as_a_whole_is_judged_frame_by_frame() -> None:
    noisy = with_level(np.full(8, 10.0))
    texture = gaussian_filter(white(1, 3, 2 * SIDE)[0], 1.5) * 400
    for k in range(8):
        noisy[k] += texture[9 * k : 9 * k + SIDE, 5 * k : 5 * k + SIDE]
    single = [estimate_plane(plane, modality="XA").sigma for plane in noisy]
    assert levels(noisy, timed=True) == pytest.approx(single, rel=0.25)


def test_stated_exposure_steadies_where_the_noise_follows_it_and_never_replaces_it() -> None:
    planes = [NoiseEstimate(sigma) for sigma in (10.8, 19.0, 9.4, 21.0, 10.2, 20.5)]
    following = [plane.sigma for plane in steady(planes, SIDE**2, (1, 2, 1, 2, 1, 2))]
    error = np.log(np.array(following) / ([10, 20] * 3))
    assert np.abs(error).max() < 0.06
    wrong = steady(planes, SIDE**2, (2, 1, 2, 1, 2, 1))
    assert wrong == steady(planes, SIDE**2) == steady(planes, SIDE**2, (1, 0, 1, 1, 1, 1))
    assert [plane.sigma for plane in wrong] == pytest.approx([plane.sigma for plane in planes], rel=0.08)


def test_the_spectrum_and_the_dependence_are_steadied_too() -> None:
    soft, sharp = (1.4, 1.2, 1.0, 0.8), (1.2, 1.2, 1.0, 0.9)
    planes = [
        NoiseEstimate(10, soft, SignalVariance(0.2, 40.0)),
        NoiseEstimate(10, sharp),
        NoiseEstimate(40, (1.0,) * 4),
    ]
    found = steady(planes, SIDE**2)
    assert 1.2 < found[0].bands[0] < 1.4 and found[2].bands == (1.0,) * 4 and found[2].variance is None
    assert found[0].variance is not None and 0 < found[0].variance.slope < 0.2
    logarithmic = replace(planes[0], variance=SignalVariance(0.01, np.log(100), exponential=True))
    mixed = steady([logarithmic, planes[1], planes[0]], SIDE**2)[0].variance
    assert mixed is not None and mixed.exponential and 0 < mixed.slope < 0.01


def test_planes_of_a_series_share_the_model_of_most() -> None:
    rician, plain = NoiseEstimate(10, model="rician"), NoiseEstimate(10, variance=SignalVariance(1.0, 2.0))
    found = steady([rician, plain, rician, NoiseEstimate(0.0)], SIDE**2)
    assert [plane.model for plane in found] == ["rician", "rician", "rician", "gaussian"]
    assert found[1].variance is None
    assert {plane.model for plane in steady([rician, plain, plain], SIDE**2)} == {"gaussian"}


def test_the_number_of_workers_changes_nothing() -> None:
    noisy = with_level(np.geomspace(10, 20, 9))
    assert np.array_equal(levels(noisy, timed=True), levels(noisy, timed=True, workers=3))

"""The noise estimator on synthetic anatomy with known noise."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from meddenoise.noise import BAND_EDGES, NoiseEstimate, SeriesNoise, SignalVariance
from meddenoise.noise.blocks import RING_EDGES, measure_blocks, ring_areas, usable_pixels
from meddenoise.noise.by_plane import Reading, estimate_planes
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.floor import ring_floors
from meddenoise.noise.profile.change import Scene

Plane = NDArray[np.float32]
Response = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def anatomy(size: int = 256, seed: int = 0) -> Plane:
    """Ellipses of different brightness with soft edges and smooth shading, 0 to about 1000, air around."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size * 2 - 1
    image = np.where(x**2 + (1.2 * y) ** 2 < 0.7, 500.0, 0.0)
    for _ in range(12):
        cy, cx, ry, rx = *rng.uniform(-0.45, 0.45, 2), *rng.uniform(0.05, 0.25, 2)
        image += np.where(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1, rng.uniform(-200, 250), 0)
    image = gaussian_filter(image, 1.0) * (1 + 0.1 * x)
    return np.asarray(image, np.float32)[None]


def textured(size: int = 256, seed: int = 0) -> Plane:
    """Anatomy with fine tissue texture of uneven strength everywhere inside the body; RMS about 10."""
    clean = anatomy(size, seed)[0]
    power = coloured((1, size, size), lambda f: 1 / (0.02 + f) ** 1.5, seed)[0]
    strength = np.exp(1.2 * coloured((1, size, size), lambda f: np.exp(-((f / 0.01) ** 2)), seed + 1)[0])
    texture = 10 * power * strength * (clean > 250)
    return np.asarray(clean + texture, np.float32)[None]


def estimate_noise(
    planes: Plane, modality: str = "", valid: NDArray[np.bool_] | None = None
) -> NoiseEstimate:
    """The estimate of the middle level of planes [N, Y, X]."""
    return estimate_planes(Scene.of(planes, valid), Reading(modality)).middle


def estimate_cine(frames: Plane, modality: str = "XA") -> SeriesNoise:
    return estimate_planes(Scene.of(frames), Reading(modality, timed=True))


def white(shape: tuple[int, ...], seed: int = 1) -> Plane:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def coloured(shape: tuple[int, ...], response: Response, seed: int = 1) -> Plane:
    """Gaussian noise of unit variance with amplitude spectrum `response`(radial frequency)."""
    fy, fx = (np.fft.fftfreq(n) for n in shape[1:])
    gain = response(np.hypot(fy[:, None], fx[None, :]))
    noise = np.fft.ifft2(np.fft.fft2(white(shape, seed)) * gain).real
    return np.asarray(noise / noise.std(), np.float32)


def true_bands(noise: Plane) -> tuple[float, ...]:
    power = np.mean(np.abs(np.fft.fft2(noise)) ** 2, axis=0)
    radius = np.hypot(np.fft.fftfreq(power.shape[0])[:, None], np.fft.fftfreq(power.shape[1])[None, :])
    inside = [power[(radius >= low) & (radius < high)] for low, high in pairwise(BAND_EDGES)]
    return tuple(float(np.sqrt(part.mean() / power.mean())) for part in inside)


@pytest.mark.parametrize("sigma", [8.0, 40.0, 150.0, 250.0])
@pytest.mark.parametrize("modality", ["CT", "MR", "DX", "XA", ""])
def test_white_noise_level_is_within_ten_percent_and_its_bands_are_even(sigma: float, modality: str) -> None:
    planes = anatomy()
    estimate = estimate_noise(planes + sigma * white(planes.shape), modality=modality)
    assert estimate.sigma == pytest.approx(sigma, rel=0.1)
    assert estimate.bands == pytest.approx((1, 1, 1, 1), rel=0.2)
    assert estimate.variance is None and estimate.field is None
    assert estimate.model == "gaussian"


@pytest.mark.parametrize("level", [20.0, 60.0])
@pytest.mark.parametrize(
    "response",
    [
        lambda f: np.exp(-2 * (np.pi * 0.5 * f) ** 2),
        lambda f: np.exp(-2 * (np.pi * 0.8 * f) ** 2),
        lambda f: np.exp(-2 * (np.pi * 1.2 * f) ** 2),
        lambda f: np.sqrt(f) * np.exp(-((f / 0.3) ** 2)),
        lambda f: 1 / (1 + (f / 0.35) ** 2),
    ],
    ids=["gauss 0.5", "gauss 0.8", "gauss 1.2", "ramp", "mtf"],
)
def test_correlated_noise_level_and_bands_are_within_twenty_percent(response: Response, level: float) -> None:
    noise = level * coloured((1, 256, 256), response)
    estimate = estimate_noise(anatomy() + noise, modality="XA")
    assert estimate.sigma == pytest.approx(level, rel=0.2)
    for found, true in zip(estimate.bands, true_bands(noise), strict=True):
        if true > 0.4:
            assert found == pytest.approx(true, rel=0.25)


def test_signal_dependent_noise_is_told_by_a_line_through_the_variance() -> None:
    clean = anatomy()
    a, b = 4.0, 100.0
    estimate = estimate_noise(clean + np.sqrt(a * clean + b) * white(clean.shape), modality="DX")
    true = float(np.sqrt((a * clean + b).mean()))
    assert estimate.sigma == pytest.approx(true, rel=0.15)
    assert estimate.variance is not None
    for signal in (200, 500, 900):
        found = estimate.variance.slope * signal + estimate.variance.constant
        assert found == pytest.approx(a * signal + b, rel=0.35)


@pytest.mark.parametrize("inverted", [False, True])
def test_noise_of_counts_on_a_logarithmic_scale_grows_exponentially(inverted: bool) -> None:
    clean = anatomy()
    sign = -1 if inverted else 1
    true = np.exp(sign * (clean - 500) / 500 + 3)
    noisy = clean + true * white(clean.shape)
    estimate = estimate_noise(noisy, modality="DX")
    assert estimate.variance is not None and estimate.variance.exponential
    assert sign * estimate.variance.slope == pytest.approx(1 / 250, rel=0.15)
    ratio = sigma_map(estimate, noisy[0])[4:-4, 4:-4] / true[0, 4:-4, 4:-4]
    assert np.quantile(ratio, 0.05) > 0.8 and np.quantile(ratio, 0.95) < 1.25


def test_a_dependence_keeps_its_values_in_other_units_and_levels() -> None:
    values = np.linspace(100, 900, 50)
    for law in (SignalVariance(2.0, 30.0), SignalVariance(0.004, 3.0, exponential=True)):
        scaled = law.in_units(0.25, 100.0)
        assert scaled.at((values - 100) / 4) == pytest.approx(law.at(values) / 16)
        assert law.times(9.0).at(values) == pytest.approx(9 * law.at(values))
        line = law.nearest_line(values)
        assert not line.exponential
        assert np.mean(line.at(values)) == pytest.approx(np.mean(law.at(values)), rel=0.05)
    assert SignalVariance(2.0, 30.0).nearest_line(np.full(9, 5.0)) == SignalVariance(0.0, 40.0)


def test_sigma_map_follows_the_signal() -> None:
    clean = anatomy()
    true = np.sqrt(4.0 * clean[0] + 100.0)
    noisy = clean + true * white(clean.shape)
    local = sigma_map(estimate_noise(noisy, modality="XA"), noisy[0])
    body = clean[0] > 100
    assert np.abs(local / true - 1)[body].mean() < 0.1
    assert np.abs(local / true - 1)[~body].mean() < 0.25


def test_ct_noise_that_is_stronger_in_the_middle_comes_back_as_a_field() -> None:
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    true = 30 * (1 + 1.5 * np.exp(-(y**2 + x**2) / 0.4)).astype(np.float32)
    noisy = anatomy(512) + true * white((1, 512, 512))
    estimate = estimate_noise(noisy, modality="CT")
    assert estimate.sigma == pytest.approx(float(np.sqrt((true**2).mean())), rel=0.1)
    assert estimate.field is not None
    assert np.median(np.abs(sigma_map(estimate, noisy[0]) / true - 1)) < 0.1


@pytest.mark.parametrize("sigma", [15.0, 30.0, 100.0])
def test_rician_noise_is_read_from_the_empty_background(sigma: float) -> None:
    clean = anatomy()
    real, imaginary = sigma * white((2, *clean.shape))
    estimate = estimate_noise(np.hypot(clean + real, imaginary), modality="MR")
    assert estimate.model == "rician"
    assert estimate.sigma == pytest.approx(sigma, rel=0.05)
    assert estimate.bands == pytest.approx((1, 1, 1, 1), rel=0.3)


@pytest.mark.parametrize("coils", [2, 4, 8])
def test_noise_of_several_coils_is_that_of_the_places_with_signal(coils: int) -> None:
    clean, sigma = anatomy(), 25.0
    parts = sigma * white((2 * coils, *clean.shape))
    parts[:coils] += clean / np.sqrt(coils)
    estimate = estimate_noise(np.sqrt((parts**2).sum(axis=0)), modality="MR")
    assert estimate.model == "gaussian"
    assert estimate.coils == pytest.approx(sigma, rel=0.05)


def test_a_dark_background_with_normal_noise_is_none_of_coils() -> None:
    clean = 100 + anatomy()  # mean over standard deviation of its dark parts as those of four coils
    assert estimate_noise(clean + 25 * white(clean.shape), modality="MR").coils is None


@pytest.mark.parametrize("modality", ["CT", "DX"])
def test_noise_of_another_modality_is_never_taken_for_rician(modality: str) -> None:
    clean = anatomy()
    real, imaginary = 30 * white((2, *clean.shape))
    assert estimate_noise(np.hypot(clean + real, imaginary), modality=modality).model == "gaussian"


def test_values_below_zero_are_no_magnitudes_whatever_the_background_looks_like() -> None:
    sigma = 25.0
    clean = 1.91 * sigma + anatomy()  # mean and standard deviation of the dark parts as those of a magnitude
    noisy = clean + sigma * white(clean.shape)
    for modality in ("MR", ""):
        estimate = estimate_noise(noisy, modality=modality)
        assert estimate.model == "gaussian"
        assert estimate.sigma == pytest.approx(sigma, rel=0.1)


def test_texture_is_not_taken_for_noise() -> None:
    clean = textured()
    detail = float((clean - gaussian_filter(clean, (0, 2, 2)))[clean > 250].std())
    assert estimate_noise(clean, modality="MR").sigma < 0.5 * detail


def test_noise_on_textured_anatomy_is_not_far_overestimated() -> None:
    clean = textured()
    estimate = estimate_noise(clean + 8 * white(clean.shape), modality="MR")
    assert 0.9 * 8 < estimate.sigma < 1.3 * 8


def test_clean_anatomy_has_next_to_no_noise() -> None:
    assert estimate_noise(anatomy()).sigma < 0.5


def test_clean_steps_have_no_noise() -> None:
    y, x = np.mgrid[:256, :256]
    steps = (100 * ((x // 64 + y // 64) % 4)).astype(np.float32)[None]
    assert estimate_noise(steps).sigma == 0


@pytest.mark.parametrize("value", [0.0, 7.0, -1024.0])
def test_constant_image_has_no_noise(value: float) -> None:
    assert estimate_noise(np.full((1, 64, 64), value, np.float32)) == NoiseEstimate(0.0)


def test_rounding_is_the_only_noise_of_a_rounded_image() -> None:
    ramp = np.linspace(0, 90, 256, dtype=np.float32)[None, :, None] + np.linspace(
        0, 37, 256, dtype=np.float32
    )
    assert estimate_noise(np.rint(ramp)).sigma < 1.2 / np.sqrt(12)


@pytest.mark.parametrize("fill", [-2000.0, 0.0, 3000.0])
def test_constant_surroundings_do_not_lower_the_estimate(fill: float) -> None:
    noisy = anatomy() + 500 + 40 * white((1, 256, 256))
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    noisy[0][x**2 + y**2 > 0.7] = fill
    assert estimate_noise(noisy).sigma == pytest.approx(40, rel=0.1)


def test_two_constant_surroundings_do_not_lower_the_estimate() -> None:
    noisy = anatomy() + 40 * white((1, 256, 256))
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    noisy[0][x**2 + y**2 > 0.6] = -1024
    noisy[0][x**2 + y**2 > 1.0] = -2000
    assert estimate_noise(noisy, modality="CT").sigma == pytest.approx(40, rel=0.1)


def test_clipped_noise_does_not_lower_the_estimate() -> None:
    noisy = np.clip(anatomy() + 60 * white((1, 256, 256)), 0, 700)
    assert estimate_noise(noisy, modality="DX").sigma == pytest.approx(60, rel=0.15)


def test_padding_is_left_out() -> None:
    planes = anatomy() + 40 * white((1, 256, 256))
    valid = np.ones(planes.shape, bool)
    planes[0, :, 128:] = -3000 + 400 * white((256, 128))
    valid[0, :, 128:] = False
    assert estimate_noise(planes, valid=valid).sigma == pytest.approx(40, rel=0.1)


def test_interpolated_noise_keeps_its_level_and_shows_no_finest_band() -> None:
    noisy = zoom(anatomy(128)[0] + 40 * white((128, 128)), 2, order=3)[None]
    noise = zoom(40 * white((128, 128)), 2, order=3)
    estimate = estimate_noise(noisy.astype(np.float32))
    assert estimate.sigma == pytest.approx(float(noise.std()), rel=0.2)
    assert estimate.bands[3] < 0.5 < 1.5 < estimate.bands[0]


def test_a_volume_gives_the_middle_level_of_its_planes() -> None:
    planes = np.concatenate([anatomy(128, seed) for seed in range(20)])
    noisy = planes + 40 * white(planes.shape)
    assert estimate_noise(noisy, modality="MR").sigma == pytest.approx(40, rel=0.1)


def test_cine_noise_comes_from_differences_even_over_strong_texture() -> None:
    scene = textured(128) + 60 * white((1, 128, 128), seed=3)
    frames = np.repeat(scene, 12, axis=0)
    for t in range(12):
        frames[t, 30:50, 20 + 4 * t : 40 + 4 * t] += 300
    noisy = frames + 15 * white(frames.shape)
    timed = estimate_cine(noisy)
    assert timed.sigma == pytest.approx(15, rel=0.1)
    assert estimate_noise(noisy, modality="XA").sigma > 30


def test_cine_filtered_in_time_is_not_underestimated() -> None:
    noise = 20 * white((16, 128, 128))
    for t in range(1, 16):
        noise[t] = 0.6 * noise[t] + 0.4 * noise[t - 1]
    estimate = estimate_cine(anatomy(128) + noise, "RF")
    assert estimate.sigma == pytest.approx(float(noise[8:].std()), rel=0.1)


def test_frames_that_repeat_one_noise_are_judged_in_space() -> None:
    frames = np.repeat(anatomy() + 40 * white((1, 256, 256)), 6, axis=0)
    assert estimate_cine(frames).sigma == pytest.approx(40, rel=0.1)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3), modality=st.sampled_from(["CT", "XA", ""]))
def test_estimate_scales_with_the_image_and_ignores_an_offset(
    scale: float, shift: float, modality: str
) -> None:
    planes = anatomy(128) + 60 * white((1, 128, 128))
    first = estimate_noise(planes, modality=modality)
    other = estimate_noise((scale * (planes + shift)).astype(np.float32), modality=modality)
    assert other.sigma == pytest.approx(scale * first.sigma, rel=0.01)
    assert other.bands == pytest.approx(first.bands, rel=0.02)


@pytest.mark.parametrize("shape", [(0, 8, 8), (1, 1, 1), (1, 1, 300), (2, 3, 3), (1, 15, 200), (1, 16, 16)])
@pytest.mark.parametrize("timed", [False, True])
def test_small_planes_are_no_failure(shape: tuple[int, ...], timed: bool) -> None:
    estimate = estimate_planes(Scene.of(white(shape)), Reading("MR", timed=timed))
    assert len(estimate) == shape[0] and 0 <= estimate.sigma < 2
    if shape[0]:
        assert sigma_map(estimate.plane(0), white(shape)[0]).shape == shape[1:]


@pytest.mark.parametrize("size", [10, 16, 24, 48, 64])
def test_small_planes_of_noise_are_measured(size: int) -> None:
    assert estimate_noise(5 * white((6, size, size))).sigma == pytest.approx(5, rel=0.25)


@pytest.mark.parametrize("size", [8, 32, 128])
def test_planes_without_a_valid_pixel_have_no_noise(size: int) -> None:
    planes = white((2, size, size))
    for timed in (False, True):
        scene = Scene.of(planes, np.zeros(planes.shape, bool))
        assert estimate_planes(scene, Reading(timed=timed)).planes == (NoiseEstimate(0.0),) * 2


def test_not_a_number_is_left_out() -> None:
    planes = anatomy() + 40 * white((1, 256, 256))
    planes[0, 60:120, 60:120] = np.nan
    assert estimate_noise(planes).sigma == pytest.approx(40, rel=0.1)


def test_the_same_input_gives_the_same_estimate_and_stays_untouched() -> None:
    planes = anatomy() + 40 * white((1, 256, 256))
    before = planes.copy()
    assert estimate_noise(planes) == estimate_noise(planes)
    assert np.array_equal(planes, before)


@pytest.mark.parametrize("kind", ["flat", "variance", "field"])
def test_sigma_map_has_the_estimated_level(kind: Literal["flat", "variance", "field"]) -> None:
    field = np.linspace(0.5, 1.5, 64, dtype=np.float32).reshape(8, 8) if kind == "field" else None
    estimate = NoiseEstimate(
        12.0, variance=SignalVariance(2.0, 5.0) if kind == "variance" else None, field=field
    )
    local = sigma_map(estimate, anatomy(128)[0])
    assert local.shape == (128, 128) and local.dtype == np.float32
    assert np.sqrt(np.mean(local**2)) == pytest.approx(12, rel=1e-4)
    assert (local.std() == 0) == (kind == "flat")


def test_sigma_map_of_no_noise_is_zero() -> None:
    assert not sigma_map(NoiseEstimate(0.0), anatomy(64)[0]).any()


@pytest.mark.parametrize("size", [16, 32])
def test_ring_powers_of_white_noise_are_its_variance(size: int) -> None:
    blocks = measure_blocks(3 * white((512, 512)), np.ones((512, 512), bool), size)
    assert blocks.power.mean(axis=0)[1:] == pytest.approx(9, rel=0.05)
    assert ring_floors(blocks)[1:] == pytest.approx(9, rel=0.15)
    assert len(ring_areas()) == len(RING_EDGES) - 1
    assert ring_areas().sum() == pytest.approx(1)


def test_a_noisy_extreme_value_is_usable_but_a_saturated_area_is_not() -> None:
    plane = white((64, 64))
    assert usable_pixels(plane, np.ones(plane.shape, bool)).all()
    plane[:20] = plane.max() + 1
    usable = usable_pixels(plane, np.ones(plane.shape, bool))
    assert not usable[:20].any() and usable[20:].all()


def test_what_is_the_same_for_every_plane_is_computed_once_and_cannot_be_changed() -> None:
    assert ring_areas() is ring_areas()
    with pytest.raises(ValueError, match="read-only"):
        ring_areas()[0] = 1

"""One series through the whole way: identity, bias, holes, blending, memory, and what the result tells."""

import json
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from meddenoise.choice import Choice
from meddenoise.errors import MeddenoiseError, UnsupportedError, UsageError
from meddenoise.level import estimate_series
from meddenoise.options import Options, check_options
from meddenoise.pipeline import denoise_series, subtract
from meddenoise.series import Geometry, Series

SIGMA = 20.0
Y, X = np.indices((96, 96))
TRUTH = 200 * np.sin(X / 17) * np.cos(Y / 23)
"""In HU."""


def make_series(count=3, dtype=np.int16, sigma=SIGMA, **more):
    """Smooth planes with white noise, stored like CT."""
    rng = np.random.default_rng(1)
    stored = TRUTH + 1024 + rng.normal(0, 1, (count, *TRUTH.shape)) * sigma
    is_integer = np.dtype(dtype).kind in "iu"
    limits = np.iinfo(dtype) if is_integer else np.finfo(dtype)
    series = Series(
        pixels=(np.rint(stored) if is_integer else stored).astype(dtype),
        slope=np.ones(count),
        intercept=np.full(count, -1024.0),
        stored_range=(float(limits.min), float(limits.max)),
        geometry=Geometry(),
        format="dicom",
        path=Path("in.dcm"),
        files=(Path("in.dcm"),),
        modality="CT",
        unit="HU",
    )
    return replace(series, **more)


def rmse(series):
    return float(np.sqrt(np.mean((series.values(0, len(series)) - TRUTH) ** 2)))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_noise_goes_and_the_image_stays(dtype):
    series = make_series(dtype=dtype)
    result = denoise_series(series, Options(method="nlm", device="cpu"))
    assert result.series.pixels.dtype == dtype
    assert result.series.pixels.shape == series.pixels.shape
    assert rmse(result.series) < 0.6 * rmse(series)
    change = result.series.values(0, 3) - series.values(0, 3)
    assert abs(change.mean()) < 0.5
    assert result.noise.sigma == pytest.approx(SIGMA, rel=0.15)
    assert result.sigma_after < 0.6 * SIGMA
    assert result.warnings == ()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_strength_0_gives_the_input_back_bit_by_bit(dtype):
    series = make_series(dtype=dtype)
    result = denoise_series(series, Options(method="nlm", strength=0))
    assert result.series.pixels.tobytes() == series.pixels.tobytes()


def test_strength_blends_between_input_and_result():
    series = make_series(dtype=np.float32)
    full = denoise_series(series, Options(method="gaussian")).series.pixels
    half = denoise_series(series, Options(method="gaussian", strength=0.5)).series.pixels
    np.testing.assert_allclose(half, (full + series.pixels) / 2, atol=1e-3)


@pytest.mark.parametrize(("sigma", "told"), [(0, None), (SIGMA, 0.0), (SIGMA, 0.2)])
def test_without_noise_above_rounding_the_pixels_are_left_alone_and_that_is_said(sigma, told):
    series = make_series(sigma=sigma)
    series = series if sigma else replace(series, pixels=np.full_like(series.pixels, 1024))
    result = denoise_series(series, Options(method="nlm", sigma=told))
    assert result.series.pixels.tobytes() == series.pixels.tobytes()
    assert "no noise to remove" in result.warnings[0]


def test_a_told_sigma_is_used_instead_of_the_estimate():
    series = make_series()
    weak = denoise_series(series, Options(method="nlm", sigma=2.0))
    assert weak.noise.sigma == 2.0
    change = weak.series.values(0, 3) - series.values(0, 3)
    assert change.std() < 5


def test_padding_and_nan_stay_and_do_not_leak_into_their_neighbours():
    series = make_series(dtype=np.float32)
    holes = series.pixels.copy()
    holes[:, :30, :30] = -30000
    holes[:, 60, 60] = np.nan
    clean = denoise_series(
        replace(series, pixels=holes, padding=(-30000.0, -30000.0)), Options(method="nlm", sigma=SIGMA)
    ).series
    assert (clean.pixels[:, :30, :30] == -30000).all()
    assert np.isnan(clean.pixels[:, 60, 60]).all()
    valid = clean.valid(0, 3)
    error = (clean.values(0, 3) - TRUTH)[valid]
    assert np.isfinite(error).all()
    assert np.abs(error).max() < 5 * SIGMA


def test_planes_without_a_single_valid_pixel_come_back_unchanged():
    series = make_series(padding=(-2000.0, -2000.0))
    series.pixels[1] = -2000
    result = denoise_series(series, Options(method="gaussian", sigma=SIGMA))
    assert (result.series.pixels[1] == -2000).all()
    assert (result.series.pixels[0] != series.pixels[0]).any()


@pytest.mark.parametrize("factor", [1e36, 1e300])
def test_values_beyond_single_precision_are_refused_in_a_sentence(factor):
    series = make_series(dtype=np.float64)
    series = replace(series, pixels=series.pixels * factor)
    with pytest.raises(UnsupportedError, match=r"in\.dcm holds values of .*: rescale it to below 1e\+15"):
        denoise_series(series, Options(method="gaussian"))


def test_one_plane_of_one_pixel_survives():
    series = replace(make_series(1), pixels=np.array([[[7]]], np.int16))
    assert denoise_series(series, Options(method="nlm", sigma=5.0)).series.pixels.item() == 7


@dataclass(frozen=True)
class Neighbours:
    """Gives the mean of the planes it sees: the result shows which they were."""

    context: int = 1
    name: str = "neighbours"
    uses_weights: bool = False
    tile: int | None = None

    def load(self, setup):
        return self

    def __call__(self, noisy, sigma):
        return noisy.mean(dim=1, keepdim=True)


def use_method(monkeypatch, method):
    monkeypatch.setattr("meddenoise.pipeline.choose", lambda *names: Choice(method))


def test_context_is_the_neighbouring_planes_and_the_last_one_repeats_at_the_ends(monkeypatch):
    use_method(monkeypatch, Neighbours())
    series = make_series(7, np.float32)
    result = denoise_series(series, Options(sigma=1.0)).series.pixels
    padded = np.concatenate([series.pixels[:1], series.pixels, series.pixels[-1:]])
    expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    np.testing.assert_allclose(result, expected, atol=1e-2)


def test_context_stays_within_a_colour_channel(monkeypatch):
    use_method(monkeypatch, Neighbours())
    series = make_series(9, np.float32, channels=3)
    series.pixels[:] = np.array([100, 200, 300] * 3, np.float32)[:, None, None]
    result = denoise_series(series, Options(sigma=1.0)).series.pixels
    np.testing.assert_allclose(result, series.pixels, atol=1e-2)


class Broken(Neighbours):
    def __call__(self, noisy, sigma):
        return noisy[:, :1] * float("nan")


def test_a_method_that_gives_no_numbers_is_an_error_and_never_an_image(monkeypatch):
    use_method(monkeypatch, Broken(context=0))
    with pytest.raises(MeddenoiseError, match=r"in\.dcm: the method gave values that are no numbers"):
        denoise_series(make_series(), Options(sigma=5.0))


def test_the_residual_is_input_minus_result_in_physical_units():
    series = make_series()
    result = denoise_series(series, Options(method="gaussian")).series
    residual = subtract(series, result)
    assert residual.pixels.dtype == np.float32
    np.testing.assert_allclose(residual.values(0, 3), series.values(0, 3) - result.values(0, 3), atol=1e-3)
    assert abs(residual.pixels.mean()) < 1


def test_the_derivation_tells_all_that_makes_the_pixels_and_not_where_it_ran():
    series = make_series(1)
    first = denoise_series(series, Options(method="nlm", device="cpu", precision="fp32")).series.derivation
    same = denoise_series(series, Options(method="nlm", device="auto", precision="fp32")).series.derivation
    other = denoise_series(series, Options(method="nlm", strength=0.9, precision="fp32")).series.derivation
    assert first == same
    assert first.settings != other.settings
    settings = json.loads(first.settings)
    assert settings["method"] == "nlm"
    assert settings["sigma"] == pytest.approx(SIGMA, rel=0.15)
    assert "meddenoise" in first.description


def test_filters_without_weights_run_on_the_cpu_in_full_precision_unless_told_otherwise():
    result = denoise_series(make_series(1), Options(method="gaussian"))
    assert (str(result.device), result.device.precision) == ("cpu", "fp32")
    told = denoise_series(make_series(1), Options(method="gaussian", precision="bf16"))
    assert told.device.precision == "bf16"


def test_ticks_count_every_plane_once_and_can_stop_the_run():
    ticks = []
    denoise_series(make_series(5), Options(method="gaussian"), ticks.append)
    assert sum(ticks) == 5

    def stop(planes):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise_series(make_series(5), Options(method="gaussian"), stop)


def test_memory_stays_below_three_times_the_native_size_plus_a_constant(monkeypatch):
    use_method(monkeypatch, Neighbours(context=0))
    peaks = []
    for count in (40, 400):
        series = make_series(count)
        tracemalloc.start()
        denoise_series(series, Options(sigma=5.0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    growth = (peaks[1] - peaks[0]) / (360 * series.pixels[0].nbytes)
    # The input itself is not in the count: two more copies are allowed.
    assert growth < 2


def test_frames_of_a_cine_are_estimated_from_consecutive_frames():
    still = make_series(12)
    assert estimate_series(replace(still, frame_time_ms=40.0)).sigma == pytest.approx(SIGMA, rel=0.2)
    assert estimate_series(still).sigma == pytest.approx(SIGMA, rel=0.2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sigma": -1.0}, "--sigma"),
        ({"sigma": float("nan")}, "--sigma"),
        ({"strength": 1.5}, "--strength"),
        ({"tile": 4}, "--tile"),
        ({"tile": 64, "overlap": 64}, "--overlap"),
        ({"batch_size": 0}, "--batch-size"),
        ({"seed": -1}, "--seed"),
        ({"mode": "quick"}, "--mode"),
        ({"device": "tpu"}, "--device is 'tpu'"),
        ({"device": "cuda:x"}, "--device"),
        ({"precision": "fp16"}, "--precision is 'fp16'"),
        ({"method": "nlm", "steps": 5}, "--steps needs a method with a sampler, and 'nlm'"),
        ({"method": "nlm", "samples": 2}, "--samples needs a method with a sampler"),
        ({"method": "nlm", "mode": "diffusion"}, "--mode diffusion needs a method with a sampler"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_sentence(wrong, words):
    with pytest.raises(UsageError, match=words):
        check_options(Options(**wrong))


def test_uncertainty_needs_a_sampler_and_one_pass_is_what_distilled_means():
    with pytest.raises(UsageError, match="--uncertainty needs a method with a sampler"):
        check_options(Options(method="nlm", uncertainty=True))
    check_options(Options(method="nlm", mode="distilled"))

"""One series through the whole way: identity, bias, holes, blending, memory, and what the result tells."""

import json
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from meddenoise.engine.level import estimate_series
from meddenoise.engine.planes import subtract
from meddenoise.errors import MeddenoiseError, UnsupportedError, UsageError
from meddenoise.methods import METHODS
from meddenoise.methods.choice import Choice
from meddenoise.noise.models import RicianNoise
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, to_series
from meddenoise.pipeline.denoise import choose_for, denoise_series
from meddenoise.pipeline.options import Options, check_options, choose_sampling
from meddenoise.series import Geometry, Series
from meddenoise.trust.selfcheck import MEASURES
from tests.drawing import ROW, Draws

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
    assert result.removal.before == pytest.approx(SIGMA, rel=0.1)
    assert result.removal.after < 0.6 * SIGMA
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
    monkeypatch.setattr("meddenoise.pipeline.denoise.choose", lambda *names: Choice(method))


def test_context_is_the_neighbouring_frames_and_the_last_one_repeats_at_the_ends(monkeypatch):
    use_method(monkeypatch, Neighbours())
    series = make_series(7, np.float32, frame_time_ms=0.0)
    done = denoise_series(series, Options(sigma=1.0))
    result = done.series.pixels
    assert not any("cine" in text for text in done.warnings)
    padded = np.concatenate([series.pixels[:1], series.pixels, series.pixels[-1:]])
    expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    np.testing.assert_allclose(result, expected, atol=1e-2)


@pytest.mark.parametrize(("planes", "frame_time_ms"), [(7, None), (1, 66.7)])
def test_slices_and_single_frames_are_their_own_context_and_a_warning_says_so(
    monkeypatch, planes, frame_time_ms
):
    use_method(monkeypatch, Neighbours())
    series = make_series(planes, np.float32, frame_time_ms=frame_time_ms)
    done = denoise_series(series, Options(sigma=1.0))
    np.testing.assert_allclose(done.series.pixels, series.pixels, atol=1e-2)
    assert [text for text in done.warnings if "neighbours works on each by itself" in text]


def test_context_stays_within_a_colour_channel(monkeypatch):
    use_method(monkeypatch, Neighbours())
    series = make_series(9, np.float32, channels=3, frame_time_ms=40.0)
    series.pixels[:] = np.array([100, 200, 300] * 3, np.float32)[:, None, None]
    result = denoise_series(series, Options(sigma=1.0)).series.pixels
    np.testing.assert_allclose(result, series.pixels, atol=1e-2)


class Broken(Neighbours):
    def __call__(self, noisy, sigma):
        return noisy[:, :1] * float("nan")


def test_a_method_that_gives_no_numbers_is_an_error_and_never_an_image(monkeypatch):
    use_method(monkeypatch, Broken(context=0))
    with pytest.raises(MeddenoiseError, match=r"in\.dcm: the method returned values that are not numbers"):
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


@pytest.mark.parametrize(
    ("device", "reason"), [("auto", "filters run on the CPU"), ("cpu", "as --device says")]
)
def test_the_reason_for_the_device_is_what_was_asked_for(device, reason):
    _, chosen = choose_for(make_series(), Options(method="nlm", device=device))
    assert (str(chosen), chosen.precision, chosen.reason) == ("cpu", "fp32", reason)


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


def test_frames_of_a_cine_are_estimated_as_planes_are():
    still = make_series(12)
    assert estimate_series(replace(still, frame_time_ms=40.0)).sigma == pytest.approx(SIGMA, rel=0.2)
    assert estimate_series(still).sigma == pytest.approx(SIGMA, rel=0.2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sigma": -1.0}, "--sigma"),
        ({"sigma": float("nan")}, "--sigma"),
        ({"strength": 2.5}, "--strength"),
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
        ({"method": "nlm", "uncertainty": True}, "--uncertainty needs a method with a sampler"),
        ({"method": "nlm", "tile": 128}, "--tile needs a method with a network, and 'nlm' fits"),
        ({"method": "median", "overlap": 32}, "--overlap needs a method with a network"),
        ({"method": "nlm", "fusion": False}, "--no-fusion needs a method with a blind-spot network"),
        ({"mode": "distilled", "steps": 5}, "--steps needs the sampler, and --mode distilled is one pass"),
        ({"mode": "distilled", "samples": 2}, "--samples needs the sampler"),
        ({"quality": "good"}, "--quality is 'good': give fast, standard or best"),
        ({"quality": "best", "steps": 5}, "--quality best is for one pass, --steps for the sampler"),
        ({"quality": "fast", "weights": "direct"}, "--quality fast has its own checkpoint"),
        ({"quality": "fast", "method": "befoi"}, "--quality fast is a smaller network of 'direct'"),
        (
            {"quality": "best", "method": "nlm"},
            "--quality best needs a network of one pass, and 'nlm' has none",
        ),
        ({"mode": "distilled", "samples": 2}, "--samples needs the sampler"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_sentence(wrong, words):
    with pytest.raises(UsageError, match=words):
        check_options(Options(**wrong))


def test_distilled_means_one_pass_and_fits_every_method():
    check_options(Options(method="nlm", mode="distilled"))


@pytest.fixture
def drawing(monkeypatch):
    """The method of `drawing.py` in the table."""
    monkeypatch.setitem(METHODS, "drawing", ROW)
    return "drawing"


@pytest.mark.parametrize("asked", [{"mode": "diffusion"}, {"steps": 3}, {"samples": 2}])
def test_what_only_a_sampler_can_do_selects_it(drawing, asked):
    options = Options(method=drawing, **asked)
    check_options(options)
    assert choose_sampling(options).mode == "diffusion"
    result = denoise_series(make_series(1), options)
    assert result.mode == "diffusion" and result.uncertainty is None


@pytest.mark.parametrize("mode", [None, "distilled"])
def test_the_uncertainty_leaves_the_image_as_it_is(drawing, mode):
    plain = denoise_series(make_series(2), Options(method=drawing, mode=mode))
    result = denoise_series(make_series(2), Options(method=drawing, mode=mode, uncertainty=True))
    assert result.mode == plain.mode == "distilled"
    assert result.series.pixels.tobytes() == plain.series.pixels.tobytes()
    assert result.uncertainty.pixels.min() > 0


def test_the_sampling_asked_for_reaches_the_method(monkeypatch):
    setups = []

    class Listening(Neighbours):
        def load(self, setup):
            setups.append(setup)
            return self

    use_method(monkeypatch, Listening(context=0))
    denoise_series(make_series(1), Options(sigma=5.0))
    denoise_series(make_series(1), Options(sigma=5.0, mode="diffusion", steps=7, samples=3, fusion=False))
    first, second = (setup.sampling for setup in setups)
    assert (first.mode, first.steps, first.samples, first.fusion) == (None, None, 1, True)
    assert (second.mode, second.steps, second.samples, second.fusion) == ("diffusion", 7, 3, False)


def test_the_mode_is_told_as_it_ran_and_only_where_there_are_two(drawing):
    assert denoise_series(make_series(1), Options(method=drawing)).mode == "distilled"
    assert denoise_series(make_series(1), Options(method="gaussian", mode="distilled")).mode is None


def test_auto_is_asked_again_once_it_stands_for_a_method(monkeypatch):
    with pytest.raises(UsageError, match="--steps needs a method with a sampler, and 'direct' works in one"):
        denoise_series(make_series(1), Options(steps=3))
    monkeypatch.setitem(METHODS, "direct", replace(METHODS["direct"], sampler=True, fusion=True))
    assert denoise_series(make_series(1), Options(steps=3, fusion=False)).mode == "distilled"


def test_a_retreat_of_the_sampler_is_told_too(drawing, monkeypatch):
    draw, asked = Draws.sample, []

    def short_of_memory_at_first(self, noisy, sigma, noise):
        asked.append(len(noisy))
        if len(asked) == 1:
            raise MemoryError
        return draw(self, noisy, sigma, noise)

    monkeypatch.setattr(Draws, "sample", short_of_memory_at_first)
    options = Options(method=drawing, uncertainty=True, batch_size=2, device="cpu")
    assert any("memory" in warning for warning in denoise_series(make_series(2), options).warnings)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_uncertainty_is_a_map_in_the_unit_of_the_series(drawing, dtype):
    series = make_series(2, dtype, slope=np.full(2, 0.5), padding=(-2000.0, -2000.0))
    series.pixels[0, :20] = -2000
    result = denoise_series(series, Options(method=drawing, uncertainty=True, sigma=8.0))
    spread = result.uncertainty
    assert spread.pixels.dtype == np.float32
    assert spread.unit == "HU"
    assert spread.geometry == series.geometry
    assert (spread.pixels >= 0).all()
    assert (spread.pixels[0, :20] == 0).all()
    # two draws of variance 4 have a spread of 4, and a mean of variance 2 about the image
    assert np.sqrt(np.square(spread.values(1, 2)).mean()) == pytest.approx(np.sqrt(4 + 2), rel=0.03)
    half = denoise_series(series, Options(method=drawing, uncertainty=True, sigma=8.0, strength=0.5))
    np.testing.assert_allclose(half.uncertainty.pixels, spread.pixels / 2, rtol=1e-6)


@pytest.mark.parametrize("left", [{"strength": 0.0}, {"sigma": 0.0}])
def test_where_nothing_is_changed_nothing_is_uncertain_and_nothing_measured(drawing, left):
    series = make_series(2)
    result = denoise_series(series, Options(method=drawing, uncertainty=True, **left))
    assert result.series.pixels.tobytes() == series.pixels.tobytes()
    assert not result.uncertainty.pixels.any()
    assert result.checks == dict.fromkeys(MEASURES)
    assert result.warnings[-1] == "nothing was removed: leak, residual and risk are not measured."


def test_a_method_without_a_spread_refuses_to_make_one_up(monkeypatch):
    use_method(monkeypatch, Neighbours(context=0))
    with pytest.raises(UsageError, match="--uncertainty needs a sampler with enough steps"):
        denoise_series(make_series(1), Options(sigma=5.0, uncertainty=True))


def test_the_draws_follow_the_seed_and_not_the_batches(drawing):
    options = Options(method=drawing, mode="diffusion", uncertainty=True, seed=3, tile=48, overlap=16)
    first = denoise_series(make_series(3, np.float32), options)
    batched = denoise_series(make_series(3, np.float32), replace(options, batch_size=5))
    other = denoise_series(make_series(3, np.float32), replace(options, seed=4))
    assert first.series.pixels.tobytes() == batched.series.pixels.tobytes()
    assert first.uncertainty.pixels.tobytes() == batched.uncertainty.pixels.tobytes()
    assert np.abs(first.series.pixels - other.series.pixels).mean() > 1


def test_a_self_supervised_method_is_measured_without_a_reference_and_others_are_not(drawing):
    for options in (Options(method=drawing), Options(method=drawing, mode="diffusion")):
        result = denoise_series(make_series(3), options)
        assert tuple(result.checks) == MEASURES
        assert result.checks["leak"] == pytest.approx(0, abs=0.03)
        assert result.checks["residual_std_ratio"] == pytest.approx(1.06, abs=0.2)
        assert 0 < result.checks["sure"] < SIGMA**2 / 2
    assert result.warnings == ()
    assert denoise_series(make_series(1), Options(method="gaussian")).checks == {}


def test_an_inverted_image_is_measured_as_the_upright_one(drawing):
    upright = make_series(1, np.float32)
    values = upright.pixels + upright.intercept[:, None, None]
    turned = replace(
        upright, pixels=-values.astype(np.float32), intercept=np.zeros(1), inverted=True, modality="DX"
    )
    first, second = (
        denoise_series(series, Options(method=drawing, sigma=SIGMA)).checks
        for series in (replace(upright, modality="DX"), turned)
    )
    assert first == pytest.approx(second, rel=1e-3, abs=1e-4)


LOUD = np.array([4.0, 1.5, *[1.0] * 6])
"""Noise of the frames of a run, relative to the settled ones."""


def loud_first():
    """A cine whose first frames are the noisiest, as of machines that average over time."""
    run = make_series(len(LOUD), frame_time_ms=66.0)
    noise = run.values(0, len(run)) - TRUTH.astype(np.float32)
    pixels = np.rint(TRUTH + 1024 + LOUD[:, None, None] * noise).astype(np.int16)
    return replace(run, pixels=pixels)


@pytest.mark.parametrize("method", ["nlm", "wavelet", "direct"])
def test_a_loud_first_frame_is_denoised_by_its_own_level(method):
    run = loud_first()
    result = denoise_series(run, Options(method=method, device="cpu"))
    levels = [plane.sigma for plane in result.noise.planes]
    assert levels == pytest.approx((SIGMA * LOUD).tolist(), rel=0.15)
    kept = [rms(result.series, n) / rms(run, n) for n in range(len(run))]
    assert kept[0] < 0.45 and max(kept) < 0.6
    described = json.loads(result.series.derivation.settings)
    assert described["sigma"] == result.noise.sigma
    assert " to " in result.series.derivation.description


def test_one_sigma_given_is_that_of_all_planes():
    result = denoise_series(loud_first(), Options(method="gaussian", sigma=30.0))
    assert {plane.sigma for plane in result.noise.planes} == {30.0}
    assert "noise level 30," in result.series.derivation.description


@pytest.mark.parametrize("level", [20.0, 60.0])
def test_structure_is_not_shown_as_noise_whatever_level_is_given(level):
    """A small head has no flat place: what its quietest squares show is 304, three times the noise."""
    phantom, sigma = make_phantom("mr", size=128, planes=1, seed=0), 99.0
    noisy, _ = acquire(phantom, [RicianNoise(sigma)], 0)
    removal = denoise_series(
        to_series(phantom, noisy, "noisy"), Options(method="gaussian", sigma=level)
    ).removal
    assert removal is not None and (removal.before is None or removal.before < 1.3 * sigma)


def test_blank_planes_stay_as_they_are_between_others():
    series = make_series(6)
    series.pixels[[0, 3]] = 1024
    series.pixels[5] = 32767
    result = denoise_series(series, Options(method="nlm"))
    for blank in (0, 3, 5):
        assert np.array_equal(result.series.pixels[blank], series.pixels[blank])
    assert [rms(result.series, n) < 0.6 * rms(series, n) for n in (1, 2, 4)] == [True] * 3


def rms(series, index):
    return float(np.sqrt(np.mean((series.values(index, index + 1)[0] - TRUTH) ** 2)))

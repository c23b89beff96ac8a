"""The metrics shelf: against scikit-image, by their invariants, and where a number must not exist."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from meddenoise.metrics import METRICS, Protocol, UndefinedError
from meddenoise.metrics.measure import Compared, Wanted, average, measurable, measure
from meddenoise.metrics.presets import data_range
from meddenoise.metrics.reference import acutance, bias, bias_worst, mae, psnr, rmse, ssim
from meddenoise.metrics.regions import Box
from meddenoise.metrics.residual import residual_ratio, residual_structure
from meddenoise.noise import NoiseEstimate
from meddenoise.series import Geometry, Series

RANGE = Protocol(data_range=2000.0)


def pair(shape: tuple[int, ...] = (3, 40, 50), offset: float = 0.0) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(7)
    reference = rng.normal(offset, 400, shape)
    return reference + rng.normal(5, 60, shape), reference


def series(pixels: NDArray, **changes: object) -> Series:
    n = len(pixels)
    made = Series(
        pixels, np.ones(n), np.zeros(n), (-32768, 32767), Geometry(), "nifti", Path("a.nii"), (Path("a.nii"),)
    )
    return replace(made, **changes)


def test_the_worst_tissue_is_the_one_that_is_shifted_most() -> None:
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(8.0) * 100, 400).reshape(1, 40, 80) + rng.normal(0, 1, (1, 40, 80))
    x = y + np.where((y > 250) & (y < 350), -7.0, 2.0)
    assert bias_worst(x, y, RANGE) == pytest.approx(-7)
    assert bias(x, y, RANGE) == pytest.approx(2 - 9 / 8)
    # pooled, plane by plane, masked, and of a range with too few pixels
    both, clean = np.concatenate([x, y + 1]), np.concatenate([y, y])
    assert bias_worst(both, clean, replace(RANGE, scope="plane")) == pytest.approx(-3)
    assert bias_worst(both, clean, RANGE) == pytest.approx(-3)
    dark = (y < 250) | (y > 350)
    assert bias_worst(x, y, replace(RANGE, mask=dark)) == pytest.approx(2)
    few = y.copy()
    few[0, :2, :10] -= 50
    assert abs(bias_worst(few, y, RANGE)) < 5
    with pytest.raises(UndefinedError, match="no pixel"):
        bias_worst(x, y, replace(RANGE, mask=np.zeros_like(dark)))
    assert bias_worst(np.full_like(y, 3.0), np.full_like(y, 5.0), RANGE) == -2


@pytest.mark.parametrize("offset", [0.0, -1000.0, 30000.0])
def test_psnr_and_ssim_agree_with_scikit_image(offset: float) -> None:
    x, y = pair(offset=offset)
    assert psnr(x, y, RANGE) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=2000), abs=1e-6)
    expected = np.mean(
        [
            structural_similarity(
                a, b, data_range=2000, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            for a, b in zip(x, y, strict=True)
        ]
    )
    assert ssim(x, y, RANGE) == pytest.approx(expected, abs=1e-6)


def test_errors_agree_with_their_definitions() -> None:
    x, y = pair()
    assert rmse(x, y, RANGE) == pytest.approx(math.sqrt(mean_squared_error(x, y)), rel=1e-12)
    assert mae(x, y, RANGE) == pytest.approx(np.abs(x - y).mean(), rel=1e-12)
    assert bias(x, y, RANGE) == pytest.approx((x - y).mean(), rel=1e-9)


def test_float32_and_integer_images_are_computed_in_float64() -> None:
    y = np.full((1, 64, 64), 60000, np.uint16)
    x = y.copy()
    x[0, ::2] -= 3
    assert bias(x, y, RANGE) == -1.5
    assert rmse(x.astype(np.float32), y.astype(np.float32), RANGE) == pytest.approx(math.sqrt(4.5), rel=1e-12)


def test_volume_scope_pools_planes_and_plane_scope_averages_them() -> None:
    y = np.zeros((2, 16, 16))
    x = np.stack([np.full((16, 16), 1.0), np.full((16, 16), 3.0)])
    planes = replace(RANGE, scope="plane")
    assert rmse(x, y, RANGE) == pytest.approx(math.sqrt(5))
    assert rmse(x, y, planes) == pytest.approx(2.0)
    assert psnr(x, y, planes) == pytest.approx(
        np.mean([psnr(x[:1], y[:1], RANGE), psnr(x[1:], y[1:], RANGE)])
    )
    assert psnr(x, y, planes) > psnr(x, y, RANGE)


def test_a_constant_shift_changes_error_by_the_shift_only() -> None:
    _, y = pair()
    assert bias(y + 7, y, RANGE) == pytest.approx(7)
    assert mae(y + 7, y, RANGE) == pytest.approx(7)
    assert psnr(y + 7, y, RANGE) == pytest.approx(20 * math.log10(2000 / 7))


def test_masked_and_not_finite_pixels_do_not_count() -> None:
    x, y = pair()
    mask = np.zeros(x.shape, bool)
    mask[:, 8:32, 8:32] = True
    inside = replace(RANGE, mask=mask)
    spoilt = np.where(mask, x, 1e6)
    spoilt[0, 0, 0] = np.nan
    for metric in (psnr, rmse, mae, bias):
        cut = (slice(None), slice(8, 32), slice(8, 32))
        assert metric(spoilt, y, inside) == pytest.approx(metric(x[cut], y[cut], RANGE), rel=1e-12)
    assert ssim(spoilt, y, inside) < 1.0
    assert ssim(np.where(mask, y, 1e6), y, inside) == pytest.approx(1.0)
    nothing = replace(RANGE, mask=np.zeros(x.shape, bool))
    for metric in (psnr, ssim, rmse, mae, bias):
        with pytest.raises(UndefinedError):
            metric(x, y, nothing)


def test_identical_images_give_null_psnr_with_a_reason_and_perfect_others() -> None:
    _, y = pair()
    measured = measure(Compared(y, reference=y), RANGE)
    assert measured.values["psnr"] is None
    assert measured.values["ssim"] == pytest.approx(1.0, abs=1e-12)
    assert measured.values["rmse"] == measured.values["mae"] == measured.values["bias"] == 0
    assert measured.infinite == ("psnr",)
    assert [warning for warning in measured.warnings if "psnr" in warning and "identical" in warning]
    json.loads(json.dumps(measured.values, allow_nan=False))


def test_a_constant_reference_has_no_psnr_and_says_why() -> None:
    flat = series(np.full((2, 20, 20), 5, np.int16))
    size, how = data_range(flat, flat.valid(0, 2))
    assert size is None
    measured = measure(Compared(flat.values(0, 2) + 1, flat.values(0, 2)), Protocol(size, how))
    assert measured.values["psnr"] is None and measured.values["ssim"] is None
    assert measured.values["bias"] == 1.0
    reasons = {warning.partition(" ")[0]: warning for warning in measured.warnings}
    for name in ("psnr", "ssim", "ms_ssim", "gmsd", "acutance", "reblur"):
        assert "constant" in reasons[name]
    assert set(reasons) == {name for name, value in measured.values.items() if value is None}


def test_an_image_smaller_than_the_window_has_no_ssim_and_says_why() -> None:
    x, y = pair((1, 10, 50))
    measured = measure(Compared(x, reference=y), RANGE)
    assert measured.values["ssim"] is None
    assert [warning for warning in measured.warnings if warning.startswith("ssim") and "11 x 11" in warning]
    assert measured.values["psnr"] is not None


def test_metrics_without_their_image_are_absent() -> None:
    x, y = pair()
    assert list(measure(Compared(x), RANGE).values) == measurable("result") == ["reblur"]
    assert list(measure(Compared(x, noisy=y), RANGE).values) == measurable("result", "noisy")
    assert list(measure(Compared(x, y), RANGE).values) == measurable("result", "reference")
    assert list(measure(Compared(x, y, y), RANGE).values) == measurable("result", "noisy", "reference")
    pointed = replace(RANGE, rois=(Box(0, 0, 16, 16), Box(9, 9, 16, 16)), edge=Box(0, 0, 16, 16))
    everything = {name for name, row in METRICS.items() if row.needs != "method" and not row.optional}
    assert set(measure(Compared(x, y, y), pointed).values) == everything
    assert list(measure(Compared(x, y), RANGE, Wanted(["lpips", "mae"])).values) == ["mae", "lpips"]


def test_acutance_is_the_mean_slope_in_255ths_of_the_range() -> None:
    rows, columns = np.mgrid[:40, :50].astype(float)
    ramp = (3 * rows + 4 * columns)[None]
    # A slope of 5 a pixel, of a range of 2000.
    assert acutance(ramp, 0 * ramp, RANGE) == pytest.approx(5 * 255 / 2000)
    assert acutance(0 * ramp, ramp, RANGE) == 0
    x, y = pair()
    by_sobel = [np.hypot(*(ndimage.correlate1d(p, [-0.5, 0, 0.5], axis=a) for a in (0, 1))) for p in x]
    inner = np.zeros(x.shape, bool)
    inner[:, 1:-1, 1:-1] = True
    oracle = np.stack(by_sobel)[inner].mean() * 255 / 2000
    assert acutance(x, y, replace(RANGE, mask=inner)) == pytest.approx(oracle)
    assert acutance(x, y, replace(RANGE, mask=inner, scope="plane")) == pytest.approx(oracle)
    assert acutance(x, y, RANGE) > acutance(y, y, RANGE)


def test_acutance_leaves_out_what_is_next_to_a_hole_and_has_no_value_without_a_slope() -> None:
    ramp = np.broadcast_to(np.arange(20.0), (1, 20, 20)).copy()
    ramp[0, 10, 10] = np.nan
    assert acutance(ramp, ramp, RANGE) == pytest.approx(255 / 2000)
    with pytest.raises(UndefinedError, match="one pixel wide"):
        acutance(ramp[:, :1], ramp[:, :1], RANGE)
    with pytest.raises(UndefinedError, match="no pixel"):
        acutance(ramp, ramp, replace(RANGE, mask=np.zeros(ramp.shape, bool)))
    with pytest.raises(UndefinedError, match="data range"):
        acutance(ramp, ramp, Protocol())


def test_shapes_that_differ_are_refused() -> None:
    x, y = pair()
    with pytest.raises(ValueError, match="pixels"):
        measure(Compared(x, reference=y[:, :-1]), RANGE)
    with pytest.raises(ValueError, match="pixels"):
        measure(Compared(x, noisy=y[:-1]), RANGE)


def test_the_mean_counts_only_numbers_and_says_how_many() -> None:
    _, y = pair()
    measured = [measure(Compared(y + d, reference=y), RANGE) for d in (0.0, 2.0, 4.0)]
    mean = average(measured)
    expected = np.mean([20 * math.log10(2000 / d) for d in (2, 4)])
    assert mean.values["psnr"] == pytest.approx(expected)
    assert mean.values["bias"] == pytest.approx(2.0)
    assert mean.values["ms_ssim"] is None
    assert "the mean of psnr is over 2 of 3 results." in mean.warnings
    assert not [warning for warning in mean.warnings if "ms_ssim" in warning]


def test_the_data_range_follows_the_kind_of_image() -> None:
    pixels = np.arange(2 * 9, dtype=np.int16).reshape(2, 3, 3)
    valid = np.ones(pixels.shape, bool)
    assert data_range(series(pixels, modality="CT", unit="HU"), valid)[0] == 2000
    mr = series(pixels, modality="MR", slope=np.array([2.0, 2.0]))
    assert data_range(mr, valid)[0] == 34
    valid[1, 2, 2] = False
    assert data_range(mr, valid)[0] == 32
    grey = series(pixels.astype(np.uint8), stored_range=(0.0, 255.0))
    assert data_range(grey, valid)[0] == 255


def test_removing_exactly_the_noise_gives_ratio_one_and_no_structure() -> None:
    rng = np.random.default_rng(3)
    clean = np.zeros((2, 128, 128))
    clean[:, 40:90, 40:90] = 500
    noise = rng.normal(0, 20, clean.shape)
    protocol = Protocol(noise=NoiseEstimate(20.0))
    assert residual_ratio(clean, clean + noise, protocol) == pytest.approx(1.0, abs=0.02)
    assert abs(residual_structure(clean, clean + noise, protocol)) < 0.05
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(clean + noise, (0, 2, 2))
    assert residual_structure(blurred, clean + noise, protocol) > 0.4
    assert residual_ratio(blurred, clean + noise, protocol) > 1.3


def test_residual_metrics_without_noise_level_or_change_are_undefined() -> None:
    x, y = pair()
    for noise in (None, NoiseEstimate(0.0)):
        with pytest.raises(UndefinedError):
            residual_ratio(x, y, Protocol(noise=noise))
    with pytest.raises(UndefinedError):
        residual_structure(y, y, Protocol())
    with pytest.raises(UndefinedError):
        residual_structure(x[:, :1], y[:, :1], Protocol())


def test_the_protocol_names_range_unit_mask_and_scope() -> None:
    line = replace(
        RANGE, range_source="is given", unit="HU", mask_source="no padding", scope="plane"
    ).describe()
    for part in ("R is given, in HU", "no padding", "mean over planes", "Wang 2004"):
        assert part in line


def test_the_document_of_the_metrics_is_that_of_the_program() -> None:
    folder = Path(__file__).parents[2] / "docs"
    spec = importlib.util.spec_from_file_location("make_metrics", folder / "make_metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = (folder / "metrics.md").read_text(encoding="utf-8")
    assert module.tables() in told, "run python docs/make_metrics.py"

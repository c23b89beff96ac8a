"""The window of a series: what networks see as [-1, 1]."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meddenoise.normalize import CT_WINDOW, fit_window, window_of
from meddenoise.series import Geometry, Series


def series(pixels: NDArray[np.float32], **fields: object) -> Series:
    count = len(pixels)
    made = Series(
        pixels,
        np.ones(count),
        np.zeros(count),
        (-np.inf, np.inf),
        Geometry(),
        "nifti",
        Path("a"),
        (Path("a"),),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def gamma(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).gamma(2.0, 100.0, shape).astype(np.float32)


def test_ct_has_the_same_window_for_every_patient() -> None:
    for factor in (1, 3):
        assert fit_window(series(factor * gamma(2, 16, 16), modality="CT", unit="HU")) == CT_WINDOW
    assert fit_window(series(gamma(2, 16, 16), modality="CT")) != CT_WINDOW


def test_magnitudes_go_from_zero_to_the_bright_end_and_single_pixels_say_nothing() -> None:
    pixels = gamma(4, 64, 64)
    low, high = fit_window(series(pixels, modality="MR"))
    assert low == 0 and high == pytest.approx(np.percentile(pixels, 99.9), rel=1e-3)
    pixels[0, 0, :3] = (1e6, -1e6, 1e6)
    assert fit_window(series(pixels, modality="MR")) == pytest.approx((low, high), rel=0.05)


def test_one_window_for_all_planes_and_it_follows_offset_and_scale() -> None:
    pixels = gamma(3, 64, 64) * np.array([1, 2, 5], np.float32)[:, None, None] - 1000
    low, high = fit_window(series(pixels))
    assert high == pytest.approx(np.percentile(pixels, 99.9), rel=1e-3)
    assert low == pytest.approx(-1000, abs=10), "values below 0 begin at the darkest"
    assert fit_window(series(3 * pixels)) == pytest.approx((3 * low, 3 * high), rel=1e-5)
    far = fit_window(series(pixels + 9000))
    assert far == pytest.approx((low + 9000, high + 9000), rel=1e-5), "a large offset is no signal"


def test_padding_and_holes_do_not_count() -> None:
    pixels = gamma(2, 32, 32)
    expected = fit_window(series(pixels[:, :16]))
    pixels[:, 16:] = -2000
    assert fit_window(series(pixels, padding=(-2000.0, -2000.0))) == pytest.approx(expected, rel=1e-6)
    pixels[:, 16:] = np.nan
    assert fit_window(series(pixels)) == pytest.approx(expected, rel=1e-6)


def test_inverted_series_have_the_window_of_what_is_shown() -> None:
    pixels = gamma(2, 64, 64)
    assert fit_window(series(-pixels, inverted=True)) == fit_window(series(pixels))


@pytest.mark.parametrize("value", [np.nan, 0.0, -5.0, 1e6])
def test_an_image_without_contrast_has_a_window_all_the_same(value: float) -> None:
    low, high = window_of(np.full((8, 8), value, np.float32))
    assert np.isfinite([low, high]).all() and low < high


def test_a_sample_is_enough_for_a_long_series() -> None:
    pixels = np.tile(gamma(1, 512, 512), (40, 1, 1))
    high = fit_window(series(pixels))[1]
    assert high == pytest.approx(np.percentile(pixels[0], 99.9), rel=0.02)

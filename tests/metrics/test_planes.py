"""Pairs of planes, sums over them, and regions: what every metric is built from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.planes import checked_range, combine, halve, inner, mean_of_planes, paired_planes
from meddenoise.metrics.regions import Box
from meddenoise.metrics.roi import roi_cnr, roi_snr

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**16)


def test_a_pixel_counts_where_both_are_finite_and_the_mask_holds() -> None:
    x, y = np.ones((2, 3, 3), np.float32), np.zeros((2, 3, 3), np.float32)
    x[0, 0, 0], y[0, 1, 1], y[1, 2, 2] = np.nan, np.inf, -np.inf
    mask = np.ones(x.shape, bool)
    mask[1, 0] = False
    masks = [inside for *_, inside in paired_planes(x, y, Protocol(mask=mask))]
    assert [int(inside.sum()) for inside in masks] == [7, 5]
    with pytest.raises(ValueError, match=r"\[2, 3, 3\] and the other image \[1, 3, 3\]"):
        list(paired_planes(x, y[:1], Protocol()))


@quick
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 1000)), min_size=1, max_size=6))
def test_pooled_planes_weigh_by_their_pixels_and_single_ones_do_not(sums: list[tuple[float, int]]) -> None:
    pooled = combine(sums, Protocol(scope="volume"))
    assert pooled == pytest.approx(sum(s for s, _ in sums) / sum(n for _, n in sums))
    single = combine(sums, Protocol(scope="plane"))
    assert single == pytest.approx(np.mean([total / count for total, count in sums]))
    even = [(total, 7) for total, _ in sums]
    assert combine(even, Protocol()) == pytest.approx(combine(even, Protocol(scope="plane")))


def test_without_a_plane_there_is_no_value_and_the_reason_is_said() -> None:
    with pytest.raises(UndefinedError, match="no pixel is inside the mask"):
        combine([], Protocol())
    with pytest.raises(UndefinedError, match="too dark"):
        mean_of_planes([], "too dark")
    for bad in (None, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UndefinedError, match="no data range"):
            checked_range(Protocol(data_range=bad))


@quick
@given(seeds, st.integers(2, 20), st.integers(2, 20))
def test_halving_keeps_the_mean_of_the_pixels_it_takes(seed: int, height: int, width: int) -> None:
    plane = np.random.default_rng(seed).normal(size=(height, width))
    half = halve(plane)
    assert half.shape == (height // 2, width // 2)
    even = plane[: height // 2 * 2, : width // 2 * 2]
    assert half.mean() == pytest.approx(even.mean(), abs=1e-12)
    np.testing.assert_allclose(halve(plane.T), half.T)


@quick
@given(seeds, st.integers(0, 3))
def test_inside_is_what_has_all_its_neighbours(seed: int, radius: int) -> None:
    mask = np.random.default_rng(seed).random((12, 15)) > 0.1
    grown = np.pad(mask, radius)
    expected = np.lib.stride_tricks.sliding_window_view(grown, (2 * radius + 1,) * 2).all(axis=(2, 3))
    assert np.array_equal(inner(mask, radius), expected)


ROIS = Protocol(rois=(Box(0, 0, 20, 20), Box(0, 30, 20, 20)))


def flat(seed: int) -> np.ndarray:
    image = np.random.default_rng(seed).normal(100, 10, (2, 20, 50))
    image[..., 30:] += 50
    return image


@quick
@given(seeds, st.floats(0.01, 100), st.floats(-1e4, 1e4))
def test_contrast_to_noise_knows_neither_unit_nor_zero_and_signal_to_noise_no_unit(
    seed: int, scale: float, offset: float
) -> None:
    image = flat(seed)
    assert roi_cnr(scale * image + offset, image, ROIS) == pytest.approx(
        roi_cnr(image, image, ROIS), rel=1e-6
    )
    assert roi_cnr(-image, image, ROIS) == pytest.approx(roi_cnr(image, image, ROIS))
    assert roi_snr(-scale * image, image, ROIS) == pytest.approx(roi_snr(image, image, ROIS))


def test_shading_is_no_noise_once_a_plane_is_taken_out() -> None:
    shaded = flat(0) + np.linspace(0, 300, 50)
    plain = roi_snr(flat(0), flat(0), ROIS, detrended=True)
    assert roi_snr(shaded, shaded, ROIS) < 0.5 * plain
    mean = shaded[:, :, :20].mean() / flat(0)[:, :, :20].mean()
    assert roi_snr(shaded, shaded, ROIS, detrended=True) == pytest.approx(mean * plain)


def test_regions_that_are_small_constant_or_not_all_image_have_no_value() -> None:
    image = flat(0)
    with pytest.raises(UndefinedError, match="fewer than 100 pixels"):
        roi_snr(image, image, Protocol(rois=(Box(0, 0, 9, 11),)))
    with pytest.raises(UndefinedError, match="the region is constant"):
        roi_snr(np.full_like(image, 5), image, ROIS)
    with pytest.raises(UndefinedError, match="the regions are constant"):
        roi_cnr(np.full_like(image, 5), image, ROIS)
    holed = image.copy()
    holed[0, 3, 3] = np.nan
    with pytest.raises(UndefinedError, match="outside the image"):
        roi_snr(holed, image, ROIS)
    with pytest.raises(UndefinedError, match="not in as many planes"):
        roi_cnr(image, image, Protocol(rois=(Box(0, 0, 20, 20), Box(0, 30, 20, 20, 1, 1))))

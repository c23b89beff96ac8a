"""Planes of a series that a verdict looks at, and the pixels that count in them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.trust import Values
from meddenoise.trust.removal import Removal
from meddenoise.trust.series import some_pairs, with_removal
from tests.plain import series


def stack(count: int, shape: tuple[int, int] = (6, 8), **facts: Any) -> Any:
    """Planes whose pixels are their index."""
    return series(
        np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, *shape), np.float32), **facts
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40))
def test_three_planes_are_taken_evenly_spread_without_the_ends_of_many(count: int) -> None:
    noisy = stack(count)
    noise = SeriesNoise(tuple(NoiseEstimate(1.0 + n) for n in range(count)))
    pairs = list(some_pairs(noisy, replace(noisy, pixels=noisy.pixels + 100), noise))
    planes = [int(pair.before[0, 0]) for pair in pairs]
    assert len(planes) == min(count, 3)
    assert [pair.after[0, 0] - 100 for pair in pairs] == planes
    assert [pair.noise.sigma - 1 for pair in pairs] == planes
    if count > 5:
        assert planes[0] > 0 and planes[-1] < count - 1
        assert np.ptp(np.diff(planes)) <= 1 and abs(planes[0] - (count - 1 - planes[-1])) <= 1


def test_the_middle_of_large_planes_is_taken() -> None:
    pixels = np.arange(530 * 600, dtype=np.float32).reshape(1, 530, 600)
    (pair,) = some_pairs(series(pixels), series(pixels), SeriesNoise((NoiseEstimate(1.0),)))
    assert np.array_equal(pair.before, pixels[0, 9:521, 44:556]) and pair.valid.shape == (512, 512)


def test_a_pixel_counts_that_is_image_in_both_and_others_are_filled_from_their_neighbours() -> None:
    noisy, result = stack(1), stack(1)
    noisy.pixels[0, 2, 3], result.pixels[0, 4, 5] = np.nan, np.inf
    (pair,) = some_pairs(noisy, result, SeriesNoise((NoiseEstimate(1.0),)))
    assert sorted(map(tuple, np.argwhere(~pair.valid).tolist())) == [(2, 3), (4, 5)]
    assert np.isfinite(pair.before).all() and np.isfinite(pair.after).all()


@pytest.mark.parametrize(
    ("modality", "low", "magnitude"),
    [("MR", 0.0, True), ("", 0.0, True), ("CT", 0.0, False), ("MR", -1.0, False), ("XA", 5.0, False)],
)
def test_only_mr_and_what_may_be_mr_without_a_negative_value_may_be_magnitudes(
    modality: str, low: float, magnitude: bool
) -> None:
    noisy = stack(1, modality=modality)
    noisy.pixels[0, 0, 0] = low
    (pair,) = some_pairs(noisy, noisy, SeriesNoise((NoiseEstimate(1.0),)))
    assert pair.magnitude is magnitude


def test_noise_left_in_flat_places_takes_the_place_of_what_was_left_everywhere() -> None:
    everywhere = Values({"noise_left": 0.9, "mean_shift": 0.1}, notes=("first.",))
    found = with_removal(everywhere, Removal(10.0, 5.0, 5.0, 50.0))
    assert found.values == {"noise_left": 0.5, "mean_shift": 0.1, "grain_coarser": None}
    assert found.notes == ("first.",)
    assert with_removal(everywhere, Removal()).values["noise_left"] == 0.9

"""Spots lost, invented and kept, in images whose every spot is known in closed form."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.series import Series
from meddenoise.trust.reference import examine_reference
from meddenoise.trust.spots import DRAWS, SCALES, find_spots, see_spots, simulate_null, strongest_spots
from tests.plain import series

SIZE = 96
WHITE = NoiseEstimate(1.0)
ALL = np.ones((SIZE, SIZE), bool)
NULL = simulate_null(WHITE, (SIZE, SIZE))
Y, X = np.indices((SIZE, SIZE))


def blob(row: float, column: float, width: float = 2.0) -> np.ndarray:
    """A Gaussian spot of height 1."""
    return np.exp(-((Y - row) ** 2 + (X - column) ** 2) / (2 * width**2)).astype(np.float32)


def response(width: float, scale: float) -> float:
    """Value of a difference of Gaussians in the middle of a Gaussian spot of height 1."""
    return width**2 / (width**2 + scale**2) - width**2 / (width**2 + 9 * scale**2)


@pytest.mark.parametrize("scale", SCALES)
def test_a_gaussian_spot_is_seen_at_its_place_with_its_known_strength(scale: float) -> None:
    found = find_spots(100 + 30 * blob(40, 50), scale)
    assert np.unravel_index(found.argmax(), found.shape) == (40, 50)
    assert found.max() == pytest.approx(30 * response(2.0, scale), rel=0.02)
    assert find_spots(np.full((SIZE, SIZE), 7.0), scale) == pytest.approx(0, abs=1e-5)


def test_simulated_spots_are_those_of_the_simulated_noise() -> None:
    assert NULL.noises.shape == (DRAWS, SIZE, SIZE) and NULL.noises.std() == pytest.approx(1, rel=0.02)
    for scale, spots in zip(SCALES, NULL.spots, strict=True):
        far = round(4 * 3 * scale)
        inside = (slice(far, -far),) * 2
        for noise, seen in zip(NULL.noises, spots, strict=True):
            assert seen[inside] == pytest.approx(find_spots(noise, scale)[inside], abs=0.01)
    again = simulate_null(WHITE, (SIZE, SIZE))
    assert np.array_equal(again.noises, NULL.noises)


def test_spots_are_looked_for_away_from_holes_and_borders() -> None:
    inside = ALL.copy()
    inside[40, 40] = False
    for scale, reach in ((1.5, 3), (3.0, 6)):
        seen = see_spots(inside, scale)
        away = np.minimum.reduce([Y, X, SIZE - 1 - Y, SIZE - 1 - X])
        assert np.array_equal(seen, (away >= reach) & (abs(Y - 40) + abs(X - 40) > reach))
    small = np.zeros_like(ALL)
    small[:4, :4] = True
    assert np.array_equal(see_spots(small, 3.0), small)


def limits() -> list[float]:
    """Strongest spot that noise makes, on average, for each scale."""
    return [
        float(np.abs(spots[:, see_spots(ALL, scale)]).max(axis=1).mean())
        for scale, spots in zip(SCALES, NULL.spots, strict=True)
    ]


@settings(max_examples=15, deadline=None)
@given(
    st.floats(2, 40), st.sampled_from([-1, 1]), st.integers(20, 76), st.integers(20, 76), st.floats(1.5, 4)
)
def test_a_spot_is_lost_that_the_input_has_and_invented_that_it_lacks(
    height: float, sign: int, row: int, column: int, width: float
) -> None:
    spot = sign * np.float32(height) * blob(row, column, width)
    # with some grain, so that no place counts as flat: noise is as strong as simulated
    expected = max(
        height * response(width, scale) / most for scale, most in zip(SCALES, limits(), strict=True)
    )
    flat = np.zeros_like(spot)
    assert strongest_spots(spot, spot, ALL, NULL) == pytest.approx((expected, 0), rel=0.03)
    assert strongest_spots(flat, -spot, ALL, NULL) == pytest.approx((0, expected), rel=0.03)
    # a spot that is stronger than it was is invented, by what was added
    assert strongest_spots(spot, -spot, ALL, NULL)[1] == pytest.approx(expected, rel=0.03)
    # what the input lacks of the reference is noise that was left
    assert strongest_spots(spot, spot, ALL, NULL, spot) == (0, 0)
    half = strongest_spots(spot, spot, ALL, NULL, spot / 2)
    assert half[0] == pytest.approx(expected / 2, rel=0.03) and half[1] == 0
    opposite = strongest_spots(spot, spot, ALL, NULL, -spot)
    assert opposite[0] == pytest.approx(expected, rel=0.03)


def test_noise_that_is_stronger_in_flat_places_than_estimated_makes_spots_weaker() -> None:
    grain = np.random.default_rng(3).normal(0, 3, (SIZE, SIZE)).astype(np.float32)
    before = grain.copy()
    lost, invented = strongest_spots(before, grain, ALL, NULL)
    # three times the simulated noise, and three times its spots
    assert lost == pytest.approx(1, abs=0.3) and invented <= 1.3
    assert max(strongest_spots(before, grain / 3, ALL, NULL)) == pytest.approx(1, abs=0.3)


PLACES = [(row, column) for row in (24, 48, 72) for column in (24, 48, 72)]
HEIGHT = 2.0
"""Of faint spots: six times what noise of level 1 does to such a spot, in both scales."""


def kept(shares: list[float], height: float = HEIGHT, grain: float = 0.0, shape: Any = blob) -> float | None:
    """`faint_lost` of a result that keeps so much of each spot of its reference."""
    noise = np.random.default_rng(0).normal(0, 1, (2, SIZE, SIZE))
    truth, result = np.full((2, SIZE, SIZE), 100.0, np.float32)
    for (row, column), share in zip(PLACES, shares, strict=False):
        truth += height * shape(row, column)
        result += share * height * shape(row, column)
    planes = truth + noise[0], result, truth + grain * noise[1]
    images: list[Series] = [series(plane[None].astype(np.float32)) for plane in planes]
    return examine_reference(*images, SeriesNoise((WHITE,))).values["faint_lost"]


def test_faint_spots_are_lost_that_keep_less_than_half_of_their_contrast() -> None:
    assert kept([1.0] * 9) == 0 and kept([0.0] * 9) == 1
    assert kept([0.45] * 3 + [0.55] * 6) == pytest.approx(3 / 9)
    assert kept([-1.0] + [0.9] * 8) == pytest.approx(1 / 9)


def test_only_faint_round_spots_of_a_clear_reference_count_and_so_many_it_takes() -> None:
    assert kept([1.0] * 2) is None and kept([1.0] * 3) == 0, "each is seen in both scales"
    assert kept([0.0] * 9, height=0.3) is None and kept([0.0] * 9, height=60.0) is None
    assert kept([0.0] * 9, grain=2.0) is None

    def line(row: float, column: float) -> np.ndarray:
        """A third of a line from border to border, which three places share."""
        return (np.exp(-((X - column) ** 2) / 8) / 3).astype(np.float32)

    assert kept([0.0] * 9, shape=line) is None

"""Noise as it is stated: its dependence on the signal in any unit, and the noise of many planes as one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.noise import NoiseEstimate, SeriesNoise, SignalVariance
from meddenoise.noise.steady import steady

quick = settings(max_examples=60, deadline=None)
levels = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=12)
MEANS = np.linspace(-50, 400, 60).reshape(6, 10)


@st.composite
def variances(draw: st.DrawFn) -> SignalVariance:
    if draw(st.booleans()):
        return SignalVariance(draw(st.floats(-0.01, 0.01)), draw(st.floats(-3, 3)), exponential=True)
    return SignalVariance(draw(st.floats(-3, 3)), draw(st.floats(-100, 1000)))


@quick
@given(variances(), st.floats(0.01, 100), st.floats(-2000, 2000))
def test_a_variance_is_the_same_law_in_any_unit(law: SignalVariance, scale: float, low: float) -> None:
    there = law.in_units(scale, low).at(scale * (MEANS - low))
    np.testing.assert_allclose(there, scale**2 * law.at(MEANS), rtol=1e-6, atol=1e-9 * scale**2)


@quick
@given(variances(), st.floats(0.01, 100))
def test_so_many_times_the_variance_is_so_many_times_it_everywhere(
    law: SignalVariance, factor: float
) -> None:
    np.testing.assert_allclose(law.times(factor).at(MEANS), factor * law.at(MEANS), rtol=1e-6, atol=1e-12)


@quick
@given(variances())
def test_a_variance_is_above_zero_everywhere_and_a_straight_one_is_its_own_nearest_line(
    law: SignalVariance,
) -> None:
    assert (law.at(MEANS) > 0).all() and law.at(np.zeros((0, 3))).shape == (0, 3)
    line = law.nearest_line(np.append(MEANS, [np.nan, np.inf]))
    assert not line.exponential
    if not law.exponential and (law.slope * MEANS + law.constant).min() > 1:
        np.testing.assert_allclose(line.at(MEANS), law.at(MEANS), rtol=1e-6)


def test_a_constant_plane_has_the_constant_line_of_its_variance() -> None:
    line = SignalVariance(2.0, 5.0).nearest_line(np.full((4, 4), 10.0))
    assert (line.slope, line.constant) == (0.0, 25.0)


def series(sigmas: list[float]) -> SeriesNoise:
    return SeriesNoise(tuple(NoiseEstimate(sigma) for sigma in sigmas))


@quick
@given(levels, st.integers(0, 3), st.randoms(use_true_random=False))
def test_planes_without_noise_do_not_count_and_the_order_does_not_either(sigmas, empty: int, random) -> None:
    mixed = [*sigmas, *[0.0] * empty]
    random.shuffle(mixed)
    noise = series(mixed)
    assert noise.sigma == pytest.approx(np.sqrt(np.mean(np.square(sigmas))))
    assert noise.range() == (min(sigmas), max(sigmas))
    assert noise.middle.sigma == sorted(sigmas)[len(sigmas) // 2]
    assert noise.levels == tuple(mixed) and len(noise) == len(mixed)


def test_a_series_without_noise_has_level_zero() -> None:
    assert (series([0.0, 0.0]).sigma, series([]).sigma, series([0.0]).range()) == (0.0, 0.0, (0.0, 0.0))
    assert series([0.0]).middle.sigma == 0


@quick
@given(levels.flatmap(lambda sigmas: st.tuples(st.just(sigmas), st.permutations(range(len(sigmas))))))
def test_planes_are_picked_in_the_order_asked_for(drawn) -> None:
    sigmas, order = drawn
    picked = series(sigmas).pick(order)
    assert picked.levels == tuple(sigmas[k] for k in order) and picked.plane(0).sigma == sigmas[order[0]]


def steadied(sigmas: list[float], predicted: list[float] | None = None) -> list[float]:
    return [plane.sigma for plane in steady([NoiseEstimate(s) for s in sigmas], 128 * 128, predicted)]


@quick
@given(levels, st.floats(1e-3, 1e3))
def test_steadying_does_not_know_the_unit_or_the_direction(sigmas: list[float], unit: float) -> None:
    found = steadied(sigmas)
    assert steadied([unit * sigma for sigma in sigmas]) == pytest.approx([unit * sigma for sigma in found])
    assert steadied(sigmas[::-1])[::-1] == pytest.approx(found)


def test_a_level_that_does_not_change_or_rises_evenly_stays_and_planes_without_noise_do_too() -> None:
    assert steadied([7.0] * 9) == pytest.approx([7.0] * 9)
    rising = [10 * 1.03**k for k in range(12)]
    assert steadied(rising)[3:-3] == pytest.approx(rising[3:-3], rel=1e-3)
    assert steadied([0.0, 7.0, 0.0, 7.0]) == pytest.approx([0.0, 7.0, 0.0, 7.0])
    assert steadied([0.0, 0.0]) == [0.0, 0.0] and steadied([]) == []


def test_scatter_is_less_after_and_a_jump_stays_where_it_was() -> None:
    rng = np.random.default_rng(0)
    scattered = (10 * np.exp(rng.normal(0, 0.04, 40))).tolist()
    assert np.std(steadied(scattered)) < 0.7 * np.std(scattered)
    jump = [10.0] * 6 + [30.0] * 6
    assert steadied(jump) == pytest.approx(jump)


@quick
@given(st.lists(st.floats(1, 100), min_size=2, max_size=10), st.floats(0.01, 100))
def test_levels_that_follow_the_exposure_are_left_as_they_are(exposure: list[float], unit: float) -> None:
    assert steadied([3 * level for level in exposure], [unit * level for level in exposure]) == pytest.approx(
        [3 * level for level in exposure]
    )

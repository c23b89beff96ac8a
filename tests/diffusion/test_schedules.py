"""Levels, steps and the meaning of a network's output: the papers' numbers, round trips, strict falls."""

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from meddenoise.diffusion.schedules import (
    LEAST_ALPHA,
    SCHEDULES,
    Prediction,
    as_denoiser,
    clean_from,
    get_schedule,
    karras,
    log_spaced,
    target,
)
from meddenoise.errors import UsageError

PREDICTIONS = get_args(Prediction)
names = pytest.mark.parametrize("name", SCHEDULES)
predictions = pytest.mark.parametrize("prediction", PREDICTIONS)


def alpha_bar(name: str, step: int) -> float:
    """alpha_bar at the paper's step t = 1..T."""
    return float(get_schedule(name).alpha[step - 1] ** 2)


@names
def test_signal_and_noise_share_one_variance_and_only_ever_fall_and_rise(name: str) -> None:
    schedule = get_schedule(name)
    assert {table.dtype for table in (schedule.alpha, schedule.sigma, schedule.ratio)} == {torch.float64}
    assert len(schedule) == int(name.partition("-")[2] or 1000)
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(len(schedule)).double())
    torch.testing.assert_close(schedule.sigma, schedule.ratio * schedule.alpha)
    above = schedule.alpha > LEAST_ALPHA
    assert bool((schedule.ratio.diff()[above[1:]] > 0).all()), "strictly above the floor of alpha"
    assert float(schedule.alpha.min()) >= LEAST_ALPHA


def test_the_ends_are_those_of_the_papers() -> None:
    assert alpha_bar("linear-1000", 1000) == pytest.approx(4.0e-5, abs=0.05e-5)
    assert alpha_bar("rev_warmup70", 300) == pytest.approx(0.985, abs=5e-4)
    assert alpha_bar("rev_warmup70", 1000) == pytest.approx(0.029, abs=5e-4)
    long = get_schedule("linear-2000").alpha
    assert float(long[1650]) > LEAST_ALPHA == float(long[1651]) == float(long[1999])


@pytest.mark.parametrize(
    ("name", "first", "last"), [("linear-1000", 1e-4, 0.02), ("linear-2000", 1e-4, 0.02)]
)
def test_linear_schedules_add_variance_linearly(name: str, first: float, last: float) -> None:
    schedule = get_schedule(name)
    before = torch.cat([torch.ones(1).double(), schedule.alpha[:-1]])
    added = (1 - (schedule.alpha / before) ** 2)[schedule.alpha > LEAST_ALPHA]
    wanted = torch.linspace(first, last, len(schedule)).double()[: len(added)]
    torch.testing.assert_close(added, wanted, rtol=1e-5, atol=0)


def test_the_reversed_warm_up_rests_before_it_rises() -> None:
    alpha_bars = get_schedule("rev_warmup70").alpha ** 2
    added = 1 - alpha_bars[1:] / alpha_bars[:-1]
    torch.testing.assert_close(added[:299], torch.full((299,), 5e-5).double())
    torch.testing.assert_close(added[299:], torch.linspace(5e-5, 1e-2, 700).double(), rtol=1e-5, atol=0)


def test_the_cosine_is_a_cosine_until_its_last_step() -> None:
    angle = (torch.arange(1, 1000).double() / 1000 + 0.008) / 1.008 * math.pi / 2
    expected = angle.cos() / math.cos(0.008 / 1.008 * math.pi / 2)
    torch.testing.assert_close(get_schedule("cosine-1000").alpha[:-1], expected)
    assert float(get_schedule("cosine-1000").alpha[-1]) == LEAST_ALPHA
    assert alpha_bar("cosine-1000", 178) == pytest.approx(1 / (1 + 0.3**2), abs=2e-3)


@names
def test_an_index_is_found_again_from_its_ratio(name: str) -> None:
    schedule = get_schedule(name)
    for index in range(0, len(schedule), 37):
        ratio = float(schedule.ratio[index])
        assert float(schedule.ratio[schedule.index_of(ratio)]) == ratio
        assert schedule.index_of(ratio * (1 + 1e-9)) == schedule.index_of(ratio)
    assert schedule.index_of(1e-9) == 0
    below, last = float(schedule.ratio[-2]), float(schedule.ratio[-1])
    if last > below:
        middle = math.sqrt(below * last)  # in the logarithm; with 641 and 1000 it is not the plain one
        assert schedule.index_of(middle * 1.001) == len(schedule) - 1
        assert schedule.index_of(middle / 1.001) == len(schedule) - 2
    assert float(schedule.ratio[schedule.index_of(1e9)]) == float(schedule.ratio[-1])


@names
@pytest.mark.parametrize("steps", [1, 2, 7, 10, 100, 1000])
def test_steps_fall_strictly_from_the_noisiest_state_to_zero(name: str, steps: int) -> None:
    schedule = get_schedule(name)
    for ratios in (schedule.trailing(steps), schedule.even(steps)):
        assert ratios[0] == float(schedule.ratio[-1]) and ratios[-1] == 0
        assert all(high > low for high, low in pairwise(ratios))
        floored = float((schedule.alpha == LEAST_ALPHA).sum()) / len(schedule)
        assert steps * (1 - floored) <= len(ratios) - 1 <= steps


def test_trailing_and_even_steps_stand_at_the_stated_indices() -> None:
    schedule = get_schedule("cosine-1000")
    at = [schedule.index_of(ratio) for ratio in schedule.trailing(4)[:-1]]
    assert at == [999, 749, 499, 249]
    at = [schedule.index_of(ratio) for ratio in schedule.even(4)[:-1]]
    assert at == [999, 666, 333, 0]


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_a_number_of_steps_that_cannot_be_is_refused_with_the_range(steps: int) -> None:
    for make in (get_schedule("cosine-1000").trailing, get_schedule("cosine-1000").even):
        with pytest.raises(UsageError, match=rf"{steps} steps: give 1 to 1000, .*cosine-1000"):
            make(steps)


def test_an_unknown_schedule_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'cosine-1000'"):
        get_schedule("cosine")


def test_free_levels_run_between_the_ends_they_are_given() -> None:
    uniform = log_spaced(80.0, 0.01, 10)
    folds = [high / low for high, low in pairwise(uniform[:-1])]
    assert folds == pytest.approx([(80 / 0.01) ** (1 / 9)] * 9)
    dense = karras(80.0, 0.01, 10)
    roots = [level ** (1 / 7) for level in dense[:-1]]
    assert [a - b for a, b in pairwise(roots)] == pytest.approx([(80 ** (1 / 7) - 0.01 ** (1 / 7)) / 9] * 9)
    for levels in (uniform, dense):
        assert len(levels) == 11 and levels[-1] == 0
        assert (levels[0], levels[-2]) == pytest.approx((80.0, 0.01))
    assert log_spaced(5.0, 0.1, 1) == pytest.approx((5.0, 0.0)) == karras(5.0, 0.1, 1)


def test_levels_of_a_batch_broadcast_over_its_states() -> None:
    schedule = get_schedule("cosine-1000")
    alpha, sigma = schedule.levels(torch.tensor([0, 500, 999]))
    assert alpha.shape == sigma.shape == (3, 1, 1, 1) and alpha.dtype == sigma.dtype == torch.float32
    assert alpha.flatten().tolist() == pytest.approx(schedule.alpha[[0, 500, 999]].tolist())
    assert sigma.flatten().tolist() == pytest.approx(schedule.sigma[[0, 500, 999]].tolist())


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    share=st.floats(0, 1),
    clean=st.floats(-8, 8),
    noise=st.floats(-5, 5),
)
def test_every_target_gives_back_the_image(name: str, share: float, clean: float, noise: float) -> None:
    schedule = get_schedule(name)
    index = round(share * (len(schedule) - 1))
    alpha, sigma = float(schedule.alpha[index]), float(schedule.sigma[index])
    x0, eps = (torch.tensor([value], dtype=torch.float64) for value in (clean, noise))
    state = alpha * x0 + sigma * eps
    for prediction in PREDICTIONS:
        output = target(prediction, x0, eps, alpha, sigma)
        torch.testing.assert_close(clean_from(prediction, output, state, alpha, sigma), x0, rtol=0, atol=1e-5)


def test_the_three_targets_are_three() -> None:
    x0, eps = torch.tensor([2.0]), torch.tensor([5.0])
    assert [float(target(p, x0, eps, 0.6, 0.8)) for p in ("eps", "v", "x0")] == pytest.approx([5.0, 1.4, 2.0])


@predictions
@pytest.mark.parametrize("name", ["cosine-1000", "linear-1000"])
def test_a_wrapped_network_is_the_estimate_it_was_made_of(prediction: Prediction, name: str) -> None:
    """Exact posterior of x0 ~ N(m, s^2) in the variables of a network, called in float32 at its index."""
    schedule, mean, spread = get_schedule(name), 0.7, 0.3
    seen: list[int] = []

    def network(state: Tensor, index: int) -> Tensor:
        assert state.dtype == torch.float32
        assert float(state.std()) == pytest.approx(1, abs=0.1) or index < 900, "unit variance at pure noise"
        seen.append(index)
        alpha, sigma = float(schedule.alpha[index]), float(schedule.sigma[index])
        fine = state.double()
        clean = mean + alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * (fine - alpha * mean)
        return target(prediction, clean, (fine - alpha * clean) / sigma, alpha, sigma).float()

    denoise = as_denoiser(network, schedule, prediction)
    eps = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    for index in (0, 10, 500, 999):
        ratio = float(schedule.ratio[index])
        exact = mean + spread**2 / (spread**2 + ratio**2) * (ratio * eps - mean)
        # an eps-network's rounding is divided by alpha
        tolerance = 1e-6 * max(1.0, ratio if prediction == "eps" else 1.0)
        torch.testing.assert_close(denoise(ratio * eps, ratio), exact, rtol=0, atol=tolerance)
    assert seen == [0, 10, 500, 999]

"""Stabilised sampling with networks whose answer is known: mean and spread, batches, pairs, units."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from meddenoise.diffusion.antithetic import contraction
from meddenoise.diffusion.schedules import Prediction, Schedule, get_schedule, target
from meddenoise.methods.srds import CONDITION_CHANNELS, LOCAL, Srds, condition_channels, mean_filter

COSINE = get_schedule("cosine-1000")
WHITE = torch.ones(1, 4)


class GaussianResidual(nn.Module):
    """The exact network where the residual u is N(mean, spread^2) at every pixel, whatever the condition."""

    def __init__(self, mean: float, spread: float, prediction: Prediction, schedule: Schedule) -> None:
        super().__init__()
        self.mean, self.variance, self.prediction, self.schedule = mean, spread**2, prediction, schedule

    def forward(self, state: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        assert condition.shape[1] == CONDITION_CHANNELS
        index = (time * len(self.schedule)).round().long() - 1
        alpha, sigma = (
            level[index].double().reshape(-1, 1, 1, 1) for level in (self.schedule.alpha, self.schedule.sigma)
        )
        state = state.double()
        gain = alpha * self.variance / (alpha**2 * self.variance + sigma**2)
        clean = self.mean + gain * (state - alpha * self.mean)
        return target(self.prediction, clean, (state - alpha * clean) / sigma, alpha, sigma).float()


def make(mean: float, spread: float, prediction: Prediction = "v", **options: int) -> Srds:
    return Srds(GaussianResidual(mean, spread, prediction, COSINE), COSINE, prediction, **options)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def blind(count: int = 1, side: int = 64) -> Tensor:
    return 300 + 40 * torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(9))


def run(
    srds: Srds, condition: Tensor, sigma: float, noise: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    bands = WHITE.expand(len(condition), -1)
    return srds(condition, torch.full_like(condition, sigma), bands, noise)


@pytest.mark.parametrize("prediction", ["v", "eps"])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 50])
def test_the_mean_comes_out_at_any_number_of_steps(steps: int, prediction: Prediction) -> None:
    condition, sigma = blind(), 12.0
    mean, _ = run(make(0.2, 1.1, prediction, steps=steps), condition, sigma, generators(0))
    # A start about 0 instead of about 0.2 leaves 0.2 / ratio of the first step; the rest is float32.
    allowed = 12e-3 if prediction == "eps" else 4e-3
    assert (mean - (condition + 0.2 * sigma)).abs().max() < allowed * sigma
    alone, _ = run(make(0.0, 1.1, prediction, steps=steps), condition, sigma, generators(0))
    assert (alone - condition).abs().max() < 1e-3 * sigma


@pytest.mark.parametrize("steps", [2, 5, 10, 50])
@pytest.mark.parametrize("spread", [0.4, 1.0, 1.5])
def test_the_spread_is_that_of_the_residual_as_far_as_the_steps_resolve_it(steps: int, spread: float) -> None:
    sigma = 12.0
    _, told = run(make(0.1, spread, steps=steps, pairs=4), blind(), sigma, generators(3))
    assert told.shape == (1, 1, 64, 64) and bool((told >= 0).all())
    got = float(told.square().mean().sqrt()) / sigma
    assert got == pytest.approx(contraction(COSINE.trailing(steps), spread) * spread, rel=0.03)


def test_more_pairs_pool_the_spread_and_keep_the_mean() -> None:
    condition = blind()
    results = {pairs: run(make(0.0, 1.0, pairs=pairs), condition, 5.0, generators(1)) for pairs in (1, 16)}
    flat = {pairs: spread.std() / spread.mean() for pairs, (_, spread) in results.items()}
    assert flat[1] > 0.7  # |N(0, 1)|
    assert flat[16] < 0.25
    assert torch.allclose(results[1][0], results[16][0], atol=1e-2)


class Noted(GaussianResidual):
    """Keeps the states it was shown, and adds something that is not symmetric."""

    def forward(self, state: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        self.states = [*getattr(self, "states", []), state]
        return super().forward(state, condition, time) + 0.1 * state.square().clamp(max=1) * condition[:, :1]


def test_the_two_runs_of_a_pair_begin_with_opposite_noise_of_unit_variance() -> None:
    network = Noted(0.0, 1.0, "v", COSINE)
    run(Srds(network, COSINE, "v", steps=2, pairs=3), blind(2), 5.0, generators(1, 2))
    firsts = network.states[::2]
    assert len(network.states) == 6, "two evaluations a pair, both runs in one batch"
    for state in firsts:
        plus, minus = state.chunk(2)
        assert torch.equal(plus, -minus)
        assert float(plus.std()) == pytest.approx(1, abs=0.05)
    assert not torch.equal(firsts[0], firsts[1]), "every pair draws its own"


def test_a_plane_depends_on_its_own_generator_alone() -> None:
    srds = Srds(Noted(0.1, 1.0, "v", COSINE), COSINE, "v", steps=3, pairs=2)
    condition = blind(3)
    mean, spread = run(srds, condition, 5.0, generators(1, 2, 3))
    for n in range(3):
        one = slice(n, n + 1)
        alone = run(srds, condition[one], 5.0, generators(n + 1))
        torch.testing.assert_close(mean[one], alone[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(spread[one], alone[1], rtol=0, atol=1e-4)
    other, _ = run(srds, condition, 5.0, generators(1, 2, 4))
    assert torch.equal(other[:2], mean[:2]) and not torch.equal(other[2], mean[2])


def test_the_same_seed_gives_the_same_bits_and_the_image_may_be_in_any_unit() -> None:
    srds = Srds(Noted(0.1, 1.0, "v", COSINE), COSINE, "v", steps=3)
    condition = blind()
    mean, spread = run(srds, condition, 5.0, generators(1))
    assert torch.equal(run(srds, condition, 5.0, generators(1))[0], mean)
    moved, wider = run(srds, 4 * condition - 1000, 20.0, generators(1))
    torch.testing.assert_close(moved, 4 * mean - 1000, rtol=0, atol=0.02)
    torch.testing.assert_close(wider, 4 * spread, rtol=0, atol=0.02)


def test_steps_at_the_floor_of_alpha_are_not_taken_twice() -> None:
    network = Noted(0.0, 1.0, "v", COSINE)
    run(Srds(network, COSINE, "v", steps=1000), blind(side=4), 5.0, generators(1))
    assert len(network.states) == len(COSINE.trailing(1000)) - 1 <= 1000


def test_the_condition_is_told_by_local_contrast_in_sigmas_and_the_spectrum_in_octaves() -> None:
    condition, bands = blind(), torch.tensor([[2.0, 1.0, 0.5, 0.0]])
    told = condition_channels(condition, torch.full_like(condition, 5.0), bands)
    assert told.shape == (1, CONDITION_CHANNELS, 64, 64)
    assert torch.allclose(told[0, 1:, 7, 9], torch.tensor([1.0, 0.0, -1.0, math.log2(0.05)]))
    moved = condition_channels(7 * condition + 1000, torch.full_like(condition, 35.0), bands)
    assert torch.allclose(told, moved, atol=1e-3)
    unknown = condition_channels(condition, torch.full_like(condition, 5.0), torch.zeros(1, 4))
    assert torch.equal(unknown[:, 1:], torch.zeros(1, 4, 64, 64))


def test_the_window_of_the_mean_ends_at_the_border() -> None:
    across = torch.arange(50.0).expand(1, 1, 40, 50)
    mean = mean_filter(across, LOCAL)
    assert float(mean[0, 0, 20, 25]) == pytest.approx(25)
    assert float(mean[0, 0, 0, 0]) == pytest.approx((LOCAL // 2) / 2)
    flat = mean_filter(torch.full((1, 1, 5, 3), 8.0), LOCAL)
    assert torch.allclose(flat, torch.full_like(flat, 8.0))

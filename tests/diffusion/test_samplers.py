"""The shelf of samplers: one contract for all rows, the formulas of the papers, and pairs bit for bit."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from meddenoise.diffusion import SAMPLERS, Sampler, get_sampler
from meddenoise.diffusion.antithetic import antithetic
from meddenoise.diffusion.samplers import ancestral, ddim, dpmpp_2m, draw_from
from meddenoise.diffusion.schedules import as_denoiser, get_schedule, karras
from meddenoise.errors import UsageError

COSINE, LINEAR = get_schedule("cosine-1000"), get_schedule("linear-1000")
samplers = pytest.mark.parametrize("name", SAMPLERS)
VARIANTS: dict[str, Sampler] = {
    **{name: get_sampler(name) for name in SAMPLERS},
    "ddim, eta 0.7": partial(ddim, eta=0.7),
    "ancestral, large": partial(ancestral, variance="large"),
}
variants = pytest.mark.parametrize("variant", VARIANTS)


class Network(nn.Module):
    """A small network of (state, index) in float32, not linear, not odd."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    @torch.no_grad()
    def forward(self, state: Tensor, index: int) -> Tensor:
        output: Tensor = self.last(torch.relu(self.first(state) + index / 1000))
        return output


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + number) for number in range(count)]


def fields(count: int, seed: int = 100) -> Tensor:
    return draw_from(generators(count, seed))(torch.empty(count, 1, 12, 20))


def half(x: Tensor, ratio: float) -> Tensor:
    return x / 2


# one contract for all


@samplers
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sampler_asks_in_float64_at_its_ratios_and_ends_in_the_callers_type(
    name: str, dtype: torch.dtype
) -> None:
    asked: list[float] = []

    def constant(x: Tensor, ratio: float) -> Tensor:
        assert x.shape == (2, 1, 12, 20) and x.dtype == torch.float64
        asked.append(ratio)
        return torch.full_like(x, 0.25, dtype=torch.float32)

    ratios = COSINE.trailing(4)
    start = ratios[0] * fields(2).to(dtype)
    before = start.clone()
    end = get_sampler(name)(constant, start, ratios, noise=draw_from(generators(2)))
    assert end.dtype == dtype and torch.equal(start, before)
    assert (end - 0.25).abs().max() < 1e-12, "an estimate that never moves is where all paths end"
    assert sorted(set(asked), reverse=True) == list(ratios[:-1])
    assert len(asked) == (7 if name == "heun" else 4)


@samplers
def test_one_step_is_the_estimate_itself(name: str) -> None:
    start = 5.0 * fields(1)
    torch.testing.assert_close(get_sampler(name)(half, start, (5.0, 0.0)), start / 2)


@samplers
@pytest.mark.parametrize("ratios", [(), (0.0,), (2.0, 1.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0)])
def test_ratios_that_do_not_fall_to_zero_are_refused(name: str, ratios: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fall strictly to 0"):
        get_sampler(name)(half, fields(1), ratios, noise=draw_from(generators(1)))


def test_an_unknown_sampler_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'dpmpp-2m'"):
        get_sampler("dpmpp")


@pytest.mark.parametrize("variant", ["ancestral", "ancestral, large", "ddim, eta 0.7"])
def test_a_sampler_that_draws_needs_noise_to_draw_from(variant: str) -> None:
    with pytest.raises(ValueError, match="given none to draw from"):
        VARIANTS[variant](half, fields(1), (2.0, 1.0, 0.0))


@samplers
def test_a_plane_comes_out_the_same_in_any_batch(name: str) -> None:
    network, ratios = Network(), karras(20.0, 0.01, 6)
    denoise = as_denoiser(network, COSINE, "v")
    start = ratios[0] * fields(3)
    together = get_sampler(name)(denoise, start, ratios, noise=draw_from(generators(3)))
    alone = [
        get_sampler(name)(denoise, start[b : b + 1], ratios, noise=draw_from(generators(3)[b : b + 1]))
        for b in range(3)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_noise_is_standard_normal_fresh_at_every_draw_and_the_planes_own() -> None:
    like = torch.empty(3, 1, 64, 64, dtype=torch.float64)
    noise = draw_from(generators(3))
    first, second = noise(like), noise(like)
    assert first.dtype == torch.float64 and first.shape == like.shape
    assert float(first.mean()) == pytest.approx(0, abs=0.04) and float(first.std()) == pytest.approx(
        1, abs=0.03
    )
    assert not torch.equal(first, second)
    alone = draw_from(generators(3)[1:2])
    assert torch.equal(alone(like[:1])[0], first[1]) and torch.equal(alone(like[:1])[0], second[1])


# symmetric pairs


@variants
@pytest.mark.parametrize("steps", [1, 10])
def test_the_opposite_noise_gives_the_same_mean_bit_for_bit(variant: str, steps: int) -> None:
    denoise, ratios = as_denoiser(Network(), COSINE, "v"), COSINE.trailing(steps)
    start, drawn = ratios[0] * fields(2), draw_from(generators(2))
    opposite = draw_from(generators(2))
    plus, spread = antithetic(VARIANTS[variant], denoise, start, ratios, noise=drawn)
    minus, turned = antithetic(VARIANTS[variant], denoise, -start, ratios, noise=lambda like: -opposite(like))
    assert torch.equal(plus, minus) and torch.equal(spread, -turned)
    assert plus.shape == spread.shape == start.shape and plus.dtype == torch.float32


@variants
def test_a_pair_is_two_single_runs_with_opposite_noise(variant: str) -> None:
    denoise, ratios = as_denoiser(Network(), COSINE, "v"), COSINE.trailing(8)
    start, centre = (ratios[0] * fields(2)).double(), fields(2, seed=7).double()
    sampler, drawn = VARIANTS[variant], draw_from(generators(2))
    first = sampler(denoise, centre + start, ratios, noise=draw_from(generators(2)))
    second = sampler(denoise, centre - start, ratios, noise=lambda like: -drawn(like))
    mean, spread = antithetic(sampler, denoise, start, ratios, centre=centre, noise=draw_from(generators(2)))
    torch.testing.assert_close(mean, (first + second) / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(spread, (first - second) / 2, rtol=0, atol=1e-6)
    assert float(spread.std()) > 1e-2


def test_a_condition_is_repeated_plus_runs_first() -> None:
    condition = fields(3, seed=5).double()

    def estimate(x: Tensor, ratio: float) -> Tensor:
        assert len(x) == 6 and torch.equal(x[:3] - condition, condition - x[3:])
        return condition.repeat(2, 1, 1, 1)

    mean, spread = antithetic(ddim, estimate, 3.0 * fields(3).double().round(), (3.0, 0.0), centre=condition)
    assert torch.equal(mean, condition) and not spread.any()


# the formulas as the papers print them, in the variables of the schedule


def printed_ddim(
    network: Network, state: Tensor, steps: list[int], eta: float, drawn: list[Tensor]
) -> Tensor:
    """X <- alpha' x0 + sqrt(sigma'^2 - s^2) eps + s z with v-prediction; `steps` are indices, falling."""
    for number, (index, lower) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
        alpha, sigma = LINEAR.alpha[index], LINEAR.sigma[index]
        v = network(state.float(), index).double()
        x0, eps = alpha * state - sigma * v, sigma * state + alpha * v
        if lower is None:
            return x0
        alpha2, sigma2 = LINEAR.alpha[lower], LINEAR.sigma[lower]
        s = eta * (sigma2 / sigma) * torch.sqrt(1 - (alpha / alpha2) ** 2)
        state = alpha2 * x0 + torch.sqrt(sigma2**2 - s**2) * eps + s * drawn[number]
    raise AssertionError("no steps")


def printed_ddpm(network: Network, state: Tensor, large: bool, drawn: list[Tensor]) -> Tensor:
    """All T steps of the posterior mean and variance."""
    bars = torch.cat([torch.ones(1).double(), LINEAR.alpha**2])
    for t in range(len(LINEAR), 0, -1):
        bar, before = bars[t], bars[t - 1]
        beta = 1 - bar / before
        v = network(state.float(), t - 1).double()
        x0 = bar.sqrt() * state - (1 - bar).sqrt() * v
        mean = before.sqrt() * beta / (1 - bar) * x0 + (1 - beta).sqrt() * (1 - before) / (1 - bar) * state
        variance = beta if large else beta * (1 - before) / (1 - bar)
        state = mean + (variance.sqrt() * drawn[len(LINEAR) - t] if t > 1 else 0)
    return state


def recorded(count: int) -> list[Tensor]:
    noise, like = draw_from(generators(2)), torch.empty(2, 1, 12, 20, dtype=torch.float64)
    return [noise(like) for _ in range(count)]


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_the_printed_formula(eta: float) -> None:
    network, first = Network(), fields(2).double()
    expected = printed_ddim(network, first, list(range(999, 0, -100)), eta, recorded(9))
    start = first / LINEAR.alpha[-1]
    got = ddim(
        as_denoiser(network, LINEAR, "v"), start, LINEAR.trailing(10), noise=draw_from(generators(2)), eta=eta
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variance", ["large", "small"])
def test_ancestral_is_the_printed_formula(variance: str) -> None:
    network, first = Network(), fields(2).double()
    expected = printed_ddpm(network, first, variance == "large", recorded(999))
    got = VARIANTS["ancestral" if variance == "small" else "ancestral, large"](
        as_denoiser(network, LINEAR, "v"),
        first / LINEAR.alpha[-1],
        LINEAR.trailing(1000),
        noise=draw_from(generators(2)),
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_ddim_with_full_noise_is_ancestral_with_the_small_variance() -> None:
    denoise, ratios = as_denoiser(Network(), COSINE, "v"), COSINE.even(30)
    start = ratios[0] * fields(2)
    one = ddim(denoise, start, ratios, noise=draw_from(generators(2)), eta=1.0)
    torch.testing.assert_close(one, ancestral(denoise, start, ratios, noise=draw_from(generators(2))))


def test_dpmpp_2m_is_the_printed_formula() -> None:
    network, state = Network(), fields(2).double()
    indices = [999, 799, 599, 399, 199]
    lam = [float((LINEAR.alpha[k] / LINEAR.sigma[k]).log()) for k in indices]
    clean: list[Tensor] = []
    for i, index in enumerate(indices):
        alpha, sigma = LINEAR.alpha[index], LINEAR.sigma[index]
        clean.append(alpha * state - sigma * network(state.float(), index).double())
        if i == 4:
            break
        h = lam[i + 1] - lam[i]
        d = clean[i]
        if i:
            r = (lam[i] - lam[i - 1]) / h
            d = (1 + 1 / (2 * r)) * clean[i] - 1 / (2 * r) * clean[i - 1]
        alpha2, sigma2 = LINEAR.alpha[indices[i + 1]], LINEAR.sigma[indices[i + 1]]
        state = (sigma2 / sigma) * state - alpha2 * (math.exp(-h) - 1) * d
    got = dpmpp_2m(
        as_denoiser(network, LINEAR, "v"), fields(2).double() / LINEAR.alpha[-1], LINEAR.trailing(5)
    )
    torch.testing.assert_close(got, clean[-1], rtol=0, atol=1e-5)

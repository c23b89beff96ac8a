"""Samplers with the exact network of a Gaussian field: mean, spectrum, contraction, symmetric pairs.

The field has mean M and power spectrum S; its estimate from x = field + r noise is, in the Fourier domain,
M + S / (S + r^2) (x - M): everything a sampler should give is known.
"""

import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor

from meddenoise.diffusion import SAMPLERS, Denoise, Noise, Sampler, get_sampler
from meddenoise.diffusion.antithetic import antithetic, contraction
from meddenoise.diffusion.samplers import ancestral, ddim
from meddenoise.diffusion.schedules import Prediction, as_denoiser, get_schedule, karras, log_spaced, target

SIZE = 16
COSINE = get_schedule("cosine-1000")
TOP, BOTTOM = float(COSINE.ratio[-1]), float(COSINE.ratio[0])
STEPS = [1, 2, 3, 5, 10, 20, 50, 100]

samplers = pytest.mark.parametrize("name", SAMPLERS)


@dataclass(frozen=True)
class Field:
    """Mean [H, W] and power spectrum [H, W], variance of a frequency in the orthonormal transform."""

    mean: Tensor
    power: Tensor

    def estimate(self, x: Tensor, ratio: float) -> Tensor:
        gain = self.power / (self.power + ratio**2)
        return self.mean + torch.fft.ifft2(gain * torch.fft.fft2(x - self.mean)).real


def make_field() -> Field:
    across = torch.fft.fftfreq(SIZE, dtype=torch.float64)
    radius = torch.hypot(across[:, None], across[None, :])
    power = 0.6 / (1 + (8 * radius) ** 2) ** 1.5 + 0.01
    line = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    return Field(torch.sin(3 * line)[:, None] + line[None, :] ** 2, power)


FIELD = make_field()


def normal(seed: int) -> Noise:
    generator = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def draws(count: int, seed: int = 0) -> Tensor:
    return normal(seed)(torch.empty(count, 1, SIZE, SIZE, dtype=torch.float64))


def spectrum(images: Tensor, mean: Tensor) -> Tensor:
    """Mean power by frequency."""
    return torch.fft.fft2(images - mean, norm="ortho").abs().square().mean(dim=(0, 1))


PATHS: dict[str, tuple[Sampler, tuple[float, ...]]] = {
    "ddim": (ddim, COSINE.trailing(1000)),
    "ddim with noise": (partial(ddim, eta=0.5), COSINE.trailing(1000)),
    "ancestral": (ancestral, COSINE.trailing(1000)),
    "ancestral, large": (partial(ancestral, variance="large"), COSINE.trailing(1000)),
    "dpmpp-2m": (get_sampler("dpmpp-2m"), log_spaced(TOP, BOTTOM, 60)),
    "heun": (get_sampler("heun"), karras(TOP, BOTTOM, 120)),
}


@pytest.mark.parametrize("path", PATHS)
def test_with_enough_steps_every_sampler_draws_from_the_field(path: str) -> None:
    sampler, ratios = PATHS[path]
    count = 256
    ends = sampler(FIELD.estimate, TOP * draws(count), ratios, noise=normal(1))
    power = spectrum(ends, FIELD.mean)
    # five standard errors: of the mean at one pixel, and of the power relative to the truth
    error = (FIELD.power.mean() / count).sqrt()
    assert (ends.mean(dim=0) - FIELD.mean).abs().max() < 5 * error
    relative = power / FIELD.power
    for part in (FIELD.power < 0.03, FIELD.power >= 0.03):
        assert float(relative[part].mean()) == pytest.approx(
            1, abs=5 * math.sqrt(2 / count / int(part.sum()))
        )


def test_ddim_passes_every_frequency_as_the_contraction_law_says() -> None:
    eps = draws(1)
    for steps in (1, 2, 10, 50):
        ratios = COSINE.trailing(steps)
        end = ddim(FIELD.estimate, FIELD.mean + TOP * eps, ratios)
        passed = (torch.fft.fft2(end - FIELD.mean) / torch.fft.fft2(eps))[0, 0]
        law = [contraction(ratios, math.sqrt(power)) for power in FIELD.power.flatten().tolist()]
        expected = torch.tensor(law).double().view(SIZE, SIZE) * FIELD.power.sqrt()
        torch.testing.assert_close(passed.real, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("spread", "schedule", "row"),
    [
        (6 / 127.5, "linear-1000", "0.01 0.07 0.14 0.26 0.51 0.69 0.96"),
        (6 / 127.5, "cosine-1000", "0.05 0.14 0.26 0.45 0.71 0.83 0.98"),
        (0.2, "cosine-1000", "0.19 0.49 0.70 0.84 0.93 0.97 1.00"),
        (0.6, "cosine-1000", "0.44 0.75 0.87 0.93 0.97 0.99 1.00"),
    ],
)
def test_the_contraction_table_comes_out_to_its_printed_digits(
    spread: float, schedule: str, row: str
) -> None:
    steps = (2, 5, 10, 20, 50, 100, 1000)
    table = [contraction(get_schedule(schedule).trailing(k), spread) for k in steps]
    assert " ".join(f"{gamma:.2f}" for gamma in table) == row


def gain_error(sampler: Sampler, ratios: tuple[float, ...], spread: float = 0.3) -> float:
    """The relative error of a sampler's gain on a deviation; the exact flow ends in an estimate too."""

    def estimate(x: Tensor, ratio: float) -> Tensor:
        return spread**2 / (spread**2 + ratio**2) * x

    got = float(sampler(estimate, torch.ones(1, 1, 1, 1, dtype=torch.float64), ratios))
    last = ratios[-2]
    flow = math.hypot(spread, last) / math.hypot(spread, ratios[0])
    return abs(got / (flow * spread**2 / (spread**2 + last**2)) - 1)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp-2m", 2), ("heun", 2)])
def test_solvers_converge_with_the_order_they_claim(name: str, order: int) -> None:
    sampler = get_sampler(name)
    coarse, fine = (gain_error(sampler, log_spaced(20.0, 0.01, k)) for k in (160, 320))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@samplers
@pytest.mark.parametrize("steps", STEPS)
def test_a_symmetric_pair_is_the_mean_at_any_number_of_steps(name: str, steps: int) -> None:
    run = partial(antithetic, get_sampler(name), FIELD.estimate, TOP * draws(2))
    centre, _ = run((TOP, 0.0), noise=normal(3))
    mean, _ = run(COSINE.trailing(steps), centre=centre, noise=normal(2))
    assert (mean - FIELD.mean).abs().max() < 1e-5


@pytest.mark.parametrize("steps", [5, 10, 100])
def test_from_noise_about_zero_a_pair_misses_the_mean_by_less_than_a_thousandth(steps: int) -> None:
    ratios, spread, mean = COSINE.trailing(steps), 0.3, 2.0

    def estimate(x: Tensor, ratio: float) -> Tensor:
        return mean + spread**2 / (spread**2 + ratio**2) * (x - mean)

    half_sum, _ = antithetic(ddim, estimate, TOP * draws(1), ratios)
    missed = contraction(ratios, spread) * spread / TOP * mean
    torch.testing.assert_close(mean - half_sum, torch.full_like(half_sum, missed), rtol=1e-6, atol=1e-12)
    assert missed < 1e-3 * mean


def test_ten_steps_give_the_pair_that_a_hundred_give() -> None:
    start = TOP * draws(4)
    few, many = (antithetic(ddim, FIELD.estimate, start, COSINE.trailing(k))[0] for k in (10, 100))
    assert (few - many).abs().max() < 1e-3
    one_few, one_many = (ddim(FIELD.estimate, start, COSINE.trailing(k)) for k in (10, 100))
    assert (one_few - one_many).abs().max() > 0.1, "single runs do depend on the steps"


def test_two_independent_runs_only_halve_the_variance() -> None:
    ratios = COSINE.trailing(50)
    run = partial(ddim, FIELD.estimate, sigmas=ratios)
    first, second = run(x=TOP * draws(256, seed=4)), run(x=TOP * draws(256, seed=5))
    single = float((first - FIELD.mean).square().mean())
    assert float(((first + second) / 2 - FIELD.mean).square().mean()) / single == pytest.approx(0.5, abs=0.03)
    pair, half = antithetic(ddim, FIELD.estimate, TOP * draws(256, seed=4), ratios)
    assert float((pair - FIELD.mean).square().mean()) / single < 1e-5
    assert float(half.square().mean()) / single == pytest.approx(1, abs=1e-3)


def test_the_half_difference_tells_the_spread_that_is_left_at_few_steps() -> None:
    spread = 0.2
    flat = Field(FIELD.mean, torch.full_like(FIELD.power, spread**2))
    for steps in (2, 5, 10, 50):
        ratios = COSINE.trailing(steps)
        _, half = antithetic(ddim, flat.estimate, TOP * draws(64), ratios)
        assert float(half.std()) / spread == pytest.approx(contraction(ratios, spread), rel=0.02)


def two_points(x: Tensor, ratio: float, upper: float = 0.5) -> Tensor:
    """The exact estimate where every pixel is 0.3 + 1 with probability `upper`, else 0.3 - 1."""
    odds = math.log(upper / (1 - upper)) / 2
    return 0.3 + torch.tanh((x - 0.3) / ratio**2 + odds)


def test_a_symmetric_distribution_that_is_not_gaussian_keeps_its_mean_and_a_skewed_one_does_not() -> None:
    start = TOP * draws(4)
    skewed = partial(two_points, upper=0.8)
    for steps in (2, 10, 100):
        ratios = COSINE.trailing(steps)
        centre, _ = antithetic(ddim, two_points, start, (TOP, 0.0))
        pair, half = antithetic(ddim, two_points, start, ratios, centre=centre)
        assert (pair - 0.3).abs().max() < 1e-5
        assert steps < 10 or half.abs().mean() > 0.9, "each run ends near one of the points"
    centre, _ = antithetic(ddim, skewed, start, (TOP, 0.0))
    pair, _ = antithetic(ddim, skewed, start, COSINE.trailing(100), centre=centre)
    assert (pair - 0.9).abs().mean() > 0.1, "0.9 is the mean of the skewed one"


def test_a_start_from_partial_noise_keeps_a_share_of_the_image_under_it() -> None:
    mean, spread, image = 0.4, 0.3, 1.0

    def estimate(x: Tensor, ratio: float) -> Tensor:
        return mean + spread**2 / (spread**2 + ratio**2) * (x - mean)

    ratio = float(COSINE.ratio[299])
    start = ratio * draws(2)
    pair, _ = antithetic(ddim, estimate, start, (ratio, 0.0), centre=torch.full_like(start, image))
    share = spread**2 / (spread**2 + ratio**2)
    torch.testing.assert_close(pair, torch.full_like(pair, mean + share * (image - mean)))


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_float32_network_in_the_schedules_own_variables_loses_nothing(
    name: str, prediction: Prediction
) -> None:
    def network(state: Tensor, index: int) -> Tensor:
        alpha, sigma = float(COSINE.alpha[index]), float(COSINE.sigma[index])
        clean = FIELD.estimate(state.double() / alpha, sigma / alpha)
        output = target(prediction, clean, (state - alpha * clean) / sigma, alpha, sigma)
        return output.float()

    denoise: Denoise = as_denoiser(network, COSINE, prediction)
    start = TOP * draws(2)
    for steps in (1, 10):
        ratios = COSINE.trailing(steps)
        exact, _ = antithetic(get_sampler(name), FIELD.estimate, start, ratios, noise=normal(6))
        got, _ = antithetic(get_sampler(name), denoise, start, ratios, noise=normal(6))
        # eps-networks divide their rounding by alpha = 0.001 at the first step
        torch.testing.assert_close(got, exact, rtol=0, atol=3e-4 if prediction == "eps" else 1e-5)

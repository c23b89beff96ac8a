"""The VP-SDE denoiser: its printed network, its levels, and the posterior that exact scores give."""

import math

import pytest
import torch
from torch import Tensor

from meddenoise.diffusion.schedules import cosine_levels, cosine_time, get_schedule
from meddenoise.errors import UsageError
from meddenoise.methods import Sampling, SamplingDenoiser, Setup, WindowDenoiser, get
from meddenoise.methods.score import ScoreModel, into_window
from meddenoise.methods.vpsde import MatchedDraws, MatchedMean, SlidesSampler, spread_kept
from meddenoise.networks import build
from meddenoise.networks.vpsde_unet import VpsdeUNet

SIDE = 28
PRINTED = {
    "time": 37_728, "head": 960, "down1": 295_104, "down2": 1_180_032, "mid1": 1_327_488,
    "attention": 768 + 442_368 + 147_840, "told": 37_248, "mid2": 1_327_488, "up1": 1_179_840,
    "skip1": 37_056, "up2": 589_920, "skip2": 9_312, "tail": 1_729,
}  # fmt: skip
"""Parameters by module, as the slides' network was printed."""


def count(module: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class Exact(VpsdeUNet):
    """The exact score of a Gaussian field with mean 0 and a falling spectrum."""

    def __init__(self) -> None:
        super().__init__(width=12)
        across = torch.fft.fftfreq(SIDE, dtype=torch.float64)
        self.power = 0.3 / (1 + (10 * torch.hypot(across[:, None], across)) ** 2) + 0.001
        self.times: list[float] = []

    def wiener(self, x: Tensor, ratio: Tensor | float) -> Tensor:
        gain = self.power / (self.power + torch.as_tensor(ratio).double().square().reshape(-1, 1, 1, 1))
        return torch.fft.ifft2(gain * torch.fft.fft2(x.double())).real

    def draw(self, count: int, seed: int) -> Tensor:
        white = normal(count, 1, SIDE, SIDE, seed=seed).double()
        return torch.fft.ifft2(self.power.sqrt() * torch.fft.fft2(white)).real

    def posterior_std(self, ratio: float) -> float:
        return float((self.power * ratio**2 / (self.power + ratio**2)).mean().sqrt())

    def forward(self, state: Tensor, time: Tensor, measured: Tensor | None = None) -> Tensor:
        alpha, sigma = (level[:, None, None, None] for level in cosine_levels(time.double()))
        self.times.append(float(time[0]))
        x = state.double() / alpha
        return ((x - self.wiener(x, sigma / alpha)) * alpha / sigma).float()


EXACT = Exact()
MODEL = ScoreModel(EXACT, (-100.0, 100.0), SIDE)
"""A window so wide that no value lies outside; 100 image units are one network unit."""


def test_the_network_has_the_printed_parameters_module_by_module() -> None:
    with torch.device("meta"):
        network = build("vpsde-unet", {})
    assert {name: count(module) for name, module in network.named_children() if count(module)} == PRINTED
    assert count(network) == 6_614_881


def test_plus_has_a_second_channel_fourier_features_and_norms() -> None:
    with torch.device("meta"):
        plus = build("vpsde-unet", {"plus": True})
    assert count(plus.head) == PRINTED["head"] + 9 * 96
    norms, features = 2 * 96 * (1 + 2 + 4 + 4 + 4 + 2 + 1), 31 * 384
    assert count(plus) == 6_615_745 + norms + features


def test_state_time_and_measurement_matter_and_planes_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = VpsdeUNet(24, plus=True).eval().requires_grad_(False)
    state, measured, time = normal(2, 1, 28, 28), normal(2, 1, 28, 28, seed=1), torch.tensor([0.1, 0.6])
    plain = network(state, time, measured)
    assert plain.shape == state.shape and plain.dtype == torch.float32
    for other in (
        network(state + 0.1, time, measured),
        network(state, time + 0.1, measured),
        network(state, time, measured + 0.1),
    ):
        assert (other - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-4
    torch.testing.assert_close(network(state[:1], time[:1], measured[:1]), plain[:1], rtol=0, atol=1e-5)


def test_a_low_precision_run_stays_close() -> None:
    torch.manual_seed(0)
    network = VpsdeUNet(24).eval().requires_grad_(False)
    exact = network(normal(1, 1, 28, 28), torch.tensor([0.2]))
    network.lower_trunk(torch.bfloat16)
    low = network(normal(1, 1, 28, 28), torch.tensor([0.2]))
    assert low.dtype == torch.float32 and 0 < (low - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_times_between_the_steps_agree_with_the_schedule_at_the_steps() -> None:
    schedule = get_schedule("cosine-1000")
    index = torch.arange(0, 999, 37)
    alpha, sigma = cosine_levels(index.double() / 999)
    torch.testing.assert_close(alpha, schedule.alpha[index], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(sigma, schedule.sigma[index], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(cosine_time(schedule.ratio[index]), index.double() / 999, rtol=0, atol=1e-6)


def test_noise_of_0_3_is_the_state_of_index_178() -> None:
    time = cosine_time(torch.tensor([0.3], dtype=torch.float64))
    alpha, sigma = cosine_levels(time)
    assert float(time) == pytest.approx(0.178, abs=1e-3)
    assert (float(alpha), float(sigma)) == pytest.approx((0.9578, 0.2873), abs=1e-4)
    assert float(cosine_time(torch.tensor(0.0))) == 0.0 and float(cosine_time(torch.tensor(1e9))) == 1.0


@pytest.mark.parametrize("sigma", [2.0, 10.0, 30.0, 150.0])
def test_one_evaluation_at_the_matched_level_is_the_wiener_filter(sigma: float) -> None:
    noisy = (100 * EXACT.draw(2, 1)).float() + sigma * normal(2, 1, SIDE, SIDE, seed=2)
    EXACT.times.clear()
    clean = MatchedMean(MODEL, SIDE)(noisy, torch.full((2,), sigma))
    assert len(EXACT.times) == 1
    wiener = 100 * EXACT.wiener(noisy / 100, sigma / 100)
    assert (clean - wiener).abs().max() < 0.01 * sigma


def test_the_level_is_that_of_each_plane_and_0_leaves_the_plane_alone() -> None:
    noisy = 30 * normal(3, 1, SIDE, SIDE)
    denoise = MatchedMean(MODEL, SIDE)
    both = denoise(noisy, torch.tensor([10.0, 0.0, 40.0]))
    assert torch.equal(both[1], noisy[1])
    for n, sigma in ((0, 10.0), (2, 40.0)):
        torch.testing.assert_close(both[n : n + 1], denoise(noisy[n : n + 1], torch.tensor([sigma])))
    flat = torch.full((3, 1, SIDE, SIDE), 10.0)
    torch.testing.assert_close(denoise(noisy, flat), denoise(noisy, torch.full((3,), 10.0)))


def test_the_mean_of_draws_is_the_one_evaluation_and_their_spread_that_of_the_posterior() -> None:
    truth = 100 * EXACT.draw(2, 3)
    noisy = truth.float() + 30 * normal(2, 1, SIDE, SIDE, seed=4)
    sigma = torch.full((2,), 30.0)
    mean = MatchedMean(MODEL, SIDE)(noisy, sigma)
    posterior = 100 * EXACT.posterior_std(0.3)
    one = MatchedDraws(MODEL, SIDE).sample(noisy, sigma, generators(1, 2))
    many = MatchedDraws(MODEL, SIDE, samples=32).sample(noisy, sigma, generators(1, 2))
    single, left = (float((drawn.clean - mean).square().mean().sqrt()) for drawn in (one, many))
    assert left < 0.25 * single
    assert 0.6 * posterior < single < posterior
    assert many.spread is not None and one.spread is not None
    assert float(many.spread.square().mean().sqrt()) == pytest.approx(posterior, rel=0.12)
    error = float((many.clean - truth).square().mean().sqrt())
    assert error == pytest.approx(posterior, rel=0.12)
    inside = ((many.clean - truth).abs() < 2 * many.spread).float().mean()
    assert 0.9 < float(inside) < 0.98


def test_few_steps_keep_less_of_the_spread_as_it_is_told() -> None:
    kept = [spread_kept(steps) for steps in (2, 5, 10, 20, 100)]
    assert kept == sorted(kept) and 0.8 < kept[2] < 0.85 and kept[-1] < 1
    assert spread_kept(1) == 1.0


def test_draws_repeat_with_their_generators_whatever_the_batch() -> None:
    noisy, sigma = 40 * normal(2, 1, SIDE, SIDE), torch.tensor([20.0, 35.0])
    draws = MatchedDraws(MODEL, SIDE, steps=3)
    both = draws.sample(noisy, sigma, generators(5, 6)).clean
    for n in (0, 1):
        alone = draws.sample(noisy[n : n + 1], sigma[n : n + 1], generators(5 + n)).clean
        torch.testing.assert_close(both[n : n + 1], alone, rtol=0, atol=1e-3)
    assert not torch.equal(draws.sample(noisy, sigma, generators(7, 6)).clean[0], both[0])


def test_the_slides_sampler_takes_all_steps_and_is_worse_than_one() -> None:
    truth = 100 * EXACT.draw(4, 5)
    noisy, sigma = truth.float() + 30 * normal(4, 1, SIDE, SIDE, seed=6), torch.full((4,), 30.0)
    EXACT.times.clear()
    slides = SlidesSampler(MODEL, SIDE).sample(noisy, sigma, generators(1, 2, 3, 4)).clean
    assert len(EXACT.times) == 1000
    assert EXACT.times[0] == pytest.approx(998 / 999, abs=1e-3) and EXACT.times[-1] == pytest.approx(
        0, abs=2e-3
    )

    def decibel(image: Tensor) -> float:
        return -10 * math.log10(float((image - truth).square().mean()) / 100**2)

    one = decibel(MatchedMean(MODEL, SIDE)(noisy, sigma))
    assert decibel(noisy) + 1 < decibel(slides) < one - 0.5


def test_values_outside_the_window_stay_and_those_inside_do_not_notice_them() -> None:
    noisy = 20 * normal(1, 1, SIDE, SIDE, seed=7)
    far = noisy.clone()
    far[..., 14:] -= 900.0
    clean = MatchedMean(MODEL, SIDE)(far, torch.tensor([20.0]))
    assert torch.equal(clean[..., 17:], far[..., 17:])
    assert (clean - far)[..., :11].std() > 5
    assert (clean - far).abs().max() < 120, "no window's edge is written into the image"


def test_noise_across_the_edge_of_the_window_is_no_value_outside() -> None:
    z = -1 + 0.3 * normal(1, 1, 64, 64)
    moved, weight = into_window(z, torch.tensor([0.3]))
    assert float(weight.mean()) > 0.97 and float((moved - z).abs().mean()) < 0.01
    moved, weight = into_window(z - 3, torch.tensor([0.3]))
    assert float(weight.max()) == 0
    assert float(moved.mean()) == pytest.approx(-1.15, abs=0.05)


def test_spread_outside_the_window_is_the_noise_that_stays() -> None:
    far = 20 * normal(1, 1, SIDE, SIDE, seed=8) - 900
    drawn = MatchedDraws(MODEL, SIDE, steps=2).sample(far, torch.tensor([20.0]), generators(1))
    assert torch.equal(drawn.clean, far) and drawn.spread is not None
    assert torch.allclose(drawn.spread, torch.full_like(far, 20.0))


def test_any_size_goes_through() -> None:
    model = ScoreModel(VpsdeUNet(12).eval().requires_grad_(False), (-160.0, 240.0), SIDE)
    for shape in ((1, 1), (5, 3), (28, 28), (31, 44)):
        clean = MatchedMean(model, SIDE)(normal(1, 1, *shape), torch.tensor([20.0]))
        assert clean.shape == (1, 1, *shape) and bool(clean.isfinite().all())


@pytest.mark.parametrize("name", ["vpsde", "vpsde-slides"])
def test_there_is_no_student_and_it_says_so(name: str) -> None:
    with pytest.raises(UsageError, match="--mode distilled needs a student"):
        get(name).load(Setup(sampling=Sampling(mode="distilled")))


def test_one_pass_draws_nothing_and_all_are_given_the_planes_they_were_trained_on() -> None:
    mean, draws, slides = (kind(MODEL, SIDE) for kind in (MatchedMean, MatchedDraws, SlidesSampler))
    assert not isinstance(mean, SamplingDenoiser)
    assert isinstance(draws, SamplingDenoiser) and isinstance(slides, SamplingDenoiser)
    assert all(isinstance(denoiser, WindowDenoiser) for denoiser in (mean, draws, slides))

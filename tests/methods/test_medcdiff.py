"""Med-cDiff at work: exact networks give exact posteriors; noise, coarse grids and holes in image units."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from meddenoise.diffusion.schedules import get_schedule, target
from meddenoise.errors import UsageError
from meddenoise.methods import Sampling, SamplingDenoiser, Setup, get
from meddenoise.methods.conditional import LAST, LEAST_STEPS, Condition, Diffusion, OnePass, whole_spread
from meddenoise.methods.medcdiff import (
    LEAST_BAND,
    AncestralSampler,
    Distilled,
    Ends,
    Noisy,
    PairSampler,
    load_restorer,
)
from meddenoise.networks import build
from meddenoise.noise import NoiseEstimate
from meddenoise.training.data.pairs import TrainingPair
from meddenoise.training.distil import find_widening
from meddenoise.weights.checkpoint import Checkpoint, CheckpointMetadata, load_checkpoint, save_checkpoint

SCHEDULE = get_schedule("linear-2000")
POWER = 0.04
"""Variance of the clean images, white and with mean 0, in network units."""
WINDOW = (0.0, 200.0)
"""100 image units are one network unit; 100 is 0."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def posterior(channels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a clean image given itself with noise of the told level, in network units."""
    noisy, level = channels[:, :1].double(), channels[:, 1:].double()
    gain = POWER / (POWER + level.square())
    return gain * noisy, gain * level.square()


class Exact(nn.Module):
    """The exact v of a state, given the noisy image and its level."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        self.calls += 1
        index = (time[0] * len(SCHEDULE)).round().long() - 1
        alpha, sigma = SCHEDULE.alpha[index], SCHEDULE.sigma[index]
        (mean, variance), ratio, x = posterior(channels), sigma / alpha, state.double() / alpha
        clean = (mean * ratio**2 + x * variance) / (ratio**2 + variance)
        eps = (state.double() - alpha * clean) / sigma
        return (target("v", clean, eps, alpha, sigma) + sigma * channels[:, :1]).float()


class Change(nn.Module):
    """A one-pass network that takes off the same everywhere."""

    def __init__(self, change: float) -> None:
        super().__init__()
        self.change = change

    def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        assert float(state.abs().max()) == 0 and float(time.min()) == 1, "it is told neither state nor time"
        self.seen = channels
        return torch.full_like(state, self.change)


def diffusion() -> Diffusion:
    return Diffusion(Exact(), SCHEDULE, "v")


def told(count: int = 2, side: int = 40, level: float = 0.3) -> Condition:
    clean = math.sqrt(POWER) * normal(count, 1, side, side, seed=1)
    noisy = clean + level * normal(count, 1, side, side, seed=2)
    return Noisy()(noisy, torch.full_like(noisy, level))


def pair_of(model: Diffusion, **options: int) -> PairSampler:
    return PairSampler(model, Ends(Noisy(), WINDOW), **options)


def test_the_mean_in_one_evaluation_is_the_posterior_mean() -> None:
    condition, model = told(), diffusion()
    mean = model.mean(condition)
    assert model.network.calls == 1
    torch.testing.assert_close(mean, posterior(condition.channels)[0].float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("steps", [5, 10, 15])
def test_pairs_give_the_posterior_mean_and_its_standard_deviation(steps: int) -> None:
    condition, model = told(), diffusion()
    made = model.pairs(condition, steps, 2, generators(1, 2))
    assert model.network.calls == 2 * steps, "a pair is one batch"
    mean, variance = posterior(condition.channels)
    torch.testing.assert_close(made.clean, mean.float(), rtol=0, atol=4e-3)
    assert made.spread is not None
    wanted = float(variance[0, 0, 0, 0].sqrt())
    assert float(made.spread.square().mean().sqrt()) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("wrong", [1.0, 2.5])
def test_errors_wider_than_the_runs_are_told_as_wide_as_they_are(wrong: float) -> None:
    cases = []
    for seed in range(3):
        condition = told(1, 80)
        mean, variance = posterior(condition.channels)
        clean = (mean + wrong * variance.sqrt() * normal(*mean.shape, seed=10 + seed)).float()
        cases.append(("CT", TrainingPair(clean, condition, torch.ones_like(clean))))
    widening = find_widening(diffusion(), cases)
    assert widening == pytest.approx(wrong, rel=0.15)
    plain = diffusion().pairs(condition, 5, 1, generators(1)).spread
    wider = replace(diffusion(), widening=widening).pairs(condition, 5, 1, generators(1)).spread
    assert plain is not None and wider is not None
    torch.testing.assert_close(wider, widening * plain)


def test_a_network_that_predicts_eps_is_asked_where_it_can_say_something() -> None:
    class Eps(Exact):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            v = super().forward(state, channels, time)
            index = (time[0] * len(SCHEDULE)).round().long() - 1
            alpha, sigma = SCHEDULE.alpha[index], SCHEDULE.sigma[index]
            assert alpha > 0.04
            return (alpha * (v - sigma * channels[:, :1]) + sigma * state).float()

    condition, model = told(), Diffusion(Eps(), SCHEDULE, "eps")
    mean = posterior(condition.channels)[0].float()
    torch.testing.assert_close(model.mean(condition), mean, rtol=0, atol=0.01)
    made = model.pairs(condition, 15, 1, generators(1, 2))
    torch.testing.assert_close(made.clean, mean, rtol=0, atol=0.01)


def test_a_spread_of_too_few_steps_is_not_told() -> None:
    assert diffusion().pairs(told(), LEAST_STEPS - 1, 1, generators(1, 2)).spread is None
    assert diffusion().pairs(told(), LEAST_STEPS, 1, generators(1, 2)).spread is not None


def test_the_spread_that_is_put_back_is_what_the_steps_took() -> None:
    from meddenoise.diffusion.samplers import dpmpp_2m
    from meddenoise.diffusion.schedules import log_spaced

    ratios, whole = log_spaced(80.0, LAST, 15), torch.tensor([0.004, 0.02, 0.1, 0.5], dtype=torch.float64)
    kept = dpmpp_2m(lambda x, r: whole**2 / (whole**2 + r**2) * x, torch.full_like(whole, 80.0), ratios)
    assert float(kept[0] / whole[0]) < 0.5
    torch.testing.assert_close(whole_spread(kept, ratios), whole, rtol=0.02, atol=0)
    assert whole_spread(torch.zeros(2, 3), ratios).eq(0).all()


def test_known_pixels_are_pasted_at_every_step_and_come_back_bit_for_bit() -> None:
    seen: list[Tensor] = []

    class Watching(Exact):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            seen.append(state)
            return super().forward(state, torch.cat([channels[:, :1], channels[:, 1:] + 0.3], dim=1), time)

    hole = torch.zeros(1, 1, 24, 24)
    hole[..., 8:16, 8:16] = 1
    image = normal(1, 1, 24, 24, seed=3)
    condition = Condition(torch.cat([image * (1 - hole), hole], dim=1), known=1 - hole)
    made = Diffusion(Watching(), SCHEDULE, "v").pairs(condition, 8, 1, generators(5))
    outside = hole == 0
    assert torch.equal(made.clean[outside], image[outside]) and not torch.equal(made.clean, image)
    assert made.spread is not None and made.spread[outside].eq(0).all()
    assert float(made.spread[~outside].min()) > 0
    start = (seen[0][:1] - seen[0][1:]) / 2
    for state in seen:
        middle = (state[:1] + state[1:]) / 2
        alpha = float((middle[outside] / image[outside]).median())
        torch.testing.assert_close(middle[outside], alpha * image[outside], rtol=0, atol=1e-4)
        noise = ((state[:1] - state[1:]) / 2)[outside]
        scaled = start[outside] * math.sqrt(1 - alpha**2) / float(start[outside].std()) * float(noise.std())
        torch.testing.assert_close(
            noise / noise.std(), start[outside] / start[outside].std(), rtol=0, atol=1e-3
        )
        assert scaled.isfinite().all()


def image_planes(count: int = 2) -> tuple[Tensor, Tensor]:
    condition = told(count)
    return 100 + 100 * condition.image, torch.full((count,), 30.0)


def test_the_sampler_works_in_the_units_of_the_image() -> None:
    noisy, sigma = image_planes()
    made = pair_of(diffusion()).sample(noisy, sigma, generators(1, 2))
    mean, variance = posterior(told().channels)
    torch.testing.assert_close(made.clean, (100 + 100 * mean).float(), rtol=0, atol=0.4)
    assert made.spread is not None
    assert float(made.spread.mean()) == pytest.approx(100 * float(variance.mean().sqrt()), rel=0.1)


def test_draws_depend_on_the_generator_of_their_plane_alone() -> None:
    class Odd(Exact):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            return super().forward(state, channels, time) + 0.1 * state.square()  # pairs do not cancel

    noisy, sigma = image_planes()
    sampler = pair_of(Diffusion(Odd(), SCHEDULE, "v"), steps=6)
    both = sampler.sample(noisy, sigma, generators(1, 2)).clean
    assert torch.equal(sampler.sample(noisy, sigma, generators(1, 2)).clean, both)
    single = sampler.sample(noisy[1:], sigma[1:], generators(2)).clean
    torch.testing.assert_close(single, both[1:], rtol=0, atol=1e-4)
    assert not torch.equal(sampler.sample(noisy, sigma, generators(3, 2)).clean[:1], both[:1])


def test_the_paper_s_sampler_takes_all_steps_and_draws_from_the_posterior() -> None:
    noisy, sigma = image_planes()
    model = diffusion()
    sampler = AncestralSampler(model, Ends(Noisy(), WINDOW), 2000, 1)
    draw = sampler.sample(noisy, sigma, generators(1, 2)).clean
    floor = int((SCHEDULE.alpha <= 1e-3).sum())
    assert model.network.calls == 2000 - floor + 1, "steps of nothing but noise are left out"
    mean, variance = posterior(told().channels)
    error = (draw - 100 * mean - 100) / 100
    assert float(error.square().mean()) == pytest.approx(float(variance.mean()), rel=0.1)


@pytest.mark.parametrize("way", ["one pass", "pairs", "ancestral"])
def test_where_sigma_is_0_the_plane_comes_back_bit_for_bit(way: str) -> None:
    ends = Ends(Noisy(), (-3.0, 7.7))
    noisy = normal(3, 1, 20, 20) * 1000
    run = {
        "one pass": Distilled(OnePass(Change(0.5)), ends),
        "pairs": PairSampler(diffusion(), ends, 3),
        "ancestral": AncestralSampler(diffusion(), ends, 5, 1),
    }[way]
    clean = run(noisy, torch.tensor([0.0, 10.0, 0.0]))
    assert torch.equal(clean[::2], noisy[::2]) and not torch.equal(clean[1], noisy[1])
    partly = torch.zeros(3, 1, 20, 20)
    partly[..., :10] = 5
    half = run(noisy, partly)
    assert torch.equal(half[..., 10:], noisy[..., 10:]) and not torch.equal(half[..., :10], noisy[..., :10])


def test_the_one_pass_is_told_the_image_in_its_window_and_says_what_to_take_off() -> None:
    network, planes = Change(0.25), normal(2, 1, 12, 12) * 30 + 100
    clean = Distilled(OnePass(network), Ends(Noisy(), WINDOW))(planes, torch.tensor([10.0, 20.0]))
    torch.testing.assert_close(clean, planes - 25, rtol=0, atol=0.02)
    torch.testing.assert_close(network.seen[:, :1, 16:-16, 16:-16], planes / 100 - 1)
    torch.testing.assert_close(network.seen[:, 1].mean(dim=(1, 2)), torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize("side", [12, 40])
def test_even_planes_stay_even_up_to_their_borders(side: int) -> None:
    """Of a convolution that sees zeros beyond the border, this would be untrue."""
    torch.manual_seed(0)
    network = build("cond-unet", {"profile": "tiny", "condition": 2})
    nn.init.normal_(network.tail.weight, std=0.05)
    level = torch.full((1, 1, side, side), 180.0)
    with torch.no_grad():
        clean = Distilled(OnePass(network), Ends(Noisy(), WINDOW))(level, torch.tensor([10.0]))
        blind = 100 * (OnePass(network)(Noisy()(level / 100 - 1, torch.full_like(level, 0.1))) + 1)
    assert float(clean.std()) < 0.2 * float(blind.std())


def test_rician_noise_is_seen_behind_the_transform_that_takes_its_bias() -> None:
    signal, sigma = 40.0, 20.0
    noise = normal(2, 1, 64, 64, 2) * sigma
    noisy = (signal + noise[..., 0]).hypot(noise[..., 1])[:1]

    class Mean(nn.Module):
        def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
            return channels[:, :1] - channels[:, :1].mean()

    def left(rician: bool) -> float:
        ends = Ends(Noisy(), WINDOW, rician=rician)
        return float(Distilled(OnePass(Mean()), ends)(noisy, torch.tensor([sigma])).mean()) - signal

    assert left(False) > 5 and abs(left(True)) < 2


def test_where_there_is_hardly_any_noise_little_changes_but_impulses() -> None:
    planes = normal(1, 1, 12, 12) * 30 + 100
    for sigma, wrong, kept in ((0.05, 0.5, 0.98), (0.5, 0.5, 0.5), (10.0, 0.5, 0.01), (0.05, 60.0, 0.02)):
        network = Change(wrong / 100)
        clean = Distilled(OnePass(network), Ends(Noisy(), WINDOW))(planes, torch.tensor([sigma]))
        left = 1 - float((planes - clean).mean()) / wrong
        assert left == pytest.approx(kept, abs=0.1), (sigma, wrong)


def test_networks_that_take_it_are_told_the_spectrum_of_every_plane() -> None:
    network, planes = Change(0.25), normal(2, 1, 12, 12) * 30 + 100
    ends = Ends(Noisy(torch.tensor([1.0, 1.0, 0.5, 0.25])), WINDOW)
    Distilled(OnePass(network), ends)(planes, torch.tensor([10.0, 20.0]))
    assert network.seen[:, 2:, 5, 5].tolist() == [[0, 0, -1, -2]] * 2
    white, blurred = NoiseEstimate(1.0), NoiseEstimate(1.0, (2.0, 1.0, 0.0, 0.5))
    Distilled(OnePass(network), ends).for_planes([white, blurred])(planes, torch.tensor([10.0, 20.0]))
    assert network.seen[0, 2:, 5, 5].tolist() == [0, 0, 0, 0]
    assert network.seen[1, 2:, 5, 5].tolist() == pytest.approx([1, 0, math.log2(LEAST_BAND), -1])
    untold = Distilled(OnePass(network), Ends(Noisy(), WINDOW)).for_planes([white, blurred])
    untold(planes, torch.tensor([10.0, 20.0]))
    assert network.seen.shape[1] == 2


def test_without_a_window_every_plane_has_its_own() -> None:
    planes = torch.rand(2, 1, 32, 32) * torch.tensor([1.0, 1000.0])[:, None, None, None]
    network = Change(0.5)
    clean = Distilled(OnePass(network), Ends(Noisy(), None))(planes, torch.ones(2))
    change = (planes - clean).amax(dim=(1, 2, 3))
    assert float(change[0]) == pytest.approx(0.25, rel=0.02)
    assert float(change[1]) == pytest.approx(250, rel=0.02)


def checkpoint(path: Path, method: str, parts: tuple[str, ...] = ("student", "diffusion")) -> Checkpoint:
    """A checkpoint of random networks, as training packs it."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    described = {"network": "cond-unet", "network_options": {"profile": "tiny", "condition": 2}}
    for part in parts:
        network = build("cond-unet", {"profile": "tiny", "condition": 2})
        nn.init.normal_(network.tail.weight, std=0.05)
        tensors |= {f"{part}.{name}": tensor.half() for name, tensor in network.state_dict().items()}
    metadata = CheckpointMetadata(
        method=method,
        network="cond-unet",
        network_options={"profile": "tiny", "condition": 2},
        normalisation={"name": "patient-window"},
        sigma_range=(0.008, 0.3),
        modalities=("CT",),
        training_data=("none",),
        licence="Apache-2.0",
        recipe=method,
        schedule={"name": "linear-2000", "prediction": "v"} if "diffusion" in parts else None,
        method_options={"diffusion": described} if "diffusion" in parts else {},
    )
    save_checkpoint(path, tensors, metadata)
    return load_checkpoint(path, sha256=None)


Make = Callable[..., Checkpoint]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda method, *parts: checkpoint(
        tmp_path / "c.safetensors", method, parts or ("student", "diffusion")
    )


def test_a_checkpoint_runs_in_one_pass_and_by_the_sampler(make: Make) -> None:
    noisy, sigma = image_planes()
    saved = make("medcdiff")
    quick = get("medcdiff").load(Setup(checkpoint=saved, window=WINDOW))
    assert not isinstance(quick, SamplingDenoiser)
    assert not torch.allclose(quick(noisy, sigma), noisy, atol=1)
    sampling = Sampling("diffusion", steps=3, samples=2)
    for name in ("medcdiff", "medcdiff-ddpm"):
        sampler = get(name).load(Setup(checkpoint=saved, window=WINDOW, sampling=sampling))
        assert isinstance(sampler, SamplingDenoiser)
        made = sampler.sample(noisy, sigma, generators(1, 2)).clean
        assert made.shape == noisy.shape and torch.isfinite(made).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (33, 70)])
def test_any_size_goes_through(make: Make, shape: tuple[int, int]) -> None:
    planes = 100 + 10 * normal(1, 1, *shape)
    for mode in ("distilled", "diffusion"):
        setup = Setup(checkpoint=make("medcdiff"), sampling=Sampling(mode, steps=5))
        clean = get("medcdiff").load(setup)(planes, torch.ones(1))
        assert clean.shape == planes.shape and torch.isfinite(clean).all()


@pytest.mark.parametrize("mode", ["distilled", "diffusion"])
def test_inpainting_changes_the_hole_alone_whatever_sigma_says(make: Make, mode: str) -> None:
    setup = Setup(
        checkpoint=make("medcdiff-inpaint"),
        window=(-3.3, 9.1),
        sampling=Sampling(mode, steps=5),  # type: ignore[arg-type]
    )
    restore = load_restorer(setup, "inpaint")
    plane, hole = 100 * normal(1, 1, 30, 26), torch.zeros(1, 1, 30, 26)
    hole[..., 5:14, 3:20] = 1
    results = []
    for sigma in (0.0, 17.0):
        results.append(restore(torch.cat([plane, hole], dim=1), torch.tensor([sigma])))
        assert torch.equal(results[-1][hole == 0], plane[hole == 0])
        assert not torch.isclose(results[-1][hole == 1], plane[hole == 1]).any()
    assert torch.equal(*results)
    other = torch.where(hole > 0, torch.nan, plane)
    again = restore(torch.cat([other, hole], dim=1), torch.ones(1))
    assert torch.equal(again, results[0]), "what lies in the hole is not looked at"


def test_upscaling_is_told_the_factor(make: Make) -> None:
    plane = 100 + 20 * normal(1, 1, 24, 24)
    setup = Setup(checkpoint=make("medcdiff-upscale"), window=WINDOW)
    results = [load_restorer(setup, "upscale", factor)(plane, torch.zeros(1)) for factor in (2.0, 2.0, 16.0)]
    assert torch.equal(results[0], results[1]) and not torch.allclose(results[0], results[2])
    assert not torch.allclose(results[0], plane, atol=1)


def test_low_precision_stays_close(make: Make) -> None:
    noisy, sigma = image_planes()
    exact, low = (
        get("medcdiff").load(Setup(checkpoint=make("medcdiff"), window=WINDOW, precision=precision))(
            noisy, sigma
        )
        for precision in ("fp32", "bf16")
    )
    assert low.dtype == exact.dtype
    assert 0 < float((low - exact).std()) < 0.05 * float((exact - noisy).std())


def test_a_part_that_is_missing_is_named(make: Make) -> None:
    only = make("medcdiff", "student")
    with pytest.raises(UsageError, match="no diffusion network"):
        get("medcdiff").load(Setup(checkpoint=only, sampling=Sampling("diffusion")))
    with pytest.raises(UsageError, match="--mode distilled is not for 'medcdiff-ddpm'"):
        get("medcdiff-ddpm").load(Setup(checkpoint=make("medcdiff"), sampling=Sampling("distilled")))

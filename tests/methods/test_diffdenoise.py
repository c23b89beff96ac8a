"""The methods diffdenoise and blindspot around their networks: which runs when, units, seeds, uncertainty."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor

from meddenoise import Options, denoise
from meddenoise.diffusion.schedules import get_schedule
from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine.device import Device
from meddenoise.errors import UsageError, WeightsError
from meddenoise.methods import Sampled, Sampling, SamplingDenoiser, Setup
from meddenoise.methods.blindspot import BLINDSPOT, BlindSpotDenoiser
from meddenoise.methods.diffdenoise import DIFFDENOISE, DiffusionDenoiser
from meddenoise.methods.direct import DirectDenoiser
from meddenoise.methods.srds import CONDITION_CHANNELS, Srds
from meddenoise.networks import build
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.series import Series
from meddenoise.training.recipe import Recipe
from meddenoise.weights.checkpoint import Checkpoint, CheckpointMetadata
from tests.methods.test_srds import GaussianResidual
from tests.training.noisy_training import noisy_folder, scene, tiny_recipe, train_tiny

PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "student": ("noise-unet", {"channels": [6, 8], "blocks": [1, 1], "unshuffle": 2}),
    "blind": ("blind-spot", {"channels": [6, 6], "blocks": [1, 1], "entry": 4}),
    "diffusion": ("cond-unet", {"profile": "tiny", "condition": CONDITION_CHANNELS}),
}
CPU = Device(torch.device("cpu"), "fp32", "test")
ONE_PASS, DIFFUSION = Sampling(), Sampling(mode="diffusion", steps=2)
BLURRED = (3.465, 1.615, 0.341, 0.025)
"""Bands of white noise blurred with a Gaussian kernel of 1.2 pixels."""


def checkpoint(**changes: Any) -> Checkpoint:
    """All three networks with random weights in one checkpoint."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for part, (name, options) in PARTS.items():
        network = build(name, options)
        for weights in network.parameters():
            torch.nn.init.normal_(weights, std=0.08)
        tensors |= {f"{part}.{key}": value for key, value in network.state_dict().items()}
    described = {
        part: {"network": name, "network_options": options}
        for part, (name, options) in PARTS.items()
        if part != "student"
    }
    metadata = CheckpointMetadata(
        method="diffdenoise",
        network=PARTS["student"][0],
        network_options=PARTS["student"][1],
        normalisation={"name": "noise-units"},
        sigma_range=(1.0, 50.0),
        modalities=("CT",),
        training_data=(),
        licence="Apache-2.0",
        recipe="test",
        schedule={"name": "cosine-1000", "prediction": "v"},
        method_options=described,
    )
    return Checkpoint(replace(metadata, **changes), tensors, Path("all.safetensors"), "0" * 64)


WHOLE = checkpoint()


def setup(sampling: Sampling = ONE_PASS, **options: Any) -> Setup:
    return Setup(options.pop("noise", NoiseEstimate(1.0)), checkpoint=WHOLE, sampling=sampling, **options)


def image(height: int = 40, width: int = 36, seed: int = 0, count: int = 1) -> Tensor:
    return torch.randn(count, 1, height, width, generator=torch.Generator().manual_seed(seed))


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def sampler(sampling: Sampling = DIFFUSION, **options: Any) -> DiffusionDenoiser:
    denoiser = DIFFDENOISE.load(setup(sampling, **options))
    assert isinstance(denoiser, DiffusionDenoiser)
    return denoiser


def spread(sampled: Sampled) -> Tensor:
    assert sampled.spread is not None
    return sampled.spread


# -- which network runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "kind"),
    [
        (Sampling(), DirectDenoiser),
        (Sampling(mode="distilled"), DirectDenoiser),
        (Sampling(mode="diffusion"), DiffusionDenoiser),
        (Sampling(mode="diffusion", fusion=False), DiffusionDenoiser),
        (Sampling(fusion=False), DiffusionDenoiser),
    ],
    ids=str,
)
def test_the_mode_chooses_the_network(sampling: Sampling, kind: type) -> None:
    denoiser = DIFFDENOISE.load(setup(sampling))
    assert type(denoiser) is kind
    assert isinstance(denoiser, SamplingDenoiser) == (kind is DiffusionDenoiser)


def test_one_pass_has_no_last_step_to_leave_out() -> None:
    with pytest.raises(UsageError, match="--no-fusion"):
        DIFFDENOISE.load(setup(Sampling(mode="distilled", fusion=False)))


@pytest.mark.parametrize(("method", "part"), [(BLINDSPOT, "blind"), (DIFFDENOISE, "diffusion")])
def test_a_checkpoint_without_the_network_that_is_needed_is_refused(method: Any, part: str) -> None:
    for without in (
        replace(WHOLE, metadata=replace(WHOLE.metadata, method_options={})),
        replace(WHOLE, tensors={k: v for k, v in WHOLE.tensors.items() if not k.startswith(part)}),
    ):
        with pytest.raises((UsageError, WeightsError), match=rf"all\.safetensors.*{part}"):
            method.load(replace(setup(DIFFUSION), checkpoint=without))


def test_a_checkpoint_without_a_schedule_is_refused() -> None:
    with pytest.raises(UsageError, match="no diffusion schedule"):
        DIFFDENOISE.load(replace(setup(DIFFUSION), checkpoint=checkpoint(schedule=None)))


def test_a_stage_by_itself_serves_as_checkpoint_of_blindspot() -> None:
    name, options = PARTS["blind"]
    tensors = {
        key.removeprefix("blind."): value for key, value in WHOLE.tensors.items() if key.startswith("blind.")
    }
    metadata = replace(WHOLE.metadata, network=name, network_options=options, method_options={})
    alone = BLINDSPOT.load(replace(setup(), checkpoint=replace(WHOLE, metadata=metadata, tensors=tensors)))
    noisy, sigma = image(), torch.ones(1)
    assert torch.equal(alone(noisy, sigma), BLINDSPOT.load(setup())(noisy, sigma))


@pytest.mark.parametrize(
    ("bands", "asked", "rho"),
    [(WHITE, None, 0), (BLURRED, None, 4), (BLURRED, 0, 0), (WHITE, 1, 2), (WHITE, 9, 4)],
)
def test_the_blind_radius_follows_the_noise_unless_it_is_given(
    bands: tuple[float, ...], asked: int | None, rho: int
) -> None:
    loaded = BLINDSPOT.load(setup(Sampling(blind_radius=asked), noise=NoiseEstimate(1.0, bands)))
    assert isinstance(loaded, BlindSpotDenoiser) and loaded.rho == rho
    assert sampler(replace(DIFFUSION, blind_radius=asked), noise=NoiseEstimate(1.0, bands)).blind.rho == rho


def test_steps_and_samples_reach_the_sampler() -> None:
    assert (sampler().srds.steps, sampler().srds.pairs) == (2, 1)
    more = sampler(Sampling(mode="diffusion", samples=3)).srds
    assert (more.steps, more.pairs) == (10, 3)


# -- what it gives -------------------------------------------------------------------------------------------

METHODS = {
    "student": (DIFFDENOISE, Sampling()),
    "diffusion": (DIFFDENOISE, DIFFUSION),
    "blindspot": (BLINDSPOT, Sampling()),
    "blindspot alone": (BLINDSPOT, Sampling(fusion=False)),
}
methods = pytest.mark.parametrize("name", METHODS)


@methods
def test_offset_and_scale_of_the_image_pass_through(name: str) -> None:
    method, sampling = METHODS[name]
    denoiser = method.load(setup(sampling))
    noisy = image()
    plain = denoiser(noisy, torch.ones(1))
    moved = denoiser(30 * noisy - 700, torch.full((1,), 30.0))
    assert (plain - noisy).std() > 0.02
    torch.testing.assert_close(moved, 30 * plain - 700, rtol=0, atol=0.1)


@methods
@pytest.mark.parametrize("rician", [False, True])
def test_where_there_is_no_noise_nothing_changes(name: str, rician: bool) -> None:
    method, sampling = METHODS[name]
    noise = NoiseEstimate(1.0, model="rician" if rician else "gaussian")
    denoiser = method.load(setup(sampling, noise=noise, modality="MR"))
    noisy = image().abs() + 5
    sigma = torch.ones_like(noisy)
    sigma[..., :10] = 0
    clean = denoiser(noisy, sigma)
    assert torch.equal(clean[..., :10], noisy[..., :10])
    assert not torch.equal(clean, noisy) and bool(clean.isfinite().all())
    if isinstance(denoiser, DiffusionDenoiser):
        told = spread(denoiser.sample(noisy, sigma, generators(1)))
        assert (told[..., :10] == 0).all() and (told >= 0).all() and float(told.max()) > 0


@methods
def test_low_precision_gives_nearly_the_same(name: str) -> None:
    method, sampling = METHODS[name]
    noisy = image(64, 64)
    exact, low = (
        method.load(setup(sampling, precision=precision))(noisy, torch.ones(1))
        for precision in ("fp32", "bf16")
    )
    assert low.dtype == torch.float32
    assert 0 < (exact - low).abs().mean() < 0.1 * (exact - noisy).abs().mean()


def test_magnitudes_stay_magnitudes() -> None:
    noise = NoiseEstimate(1.0, model="rician")
    magnitudes = (image(48, 48, 1).square() + image(48, 48, 2).square()).sqrt()  # background
    for method, sampling in METHODS.values():
        clean = method.load(setup(sampling, noise=noise, modality="MR"))(magnitudes, torch.ones(1))
        assert float(clean.min()) >= 0


@cache
def drawn(first: int, planes: int, batch: int, seed: int = 4) -> np.ndarray:
    """Results of the engine for so many planes from the `first` on: clean and spread, [2, N, Y, X]."""
    noisy, sigma = image(130, 120, count=3).numpy(), np.ones((3, 130, 120), np.float32)
    options = EngineOptions(CPU, tile=128, overlap=32, batch_size=batch, seed=seed)
    part = slice(first, first + planes)
    denoised = Engine(DIFFDENOISE, setup(DIFFUSION), options).run(noisy[part], sigma[part], first)
    assert denoised.spread is not None
    return np.stack([denoised.clean, denoised.spread])


@pytest.mark.parametrize("size", [2, 5])
def test_through_the_engine_neither_batch_nor_order_change_a_draw(size: int) -> None:
    assert np.allclose(drawn(0, 3, size), drawn(0, 3, 1), atol=1e-4)
    assert np.allclose(drawn(1, 1, size)[:, 0], drawn(0, 3, 1)[:, 1], atol=1e-4)


def test_through_the_engine_another_seed_is_another_draw() -> None:
    assert not np.allclose(drawn(0, 1, 1, seed=5)[1, 0], drawn(0, 3, 1)[1, 0], atol=1e-2)


@pytest.mark.parametrize("missed", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("fusion", [True, False])
def test_uncertainty_is_that_of_the_posterior_where_the_network_is_exact(missed: float, fusion: bool) -> None:
    """y given c has variance S + sigma^2; fused with y the clean image keeps S sigma^2 / (S + sigma^2)."""
    schedule, sigma = get_schedule("cosine-1000"), 7.0
    total = np.hypot(missed, 1.0)
    blind = sampler(replace(DIFFUSION, fusion=fusion)).blind
    srds = Srds(GaussianResidual(0.0, float(total), "v", schedule), schedule, "v", steps=100, pairs=8)
    sampled = DiffusionDenoiser(blind, srds).sample(
        sigma * image(96, 96), torch.full((1,), sigma), generators(3)
    )
    expected = sigma * (missed / total if fusion else missed)
    assert float(spread(sampled).square().mean().sqrt()) == pytest.approx(expected, rel=0.08)


# -- trained -------------------------------------------------------------------------------------------------

LEVEL = 25.0


def unseen(number: int) -> tuple[Series, np.ndarray]:
    """A noisy picture that was not trained on, and its truth."""
    truth = scene(100 + number, 128).astype(np.float32)
    noise = LEVEL * np.random.default_rng([number, 7]).standard_normal((1, 128, 128))
    values = (truth + noise).astype(np.float32)
    series = to_series(make_phantom("xray", size=128), values, "noisy")
    return replace(series, pixels=values, stored_range=(-1e30, 1e30)), truth


def short_recipe() -> Recipe:
    """Some hundred steps of small networks."""
    recipe = tiny_recipe()
    assert recipe.stages is not None
    common: dict[str, Any] = {"batch": 8, "patch": 48, "warmup": 20, "precision": "auto"}
    common |= {"validate_every": 10**6, "save_every": 10**6}
    stages = replace(
        recipe.stages,
        blind_network={"channels": [16, 24, 32], "blocks": [1, 1, 1], "entry": 8, "radii": [0]},
        blind=replace(recipe.stages.blind, steps=300, **common),
        diffusion=replace(recipe.stages.diffusion, steps=100, **common),
    )
    return replace(
        recipe,
        stages=stages,
        network_options={"channels": [16, 24, 32], "blocks": [1, 1, 1], "unshuffle": 2},
        loop=replace(recipe.loop, steps=300, **common),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint trained for half a minute of one core on 24 noisy pictures of 128 x 128."""
    folder = tmp_path_factory.mktemp("trained")
    noisy = noisy_folder(folder / "noisy", count=24, side=128, sigma=LEVEL)
    return str(train_tiny(noisy, folder / "run", short_recipe()))


def quality(options: Options) -> float:
    """PSNR over four unseen pictures, dB."""
    errors = []
    for number in range(4):
        series, truth = unseen(number)
        clean = denoise(series, replace(options, sigma=LEVEL, device="cpu")).series.values(0, 1)[0]
        errors.append(float(np.mean((clean - truth) ** 2)))
    return 10 * float(np.log10(255**2 / np.mean(errors)))


@pytest.mark.slow
def test_a_short_training_on_noisy_pictures_removes_their_noise(trained: str) -> None:
    """Measured: student 29.7, blind-spot network 28.5, fused 29.5, sampler 29.5; the input has 20.2 dB."""
    noisy = 20 * np.log10(255 / LEVEL)
    blind = quality(Options(method="blindspot", weights=trained, fusion=False))
    student = quality(Options(method="diffdenoise", weights=trained))
    sampled = quality(Options(method="diffdenoise", mode="diffusion", steps=2, weights=trained))
    assert blind > noisy + 6
    assert student > noisy + 7.5
    assert student > blind + 0.5
    assert sampled > blind + 0.5


@pytest.mark.slow
def test_uncertainty_is_greater_at_edges_and_zero_where_nothing_was_done(trained: str) -> None:
    """Measured over four pictures: 6.8 at edges, 5.0 in flat regions; two are enough to tell them apart."""
    options = Options(
        method="diffdenoise", mode="diffusion", weights=trained, sigma=LEVEL, uncertainty=True, device="cpu",
        steps=3, samples=2,
    )  # fmt: skip
    means = []
    for number in range(2):
        series, truth = unseen(number)
        told = denoise(series, options).uncertainty
        assert told is not None
        uncertain = told.values(0, 1)[0]
        assert uncertain.min() >= 0 and uncertain.mean() < LEVEL
        slope = np.hypot(*np.gradient(truth))
        edges, flat = maximum_filter(slope, 3) > 12, maximum_filter(slope, 9) < 4
        means.append((uncertain[edges].mean(), uncertain[flat].mean()))
    at_edges, in_flat = np.mean(means, axis=0)
    assert at_edges > 1.15 * in_flat
    untouched = denoise(series, replace(options, strength=0.0)).uncertainty
    assert untouched is not None and not untouched.values(0, 1).any()

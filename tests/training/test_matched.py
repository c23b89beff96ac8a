"""BeFOI's own chain: a fluoroscopy run measured, networks trained on cines with that noise, results."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.errors import TrainingError, UsageError
from meddenoise.io import read
from meddenoise.methods.befoi import CineSampler
from meddenoise.methods.conditional import Condition, Diffusion
from meddenoise.networks import build
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.profile import Counts, NoiseProfile
from meddenoise.noise.profile.file import read_profile
from meddenoise.training import TrainingSet, run_training
from meddenoise.training.befoi import StudentTask
from meddenoise.training.begin import begin_as, part_of
from meddenoise.training.data import PatchSource, TrainingImage
from meddenoise.training.data.frames import TYPICAL, FrameSource, degrade_frames
from meddenoise.training.data.load import load_images
from meddenoise.training.matched import match_noise
from meddenoise.training.medcdiff import RestorationTask
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe, shipped_recipes
from meddenoise.training.split import HeldOut, Member, hold_out, split_notes
from meddenoise.weights import load
from meddenoise.weights.checkpoint import load_checkpoint
from tests.cines import run as cine
from tests.cines import truth
from tests.commands import run
from tests.training.noisy_training import Silence

SIDE, FRAMES = 96, 8
NOTHING = NoiseEstimate(0.0)
DEVICE = NoiseProfile(
    unit="", modality="XA", source="frames", gain=0.5, offset=10.0, sigma=8.0, frequency=(0.05, 0.5),
    power=(2.0, 0.4), correlation_px=1.5, rho=0.4, window=(0.0, 255.0), sigmas=(24.0, 12.0, 8.0, 8.0),
    steps=(80, 40, 26, 26), counts=Counts(series=1, planes=4, settled=2),
)  # fmt: skip
EXACT = replace(TYPICAL, level_spread=0.0, clipped=0.0, told_error=0.0, map_unknown=0.0, bands_unknown=0.0)
TINY = """
method = "befoi"
modalities = ["XA", "RF"]

[conditional]
prediction = "v"
schedule = "linear-2000"

[diffusion_network]
profile = "tiny"

[diffusion]
steps = 20
batch = 2
patch = 32
warmup = 5
validate_every = 10
save_every = 10
precision = "fp32"

[network]
name = "noise-unet"
channels = [8, 12]
blocks = [1, 1]
unshuffle = 2
frames = 3

[training]
steps = 60
batch = 4
patch = 32
warmup = 5
learning_rate = 4e-3
ema = 0.9
validate_every = 30
save_every = 30
precision = "fp32"

[[data]]
folder = "."
modality = "XA"
"""


@dataclass(frozen=True)
class Chain:
    folder: Path
    measured: str
    trained: str
    checkpoint: Path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Two cines of twenty times the dose, a fluoroscopy run of another patient, its profile and weights."""
    folder = tmp_path_factory.mktemp("chain")
    size = ("--size", SIDE, "--frames", FRAMES)
    run("phantom", "fluoro", folder / "fluoro", *size, "--seed", 5)
    (folder / "cines").mkdir()
    for seed in (1, 2):
        run("phantom", "fluoro", folder / f"study{seed}", *size, "--dose", 20, "--seed", seed)
        (folder / f"study{seed}" / "noisy").rename(folder / "cines" / f"cine{seed}")
    profile, recipe = folder / "p.toml", folder / "tiny.toml"
    recipe.write_text(TINY)
    measured = run("noise", folder / "fluoro" / "noisy", "-o", profile).stderr
    trained = run("train", "--method", "befoi", "--recipe", recipe, "--noise-profile", profile,
                  "--data", folder / "cines", "-o", folder / "run")  # fmt: skip
    return Chain(folder, measured, trained.stderr, Path(trained.stdout.split()[-1]))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def test_a_single_run_holds_its_last_frames_out_and_one_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    cine(np.rint(truth(10)).astype(np.uint16)).save_as(tmp_path / "one" / "a.dcm", enforce_file_format=True)
    rows, nothing = (DataRow(range=1000.0),), lambda done, total: None
    training, validation = load_images(TrainingSet(tmp_path / "one", profile=DEVICE), rows, 32, nothing)
    assert (len(training), len(validation)) == (7, 3)
    planes = [image.plane for image in (*training, *validation)]
    expected = (truth(10) * 0.255).astype(np.float32)
    np.testing.assert_allclose(planes, expected, atol=0.2)
    assert training[0].run is None and training[-1].run is None, "no neighbour is held out"
    run_of = training[3].run
    assert run_of is not None
    np.testing.assert_allclose(run_of, expected[2:5], atol=0.2)
    notes = split_notes((image.group for image in training), (image.group for image in validation))
    assert "the last 3 planes of a.dcm" in notes[0]
    (tmp_path / "short").mkdir()
    cine(np.rint(truth(4)).astype(np.uint16)).save_as(tmp_path / "short" / "b.dcm", enforce_file_format=True)
    with pytest.raises(TrainingError, match="one series only, of 4 planes, where 6 are needed"):
        load_images(TrainingSet(tmp_path / "short", profile=DEVICE), rows, 32, nothing)
    with pytest.raises(TrainingError, match=r"a\.dcm is XA, the noise profile is of MR"):
        load_images(TrainingSet(tmp_path / "one", profile=replace(DEVICE, modality="MR")), rows, 32, nothing)


def test_few_images_are_split_by_patient_then_by_series_then_by_time() -> None:
    patients = [Member("ann", "1", 5), Member("ann", "2", 5), Member("bob", "3", 5)]
    held = hold_out(patients)
    assert held is not None and held.groups in ({"1", "2"}, {"3"}) and held == hold_out(patients[::-1])
    series = hold_out(patients[:2])
    assert series is not None and len(series.groups) == 1
    assert [held_out for held_out, _ in series.parts(next(iter(series.groups)))] == [True]
    assert hold_out([Member("ann", "1", 40)]) == HeldOut(last=8)
    assert hold_out([Member("ann", "1", 5)]) is None and hold_out([]) is None


def test_frames_get_the_level_the_spectrum_and_the_lag_of_the_device() -> None:
    settled = replace(DEVICE, sigmas=(8.0, 8.0, 8.0))
    clean = np.broadcast_to(np.linspace(20, 220, 64, dtype=np.float32), (3, 64, 64)).copy()
    powers, lags, bands = [], [], []
    for seed in range(40):
        made = degrade_frames(clean, NOTHING, EXACT, np.random.default_rng(seed), settled)
        noise = made.noisy - clean
        np.testing.assert_allclose(made.told, settled.sigma_at(clean[1]), rtol=1e-3)
        if np.array_equal(made.noisy[0], made.noisy[1]):  # one frame several times
            continue
        powers.append(np.square(noise).mean(axis=(0, 1)))
        lags.append(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1])
        bands.append(made.bands)
    measured, expected = np.mean(powers, axis=0), 0.5 * clean[0, 0] + 10
    slopes = [np.polyfit(clean[0, 0], values, 1)[0] for values in (measured, expected)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.15)
    assert measured.mean() == pytest.approx(expected.mean(), rel=0.05)
    assert np.mean(lags) == pytest.approx(0.4, abs=0.05)
    assert np.mean(bands, axis=0)[0] > 1.15 and np.mean(bands, axis=0)[-1] < 0.85


def test_levels_are_those_of_successive_frames_of_a_run() -> None:
    seen = {tuple(DEVICE.draw_ratios(3, np.random.default_rng(seed)).tolist()) for seed in range(60)}
    assert seen == {(3.0, 3.0, 1.5), (3.0, 1.5, 1.0), (1.5, 1.0, 1.0), (1.0, 1.0, 1.0)}
    two = replace(DEVICE, sigmas=(24.0, 8.0, 16.0, 8.0), counts=Counts(series=2, planes=4, settled=2))
    drawn = {tuple(two.draw_ratios(3, np.random.default_rng(seed)).tolist()) for seed in range(60)}
    assert drawn == {(3.0, 3.0, 1.0), (3.0, 1.0, 1.0), (2.0, 2.0, 1.0), (2.0, 1.0, 1.0)}


def test_single_images_of_a_run_get_the_levels_of_its_frames() -> None:
    plane, valid = np.tile(np.arange(64, dtype=np.float32), (64, 1)), np.ones((1, 64, 64), bool)
    like = replace(DEVICE, gain=0.0, offset=64.0).estimate(plane[None], valid)
    image = TrainingImage(plane, "XA", ".", "a", NOTHING, like=like, device=DEVICE)
    source = PatchSource([image], {".": 1.0}, EXACT, 32, 0)
    drawn = {round(float(scale)) for step in range(8) for scale in source.batch(step, 4).scale}
    assert drawn == {8, 12, 24}


def test_the_noise_that_cine_frames_have_counts_and_is_never_most_of_it() -> None:
    clean, rng = np.full((3, 64, 64), 100.0, np.float32), np.random.default_rng(0)
    settled = replace(DEVICE, sigmas=(8.0,) * 4)
    total = rms(settled.sigma_at(clean[1]))
    little = match_noise(clean, settled, NoiseEstimate(3.0), EXACT, rng)
    assert np.hypot(rms(little.level), 3.0) == pytest.approx(total, rel=1e-3)
    made = degrade_frames(clean, NoiseEstimate(3.0), EXACT, rng, settled)
    assert made.own_share.shape == (64, 33) and made.sigma == pytest.approx(total, rel=1e-3)
    assert float(made.own_share.mean()) == pytest.approx(9 / total**2, rel=0.5)
    as_noisy = match_noise(clean, settled, NoiseEstimate(total), EXACT, rng)
    share = total**2 / (total**2 + rms(as_noisy.level) ** 2)
    assert share == pytest.approx(EXACT.own_limit, rel=1e-3)


def test_frames_of_a_cine_are_learned_from_as_they_follow_each_other() -> None:
    frames = np.stack([np.full((64, 64), value, np.float32) + np.arange(64) for value in (50, 100, 150)])
    image = TrainingImage(frames[1], "XA", ".", "a", NOTHING, device=replace(DEVICE, gain=0.0, offset=1e-4),
                          run=frames)  # fmt: skip
    source = FrameSource([image], {".": 1.0}, EXACT, 32, 0)
    ways = set()
    for seed in range(20):
        noisy, clean = source.draw(np.random.default_rng(seed))
        assert noisy.noisy.shape == (3, 32, 32) and abs(float(np.mean(noisy.noisy[1] - clean))) < 0.1
        ways.add(int(np.sign(np.mean(noisy.noisy[2] - noisy.noisy[0]))))
    assert {-1, 1} <= ways, "forwards and backwards"


class Knowing(nn.Module):
    """The exact network for independent pixels of N(0, PRIOR^2); keeps the steps and states it was given."""

    PRIOR = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.schedule = get_schedule("linear-1000")
        self.seen: list[tuple[int, Tensor]] = []

    def forward(self, state: Tensor, channels: Tensor, time: Tensor) -> Tensor:
        index = (time * len(self.schedule)).round().long() - 1
        self.seen += [(int(step), one) for step, one in zip(index, state, strict=True)]
        alpha, sigma = self.schedule.levels(index)
        frame, level = channels[:, :1], channels[:, 3:]
        weights = 1 / self.PRIOR**2 + (alpha / sigma) ** 2 + 1 / level**2
        clean = (alpha / sigma**2 * state + frame / level**2) / weights
        return (alpha * state - clean) / sigma + sigma * frame


LEVELS = 0.1, 0.3


def frames_of(levels: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Truth [B, 1, H, W], frames with neighbours [B, 3, H, W] and maps of their level, in network units."""
    generator = torch.Generator().manual_seed(3)
    truths = Knowing.PRIOR * torch.randn(len(levels), 1, 48, 48, generator=generator)
    sigma = torch.tensor(levels).reshape(-1, 1, 1, 1).expand_as(truths).contiguous()
    noisy = truths + sigma * torch.randn(len(levels), 3, 48, 48, generator=generator)
    return truths, noisy, sigma


def sampler(rule: str = "") -> tuple[Knowing, CineSampler]:
    network = Knowing()
    return network, CineSampler(Diffusion(network, network.schedule, "v"), (-1.0, 1.0), rule=rule)


@pytest.mark.parametrize("rule", ["", "budgeted", "faithful"])
def test_every_frame_is_sampled_from_its_matched_time_on(rule: str) -> None:
    network, sample = sampler(rule)
    _, noisy, sigma = frames_of(LEVELS)
    sample(noisy, sigma)
    matched = [network.schedule.index_of(level) for level in LEVELS]
    last = len(network.schedule) - 1
    seen = [step for step, _ in network.seen]
    assert [seen[0], seen[0]] == ([last, last] if rule != "faithful" else [matched[0]] * 2)
    assert max(step for step in seen if step < last) == matched[1] and matched[0] in seen


def test_by_the_published_rule_the_frame_itself_is_the_first_state() -> None:
    network, sample = sampler("faithful")
    _, noisy, sigma = frames_of(LEVELS[:1])
    sample(noisy, sigma)
    step, state = network.seen[0]
    inside = state[:, 16:-16, 16:-16]
    torch.testing.assert_close(inside, noisy[0, 1:2] * float(network.schedule.alpha[step]), atol=1e-4, rtol=0)


def test_with_an_exact_network_the_start_keeps_the_mean_and_tells_the_spread() -> None:
    _, sample = sampler()
    truths, noisy, sigma = frames_of(LEVELS)
    made = sample.sample(noisy, sigma, [torch.Generator().manual_seed(k) for k in range(2)])
    variance = 1 / (1 / Knowing.PRIOR**2 + 1 / sigma**2)
    torch.testing.assert_close(made.clean, variance / sigma**2 * noisy[:, 1:2], atol=0.01, rtol=0)
    assert made.spread is not None
    told = made.spread.mean(dim=(1, 2, 3)) / variance.sqrt().mean(dim=(1, 2, 3))
    assert told.tolist() == pytest.approx([1, 1], rel=0.1)
    for index, level in enumerate(LEVELS):
        alone = sample.sample(noisy[index : index + 1], sigma[index : index + 1],
                              [torch.Generator().manual_seed(index)])  # fmt: skip
        torch.testing.assert_close(alone.clean[0], made.clean[index], msg=f"{level} in a batch")
    assert float((made.clean - truths).square().mean()) < float((noisy[:, 1:2] - truths).square().mean())


def own_recipe() -> Recipe:
    return replace(read_recipe("befoi-own"), data=(DataRow(),))


def test_both_networks_of_ones_own_begin_as_the_bundled_ones() -> None:
    recipe, bundled = own_recipe(), load("befoi")
    plane = np.random.default_rng(0).uniform(50, 200, (128, 128)).astype(np.float32)
    images = [TrainingImage(plane, "XA", ".", "a", NOTHING, device=DEVICE)]
    diffusion = part_of(bundled, "diffusion")
    assert diffusion is not None
    task = RestorationTask(recipe, images, [], diffusion)
    student = StudentTask(recipe, images, [], diffusion)
    for made, prefix in ((task.network(), "diffusion."), (student.network(), "student.")):
        for name, weights in made.state_dict().items():
            assert torch.equal(weights, bundled.tensors[prefix + name].float()), name
    other = replace(recipe, conditional=replace(recipe.conditional, network={"profile": "tiny"}))
    assert RestorationTask(other, images, [], diffusion).start is None
    mean = Condition(torch.zeros(1, 4, 32, 32))
    assert student.teacher.mean(mean).shape == (1, 1, 32, 32)


def test_a_student_begins_as_the_weights_given_unless_its_recipe_begins_as_another_method() -> None:
    bundled = load("befoi")
    other = replace(bundled, tensors={name: 2 * value for name, value in bundled.tensors.items()})
    plane = np.random.default_rng(0).uniform(50, 200, (128, 128)).astype(np.float32)
    images = [TrainingImage(plane, "XA", ".", "a", NOTHING, device=DEVICE)]
    diffusion = part_of(bundled, "diffusion")
    assert diffusion is not None
    own = StudentTask(own_recipe(), images, [], diffusion, other).network().state_dict()
    assert all(
        torch.equal(value, 2 * bundled.tensors[f"student.{key}"].float()) for key, value in own.items()
    )
    shipped = replace(read_recipe("befoi"), data=(DataRow(),))
    begun = StudentTask(shipped, images, [], diffusion, other).network().state_dict()
    direct = load("direct").tensors
    assert all(torch.equal(value, direct[key].float()) for key, value in begun.items())


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_begins_as_weights_that_fit_its_network(name: str) -> None:
    recipe = read_recipe(name)
    if not recipe.start:
        return
    start = part_of(load(recipe.start), "student")
    assert start is not None
    if start.metadata.network_options != recipe.network_options:
        begun = begin_as(start, recipe.network_options)
        shapes = {key: weights.shape for key, weights in begun.tensors.items()}
        network = build(recipe.network, recipe.network_options)
        assert shapes == {key: weights.shape for key, weights in network.state_dict().items()}


def test_a_run_denoised_by_what_its_own_noise_trained_is_nearer_to_the_truth(chain: Chain) -> None:
    noisy, clean = (read(chain.folder / "fluoro" / name)[0].values(0, FRAMES) for name in ("noisy", "clean"))
    before = rms(noisy - clean)
    for mode, most in (("distilled", 0.8), ("diffusion", 1.0)):
        output = chain.folder / mode
        run("denoise", chain.folder / "fluoro" / "noisy", "-o", output, "--weights", chain.checkpoint,
            "--mode", mode, "--noise-profile", chain.folder / "p.toml", "--device", "cpu", "--no-report",
            "--precision", "fp32")  # fmt: skip
        assert rms(read(output)[0].values(0, FRAMES) - clean) < most * before, mode


def test_the_run_says_what_it_validates_on_and_learned(chain: Chain) -> None:
    assert "diffusion steps" in chain.measured
    assert ", one of 2 series; the others train." in " ".join(chain.trained.split())
    metadata = load_checkpoint(chain.checkpoint, sha256=None).metadata
    assert metadata.method == "befoi" and metadata.network_options["frames"] == 3
    assert set(metadata.method_options["validation"]) == {"XA-own", "score"}


def test_a_profile_that_does_not_fit_is_refused_in_a_sentence(chain: Chain, tmp_path: Path) -> None:
    profile = read_profile(chain.folder / "p.toml")
    recipe = read_recipe(str(chain.folder / "tiny.toml"))
    folder = chain.folder / "cines"
    for changes, error, words in (
        ({"source": "one image"}, UsageError, "measured from one image: BeFOI needs the noise of at least 3"),
        ({"sigmas": (5.0, 5.0), "steps": (9, 9)}, UsageError, "measured from runs of 2 frames"),
        ({"sigma": 0.0}, UsageError, "of images without noise"),
        ({"modality": "CT"}, TrainingError, "is XA, the noise profile is of CT: measure a profile"),
    ):
        given = TrainingSet(folder, profile=replace(profile, **changes))
        with pytest.raises(error, match=words):
            run_training(recipe, given, tmp_path / "run", watch=Silence())
    with pytest.raises(UsageError, match="leave one of them out"):
        run_training(recipe, TrainingSet(folder, folder, profile), tmp_path / "run", watch=Silence())
    assert not list(tmp_path.rglob("*.safetensors"))

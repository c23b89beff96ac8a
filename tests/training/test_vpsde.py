"""Training the VP-SDE score network: its loss, its patches, OrganAMNIST, and the way to a denoised image."""

import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from meddenoise.diffusion.schedules import cosine_levels
from meddenoise.errors import TrainingError, UsageError, WeightsError
from meddenoise.networks.vpsde_unet import VpsdeUNet
from meddenoise.pipeline.options import Options
from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.data.organamnist import load_organamnist
from meddenoise.training.data.windowed import PatchDraws, WindowedPlane, cut_patches, load_windowed
from meddenoise.training.loop import Share
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe
from meddenoise.training.vpsde import ScoreTask
from tests.io_samples import nifti
from tests.training.noisy_training import Silence, scene

STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NIfTI planes in HU, the last two listed for validation."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["file,split"]
    for number in range(6):
        hu = scene(number, 96) - 60.0
        hu[:, :8] = -1000
        nifti(folder / f"p{number}.nii", hu[None].astype(np.int16))
        lines.append(f"p{number}.nii,{'val' if number >= 4 else 'train'}")
    (folder / "SPLITS.csv").write_text("\n".join(lines))
    return folder


def tiny(**score: object) -> Recipe:
    recipe = read_recipe("vpsde-abdomen")
    short = {"steps": STEPS, "batch": 8, "warmup": 5, "validate_every": 30, "save_every": 20}
    return replace(
        recipe,
        network_options={"width": 24},
        loop=replace(recipe.loop, **short, precision="fp32"),
        data=(DataRow(),),
        score=replace(recipe.score, **score),
    )


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_training(tiny(), TrainingSet(folder), tmp_path_factory.mktemp("run"), watch=Silence())


def planes(count: int = 2, side: int = 28) -> list[WindowedPlane]:
    made = [np.clip(scene(n, side) / 100 - 1, -1, 1).astype(np.float32) for n in range(count)]
    return [WindowedPlane(plane, ".", str(n)) for n, plane in enumerate(made)]


class Telling(VpsdeUNet):
    """A network that says the same of every state, and keeps what it was shown."""

    def __init__(self, says: float, plus: bool = False) -> None:
        super().__init__(12, plus)
        self.says = says

    def forward(self, state: Tensor, time: Tensor, measured: Tensor | None = None) -> Tensor:
        self.state, self.shown, self.measured = state, time, measured
        return torch.full_like(state, self.says)


def test_a_short_training_denoises_a_whole_image_in_one_evaluation_and_by_draws(
    trained: Path, folder: Path
) -> None:
    import meddenoise

    (series,) = meddenoise.read(folder / "p5.nii")
    noise = 40 * np.random.default_rng(0).standard_normal((1, 96, 96)).astype(np.float32)
    noisy = replace(
        series,
        pixels=series.values(0, 1) + noise,
        stored_range=(-1e9, 1e9),
        slope=np.ones(1),
        intercept=np.zeros(1),
    )
    told = {"weights": str(trained), "sigma": 40.0, "device": "cpu", "precision": "fp32"}

    def error(result: object) -> float:
        values = result.series.values(0, 1)  # type: ignore[attr-defined]
        return float((values - series.values(0, 1))[..., 12:].std())

    mean = meddenoise.denoise(noisy, Options(method="vpsde", **told))
    assert mean.mode == "mmse" and error(mean) < 0.85 * 40
    np.testing.assert_allclose(mean.series.values(0, 1)[..., :6], noisy.values(0, 1)[..., :6], atol=1e-3)
    draws = meddenoise.denoise(noisy, Options(method="vpsde", samples=3, uncertainty=True, **told))
    assert draws.mode == "diffusion" and error(draws) < 0.9 * 40
    assert draws.uncertainty is not None and draws.uncertainty.values(0, 1).min() > 0
    slides = meddenoise.denoise(noisy, Options(method="vpsde-slides", steps=3, **told))
    assert slides.mode == "diffusion" and np.isfinite(slides.series.values(0, 1)).all()


def test_a_checkpoint_without_its_window_is_refused(trained: Path, tmp_path: Path) -> None:
    from meddenoise.methods import Setup, get
    from meddenoise.weights.checkpoint import load_checkpoint, save_checkpoint

    whole = load_checkpoint(trained, sha256=None)
    assert all(weights.dtype == torch.float16 for weights in whole.tensors.values())
    path = tmp_path / "bare.safetensors"
    save_checkpoint(path, whole.tensors, replace(whole.metadata, normalisation={"name": "none"}))
    with pytest.raises(WeightsError, match="states no window"):
        get("vpsde").load(Setup(checkpoint=load_checkpoint(path, sha256=None)))


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    folder: Path, trained: Path, tmp_path: Path
) -> None:
    class Stopping(Silence):
        def step(self, step: int, total: int, values: dict[str, float]) -> None:
            if step == 25:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(tiny(), TrainingSet(folder), tmp_path, watch=Stopping())
    assert (
        run_training(tiny(), TrainingSet(folder), tmp_path, watch=Silence()).read_bytes()
        == trained.read_bytes()
    )


def test_the_loss_is_that_of_the_noise_and_of_the_amplitudes() -> None:
    sides = planes(), planes()
    without, bounded, slides = (
        ScoreTask(tiny(**options), sides).loss(Telling(0.0), 0, Share(torch.device("cpu")))
        for options in ({"frequency_weight": 0.0}, {}, {"frequency": "slides"})
    )
    assert float(without) == pytest.approx(1, abs=0.05), "the power of the noise itself"
    assert 0.01 < float(bounded - without) < 0.3
    assert float(slides - without) > 5, "ruled by states of almost pure noise"


def test_levels_are_spread_evenly_and_states_have_unit_power() -> None:
    network, task = Telling(0.0), ScoreTask(tiny(), (planes(), planes()))
    task.loss(network, 3, Share(torch.device("cpu")))
    assert torch.equal((network.shown * 8).long(), torch.arange(8))
    assert float(network.state[-1].std()) == pytest.approx(1, abs=0.1)
    whole = network.state
    task.loss(network, 3, Share(torch.device("cpu"), 1, 2))
    assert torch.equal(network.state, whole[1::2])


def test_weak_noise_has_the_share_it_is_given_evenly_in_its_logarithm() -> None:
    recipe = tiny(weak=0.5)
    recipe = replace(recipe, loop=replace(recipe.loop, batch=200))
    network, task = Telling(0.0), ScoreTask(recipe, (planes(), planes()))
    task.loss(network, 0, Share(torch.device("cpu")))
    alpha, sigma = cosine_levels(network.shown.double())
    decades = (sigma / alpha)[:100].log10()
    assert float(decades.max()) < 1e-3 and float(decades.min()) > math.log10(0.0064)
    assert float((decades < -1).float().mean()) == pytest.approx(1.187 / 2.187, abs=0.02)
    assert torch.equal((network.shown[100:] * 4).long(), torch.arange(100) // 25)


def test_even_patches_are_mixed_in_by_their_share() -> None:
    rng = np.random.default_rng(0)
    plane = rng.uniform(-0.9, 0.9, (96, 96)).astype(np.float32)
    draws = PatchDraws([WindowedPlane(plane, ".", "a")], {".": 1.0}, 28, seed=1, plain=0.3)
    batch = draws.batch(0, 200)
    values = torch.tensor([len(patch.unique()) for patch in batch])
    assert 0.2 < float((values <= 2).float().mean()) < 0.4 and float(batch.abs().max()) <= 1


def test_a_plus_network_is_shown_the_noisy_image_the_state_came_from() -> None:
    recipe = replace(tiny(), network_options={"width": 12, "plus": True})
    recipe = replace(recipe, loop=replace(recipe.loop, batch=64))
    network, task = Telling(0.0, plus=True), ScoreTask(recipe, (planes(), planes()))
    task.loss(network, 0, Share(torch.device("cpu")))
    assert network.measured is not None
    same = (network.measured - network.state).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert 0.3 < float(same.float().mean()) < 0.7
    loss = task.loss(task.network(), 0, Share(torch.device("cpu")))
    loss.backward()
    assert bool(loss.isfinite())


def test_patches_are_of_the_step_alone_and_lie_inside_the_window() -> None:
    plane = np.full((96, 96), -1, np.float32)
    plane[:, 48:] = 0.5
    draws = PatchDraws([WindowedPlane(plane, ".", "a")], {".": 1.0}, 28, seed=1)
    batch = draws.batch(5, 32)
    assert batch.shape == (32, 1, 28, 28) and torch.equal(batch, draws.batch(5, 32))
    assert not torch.equal(batch, draws.batch(6, 32))
    assert float((batch.abs() < 1).float().mean(dim=(1, 2, 3)).gt(0.4).float().mean()) > 0.8
    grid = list(cut_patches(plane, 28))
    assert len(grid) == 3, "three rows of the one column that is at least half inside"


def test_planes_are_windowed_and_split(folder: Path) -> None:
    training, validation = load_windowed(
        TrainingSet(folder), (DataRow(),), (-160.0, 240.0), 28, lambda *_: None
    )
    assert (len(training), len(validation)) == (4, 2)
    plane = training[0].plane
    assert plane.min() == -1 and plane.max() <= 1 and plane.dtype == np.float32
    with pytest.raises(TrainingError, match=r"give it in \[score\]"):
        load_windowed(
            TrainingSet(folder), (DataRow(low=-160, range=400),), (-160.0, 240.0), 28, lambda *_: None
        )
    with pytest.raises(TrainingError, match="gives no image of 97 x 97"):
        load_windowed(TrainingSet(folder), (DataRow(),), (-160.0, 240.0), 97, lambda *_: None)


def test_pairs_and_blind_radii_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --ref"):
        run_training(tiny(), TrainingSet(folder, folder), tmp_path, watch=Silence())
    with pytest.raises(UsageError, match="--blind-radius"):
        run_training(tiny(), TrainingSet(folder), tmp_path, Manner(blind_radius=2), watch=Silence())


@pytest.mark.parametrize("name", ["vpsde", "vpsde-paper", "vpsde-plus"])
def test_the_shipped_recipes_make_networks_of_their_sizes(name: str) -> None:
    from meddenoise.networks import build

    recipe = read_recipe(name)
    with torch.device("meta"):
        size = sum(weights.numel() for weights in build(recipe.network, recipe.network_options).parameters())
    assert (size == 6_614_881) == (name == "vpsde-paper")
    assert name == "vpsde-paper" or 2 * size < 12 << 20, "bytes in half precision"


def has_medmnist() -> bool:
    """The package and what it needs: it is imported without its data sets where something is missing."""
    if find_spec("medmnist") is None:
        return False
    import medmnist

    return hasattr(medmnist, "OrganAMNIST")


def write_organamnist(folder: Path, count: int = 12) -> np.ndarray:
    """A small file in the format of OrganAMNIST; its training images."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 11, (count, 1), dtype=np.uint8)
    np.savez(folder / "organamnist.npz", **arrays)
    return arrays["train_images"]


@pytest.mark.skipif(not has_medmnist(), reason="needs the extra medmnist")
def test_organamnist_is_read_by_its_own_loader_and_trained_on(tmp_path: Path) -> None:
    images = write_organamnist(tmp_path)
    training, validation = load_organamnist(tmp_path, 28)
    assert len(training) == len(validation) == 12
    np.testing.assert_allclose(127.5 * (training[3].plane + 1), images[3], atol=1e-3)
    recipe = replace(tiny(dataset="organamnist"), loop=replace(tiny().loop, steps=4, validate_every=2))
    path = run_training(recipe, TrainingSet(tmp_path), tmp_path / "run", watch=Silence())
    assert path.exists()
    with pytest.raises(TrainingError, match="no patches of 30"):
        load_organamnist(tmp_path, 30)
    (tmp_path / "organamnist.npz").write_bytes(b"no archive")
    with pytest.raises(TrainingError, match="no usable OrganAMNIST of 28"):
        load_organamnist(tmp_path, 28)


@pytest.mark.skipif(has_medmnist(), reason="the extra medmnist is installed")
def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'meddenoise\[medmnist\]'"):
        load_organamnist(tmp_path, 28)

"""Training of the network that reads noise: labelled draws, its loss, and the checkpoint it leaves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from meddenoise.networks import build
from meddenoise.networks.noise_level import CELL, NoiseReading
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.cells import CELLS, spectrum_cells
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.noise_draws import MODALITIES, draw_labelled
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.loop import Share
from meddenoise.training.noise_level import NoiseLevelTask, measure, to_batch
from meddenoise.training.recipe import DataRow, Recipe
from meddenoise.training.recipe_file import read_recipe
from meddenoise.weights.checkpoint import load_checkpoint, load_state

CPU = torch.device("cpu")
NONE = NoiseEstimate(0.0)


def test_labels_are_the_noise_that_was_added() -> None:
    """On a flat plane all there is is noise: level and spectrum of what came out are those of the label."""
    mix = replace(read_recipe("noise-estimator").noise, sigma_min=5.0, sigma_max=20.0, rician=0.0)
    flat = np.full((128, 128), 120, np.float32)
    off, bands = [], []
    for seed in range(60):
        drawn = draw_labelled(flat, NONE, "", replace(mix, none=0.0), np.random.default_rng(seed))
        unit = ((drawn.noisy - flat) / drawn.level)[drawn.valid]
        off.append(unit.std())
        if drawn.valid.all():
            cells = spectrum_cells(np.abs(np.fft.rfft2((drawn.noisy - flat) / drawn.level)), 128)
            bands.append(np.abs(cells - drawn.spectrum)[4:].max())
    assert np.median(off) == pytest.approx(1, abs=0.02)
    assert np.quantile(np.abs(np.log(off)), 0.9) < 0.1
    assert np.median(bands) < 0.1


def test_noise_of_the_image_itself_is_counted() -> None:
    mix = replace(read_recipe("noise-estimator").noise, clipped=0.0)
    own = NoiseEstimate(3.0, (0.5, 1, 1, 1.1))
    for seed in range(20):
        drawn = draw_labelled(
            draw_scene(64, np.random.default_rng(0)), own, "CT", mix, np.random.default_rng(seed)
        )
        assert drawn.level.min() >= 3.0
        assert np.sqrt(np.mean(drawn.level**2)) > 0.95 * np.hypot(9, 3)


def test_every_modality_and_kind_gives_whole_patches() -> None:
    mix = read_recipe("noise-estimator").noise
    scene = draw_scene(64, np.random.default_rng(1))
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = draw_labelled(scene, NONE, MODALITIES[seed % 4], mix, rng)
        assert drawn.noisy.shape == drawn.level.shape == drawn.valid.shape == (64, 64)
        assert np.isfinite(drawn.noisy).all() and drawn.spectrum.shape == (CELLS,)
        assert not (drawn.rician and drawn.noisy.min() < 0)


def test_a_right_reading_has_no_error() -> None:
    mix = replace(read_recipe("noise-estimator").noise, none=0.0, sigma_min=5.0)
    scene = draw_scene(64, np.random.default_rng(1))
    batch = to_batch([draw_labelled(scene, NONE, "DX", mix, np.random.default_rng(n)) for n in range(4)])
    count = batch.valid.sum(dim=(1, 2, 3))
    level = ((batch.level.square() * batch.valid).sum(dim=(1, 2, 3)) / count).sqrt().log()
    local = torch.nn.functional.avg_pool2d(batch.level.square(), CELL).sqrt().log()
    nothing = torch.full_like(level, -9.0)
    errors = measure(NoiseReading(level, local, batch.spectrum.log(), level, level, nothing), batch)
    assert float(errors.level.abs().max()) < 1e-5
    assert float(errors.local.max()) < 1e-5
    assert float(errors.spectrum.max()) < 1e-5
    wrong = measure(NoiseReading(level + 0.3, local, batch.spectrum.log(), level, level, nothing), batch)
    assert wrong.level.tolist() == pytest.approx([0.3] * 4, abs=1e-5)


def tiny_recipe() -> Recipe:
    recipe = read_recipe("noise-estimator")
    return replace(
        recipe,
        network_options={"channels": 12, "blocks": 1, "hidden": 32},
        loop=replace(recipe.loop, batch=6, patch=64, steps=60, warmup=10),
        data=(DataRow(folder="pictures"),),
    )


def images(count: int, seed: int) -> list[TrainingImage]:
    rng = np.random.default_rng(seed)
    return [TrainingImage(draw_scene(128, rng), "DX", "pictures", str(n), NONE) for n in range(count)]


@torch.no_grad()
def held_out(task: NoiseLevelTask, net: torch.nn.Module) -> float:
    """The mean loss of some steps that are not trained on."""
    return float(np.mean([float(task.loss(net, step, Share(CPU))) for step in range(1000, 1020)]))


def test_training_brings_the_loss_down_and_the_checkpoint_says_the_same(tmp_path: Path) -> None:
    task = NoiseLevelTask(tiny_recipe(), images(6, 0), images(2, 1))
    torch.manual_seed(0)
    net = task.network()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    before = held_out(task, net)
    for step in range(80):
        loss = task.loss(net, step, Share(CPU))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert held_out(task, net) < before - 0.2
    scores = task.validate(net, CPU)
    assert {"score", "spectrum", "rician", "level-pictures"} <= scores.keys()
    task.export(net, scores, 60, tmp_path / "net.safetensors")
    checkpoint = load_checkpoint(tmp_path / "net.safetensors", sha256=None)
    assert all(tensor.dtype == torch.float16 for tensor in checkpoint.tensors.values())
    again = build(checkpoint.metadata.network, dict(checkpoint.metadata.network_options))
    load_state(again, checkpoint)
    assert task.validate(again, CPU)["score"] == pytest.approx(scores["score"], abs=0.5)


@torch.no_grad()
def test_a_step_is_the_same_whoever_computes_it() -> None:
    task = NoiseLevelTask(tiny_recipe(), images(6, 0), images(2, 1))
    net = task.network()
    whole = float(task.loss(net, 5, Share(CPU)))
    halves = [float(task.loss(net, 5, Share(CPU, index, 2))) for index in range(2)]
    assert np.mean(halves) == pytest.approx(whole, rel=0.05)

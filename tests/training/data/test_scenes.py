"""Random scenes and phantoms as training images: exact, varied, repeatable, never those of a benchmark."""

import numpy as np
import pytest

from meddenoise.errors import UsageError
from meddenoise.phantom import make_phantom
from meddenoise.training.data import SCENES, PatchSource
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.drawn import FIRST_SEED, HELD_OUT_SEED, PLANES, SIZE, draw_phantoms
from meddenoise.training.recipe import DataRow


@pytest.mark.parametrize("side", [32, 96, 129])
def test_a_scene_is_of_its_generator_alone(side):
    first, second = (draw_scene(side, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (side, side) and first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, draw_scene(side, np.random.default_rng(6)))


def test_scenes_are_finite_varied_and_about_8_bit():
    scenes = [draw_scene(64, np.random.default_rng(seed)) for seed in range(40)]
    assert all(np.isfinite(scene).all() for scene in scenes)
    assert np.quantile([scene.mean() for scene in scenes], [0.1, 0.9]).tolist() == pytest.approx(
        [70, 170], abs=60
    )
    flat = [np.median(np.abs(np.diff(scene, axis=1))) < 0.5 for scene in scenes]
    assert 4 < sum(flat) < 36, "some are even, some are textured"


def test_phantoms_of_training_and_validation_are_different_and_scaled():
    row = DataRow(phantom="mr", seeds=2)
    training, held_out = list(draw_phantoms(row)), list(draw_phantoms(row, held_out=True))
    assert len(training) == 2 * len(held_out) == 2 * PLANES
    assert {image.group for image in training} == {f"phantom:mr/{FIRST_SEED + n}" for n in range(2)}
    truth = make_phantom("mr", size=SIZE, planes=PLANES, seed=HELD_OUT_SEED).truth
    scale = held_out[0].plane.max() / truth[0].max()
    np.testing.assert_allclose(held_out[0].plane, truth[0] * scale, rtol=1e-5)
    assert np.percentile([image.plane for image in training], 99.9) == pytest.approx(255, rel=0.02)
    assert all(image.own.sigma == 0 and image.modality == "MR" for image in training)


def test_scenes_are_drawn_anew_for_every_patch_with_noise_of_every_modality():
    (image,) = draw_phantoms(DataRow(phantom="scenes", modality="*"))
    assert not list(draw_phantoms(DataRow(phantom="scenes"), held_out=True))
    source = PatchSource([image], {SCENES: 1.0}, NoiseMix(), 48, seed=0)
    drawn = [source.draw_patch(np.random.default_rng(seed)) for seed in range(30)]
    assert {found.modality for found, _, _ in drawn} == {"CT", "MR", "DX", "XA"}
    assert len({patch.tobytes() for _, patch, _ in drawn}) == 30


def test_a_row_of_images_draws_nothing_and_an_unknown_phantom_is_refused():
    assert not list(draw_phantoms(DataRow(folder="ct")))
    with pytest.raises(UsageError, match="phantom"):
        list(draw_phantoms(DataRow(phantom="knee")))

"""Faint spots in training patches: as strong as the noise, in the slices that a network compares."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.noise import NoiseEstimate
from meddenoise.training.data import PatchSource, TrainingImage
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.slices import SliceSource
from meddenoise.training.data.spots import CNR, MOST, add_spots

FLAT = np.full((96, 96), 120, np.float32)
MIX = NoiseMix(sigma_min=20, sigma_max=20.01, none=0, rician=0, clipped=0, told_error=0)


@pytest.mark.parametrize("sigma", [0.5, 20.0])
def test_spots_are_as_strong_as_the_noise(sigma: float) -> None:
    rng = np.random.default_rng(0)
    most = [float(np.abs(add_spots(FLAT, sigma, rng) - FLAT).max()) / sigma for _ in range(60)]
    assert max(most) <= MOST * CNR[1]
    assert 0.4 < np.median(most) < 4
    assert max(most) > 1.5  # and some can be seen


def test_the_middle_slice_shows_every_spot_at_least_as_strongly_as_the_others() -> None:
    rng, weaker = np.random.default_rng(1), 0
    for _ in range(20):
        before, middle, after = add_spots(np.stack([FLAT] * 3), 10.0, rng) - FLAT
        total = [float(np.square(plane).sum()) for plane in (before, middle, after)]
        weaker += total[0] < 0.9 * total[1] or total[2] < 0.9 * total[1]
        assert total[1] > 0
    assert weaker > 5


def test_magnitudes_stay_magnitudes_and_nothing_given_is_changed() -> None:
    dark = np.zeros((64, 64), np.float32)
    assert add_spots(dark, 30.0, np.random.default_rng(2)).min() == 0 == dark.max()


def test_a_recipe_says_how_many_patches_have_spots_and_they_are_in_what_the_network_shall_make() -> None:
    image = TrainingImage(FLAT, "DX", ".", "a", NoiseEstimate(0.0))
    for source in (PatchSource, SliceSource):
        spread = {}
        for share in (0.0, 1.0):
            batch = source([image], {".": 1.0}, replace(MIX, spotted=share), 64, 0).batch(0, 8)
            spread[share] = float(batch.clean.std(dim=(1, 2, 3)).median())
            middle = batch.noisy.shape[1] // 2
            noise = batch.noisy[:, middle, None] - batch.clean
            assert float(noise.std()) == pytest.approx(20, rel=0.3)  # spots are in both, not in the noise
        assert spread[0.0] == 0 < 0.5 < spread[1.0]
    assert "spotted" not in MIX.settings() and replace(MIX, spotted=0.2).settings()["spotted"] == 0.2

"""Slices with their neighbours as a network learns from them: good ones, bad ones, none, shared noise."""

import numpy as np
import pytest

from meddenoise.noise import NoiseEstimate
from meddenoise.training.data import TrainingImage
from meddenoise.training.data.degradation import degrade
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.slices import ALONE, ELSEWHERE, SliceSource, draw_neighbours, made_slices
from meddenoise.training.spectra import Scan

CLEAN = NoiseEstimate(0.0)
SIDE = 48
Y, X = np.mgrid[:64, :64].astype(np.float32)
VOLUME = np.stack([100 + 60 * np.sin(X / 5 + z) * np.cos(Y / 7) for z in range(3)]).astype(np.float32)
MIX = NoiseMix(sigma_min=20, sigma_max=21, none=0, rician=0, clipped=0, heavy=0, told_error=0, windowed=0)


def source(run=VOLUME, **options):
    image = TrainingImage(VOLUME[1], "CT", ".", "a", CLEAN, run=run, **options)
    return SliceSource([image], {".": 1.0}, MIX, SIDE, 0)


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def test_the_same_step_gives_the_same_slices_and_the_middle_one_is_the_target():
    first, again = source().batch(3, 4), source().batch(3, 4)
    assert first.noisy.shape == (4, 3, SIDE, SIDE) and first.clean.shape == (4, 1, SIDE, SIDE)
    assert np.array_equal(first.noisy, again.noisy)
    noise = (first.noisy[:, 1:2] - first.clean).numpy()
    assert noise.std() == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_slices_share_as_much_noise_as_they_shall(rho):
    rng, flat, found = np.random.default_rng(0), np.full((3, 64, 64), 120, np.float32), []
    for _ in range(12):
        noise = degrade(flat, CLEAN, "CT", MIX, rng, Scan(rho=rho)).noisy - flat
        found.append([correlation(noise[0], noise[1]), correlation(noise[1], noise[2])])
    assert np.mean(found, axis=0) == pytest.approx([rho, rho], abs=0.05)


def test_a_volume_keeps_its_neighbours_but_for_those_that_are_elsewhere():
    rng, other = np.random.default_rng(1), np.zeros((64, 64), np.float32)
    drawn = [draw_neighbours(VOLUME, other, rng) for _ in range(300)]
    assert all(np.array_equal(slices[1], VOLUME[1]) for slices in drawn)
    sides = [slices[side] for slices in drawn for side in (0, 2)]
    bad = [np.array_equal(side, other) for side in sides]
    assert np.mean(bad) == pytest.approx(ELSEWHERE, abs=0.04)
    good = [side for side, is_bad in zip(sides, bad, strict=True) if not is_bad]
    assert all(any(np.array_equal(side, own) for own in VOLUME[::2]) for side in good)
    assert {slices[0].tobytes() for slices in drawn} >= {VOLUME[0].tobytes(), VOLUME[2].tobytes()}


def test_a_single_slice_goes_on_through_made_neighbours():
    rng, other = np.random.default_rng(2), VOLUME[0][::-1].copy()
    alike = []
    for _ in range(40):
        slices = made_slices(VOLUME[1], other, rng)
        assert np.array_equal(slices[1], VOLUME[1]) and np.isfinite(slices).all()
        alike += [correlation(slices[0], slices[1]), correlation(slices[2], slices[1])]
    assert np.median(alike) > 0.8 and min(alike) < 0.95


def test_some_slices_come_alone_and_some_at_an_end():
    noisy = np.concatenate([source().batch(step, 8).noisy for step in range(40)])
    same = [(np.array_equal(one[0], one[1]), np.array_equal(one[2], one[1])) for one in noisy]
    both, one = np.mean([all(pair) for pair in same]), np.mean([a != b for a, b in same])
    assert both == pytest.approx(ALONE, abs=0.06) and 0.05 < one < 0.2


def test_real_noise_and_noise_like_a_users_own_come_without_neighbours():
    noise = np.random.default_rng(0).normal(0, 9, VOLUME[1].shape).astype(np.float32)
    for given in (source(run=None, noise=noise), source(like=NoiseEstimate(9.0))):
        batch = given.batch(0, 3)
        assert np.array_equal(batch.noisy[:, 0], batch.noisy[:, 1])
        assert batch.noisy.shape[1] == 3 and batch.clean.shape[1] == 1

"""Sequences made of single frames: the middle one stays, what moves keeps its values, seeds repeat."""

import numpy as np
import pytest
import torch

from meddenoise.training.data.motion import MARGIN, STILL, make_sequence, warp

SIDE = 64 + 2 * MARGIN


def frame(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(40, 200, (8, 8))
    return np.kron(coarse, np.ones((SIDE // 8, SIDE // 8))).astype(np.float32)


def sequence(seed: int, count: int = 3) -> np.ndarray:
    return make_sequence(frame(seed), frame(seed + 1), count, np.random.default_rng(seed))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_frames_have_the_size_without_the_margin_and_the_same_seed_makes_them_again(count: int) -> None:
    for seed in range(6):
        frames = sequence(seed, count)
        assert frames.shape == (count, SIDE - 2 * MARGIN, SIDE - 2 * MARGIN) and frames.dtype == np.float32
        assert np.array_equal(frames, sequence(seed, count))
        assert np.isfinite(frames).all() and frames.max() <= 255 and frames.min() > 0


def test_a_frame_of_one_layer_is_in_the_middle_to_the_bit_and_some_sequences_are_still() -> None:
    still, kept = 0, 0
    for seed in range(40):
        frames, inner = sequence(seed), frame(seed)[MARGIN:-MARGIN, MARGIN:-MARGIN]
        kept += np.array_equal(frames[1], inner)
        still += np.array_equal(frames[0], inner) and np.array_equal(frames[2], inner)
    assert still / 40 == pytest.approx(STILL, abs=0.15) and still < kept < 40


def test_a_field_of_nothing_moves_nothing_and_a_whole_pixel_moves_a_whole_pixel() -> None:
    layer = frame(0)
    still = torch.zeros(2, SIDE, SIDE)
    np.testing.assert_allclose(warp(layer, still), layer, atol=2e-2)
    right = still.clone()
    right[0] = 3
    np.testing.assert_allclose(warp(layer, right)[:, :-8], layer[:, 3:-5], atol=0.5)
    down = still.clone()
    down[1] = -2
    np.testing.assert_allclose(warp(layer, down)[8:], layer[6:-2], atol=0.5)


def test_a_constant_stays_constant_wherever_it_is_taken_from() -> None:
    flat = np.full((SIDE, SIDE), 77, np.float32)
    field = 4 * torch.randn(2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(warp(flat, field), flat, rtol=1e-5)

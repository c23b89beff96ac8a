"""Degradations that Med-cDiff learns to undo: noise and impulses, coarse grids, holes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from meddenoise.training.data.corrupt import (
    CORRELATED,
    COVERED,
    FACTORS,
    IMPULSES,
    NOISE,
    UNTOLD,
    WEAK,
    degrade_coarse,
    degrade_holed,
    degrade_noisy,
)
from meddenoise.training.spectra import bands_of

SIDE = 96
DRAWS = 400
FLAT = np.full((SIDE, SIDE), 0.1, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ramp() -> NDArray[np.float32]:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return (x - 0.5 * y).astype(np.float32)


def noisy_draws(own: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Level, told level and share of impulses of many draws."""
    random, rows = rng(), []
    for _ in range(DRAWS):
        noisy, told = degrade_noisy(FLAT, random, own)[:2]
        hits = (np.abs(noisy) == 1).mean()
        level = 1.4826 * np.median(np.abs(noisy - 0.1))
        rows.append((level, told.mean(), hits))
        assert noisy.dtype == told.dtype == np.float32 and np.ptp(told) == 0
    level, told_level, impulses = np.array(rows).T
    return level, told_level, impulses


def test_levels_are_the_papers_in_half_of_the_patches_and_weaker_in_the_others() -> None:
    level, _, _ = noisy_draws()
    assert 0.05 < (level == 0).mean() < 0.15
    level = level[level > 0]
    assert level.max() < 2.2 * NOISE[1] and level.min() < 2.5 * WEAK
    assert 0.5 < (level > 2 * NOISE[0]).mean() < 0.9
    assert np.median(level[level < 2 * NOISE[0]]) == pytest.approx(2 * np.sqrt(WEAK * NOISE[0]), rel=0.3)


def test_half_of_the_patches_have_impulses_of_both_kinds_up_to_the_share() -> None:
    _, _, impulses = noisy_draws()
    assert 0.4 < (impulses > 1e-3).mean() < 0.6
    assert 0.9 * IMPULSES < impulses.max() < 1.3 * IMPULSES
    random = rng(1)
    kinds = np.zeros(2)
    for _ in range(100):
        noisy = degrade_noisy(FLAT, random)[0]
        kinds += ((noisy == -1).sum(), (noisy == 1).sum())
    assert kinds[0] == pytest.approx(kinds[1], rel=0.1)


def test_the_told_level_is_nearly_the_true_one_with_the_patchs_own() -> None:
    level, told, _ = noisy_draws()
    assert (told[level == 0] == 0).all()
    ratio = np.log(told[level > 0] / level[level > 0])
    assert abs(float(np.median(ratio))) < 0.05 and 0.15 < ratio.std() < 0.3
    own = noisy_draws(own=0.5)[1]
    assert np.median(own) == pytest.approx(np.median(np.hypot(level, 0.5)), rel=0.1)


def test_the_told_spectrum_is_that_of_the_noise_and_white_where_it_is_not_told() -> None:
    random, apart, correlated = rng(2), [], 0
    for _ in range(DRAWS):
        noisy, level, *bands = degrade_noisy(FLAT, random, modality="MR")
        told = np.array([band.mean() for band in bands])
        noise = noisy - FLAT
        if level.mean() == 0 or (np.abs(noisy) == 1).any() or not told.any():
            continue
        correlated += 1
        seen = np.array(bands_of(np.sqrt(np.abs(np.fft.rfft2(noise)) ** 2 / (noise**2).sum())))
        strong = told > -1.5
        apart.append((told - np.log2(seen))[strong])
    # without impulses, and with a level
    assert correlated / DRAWS == pytest.approx(0.45 * (1 - UNTOLD) * CORRELATED, rel=0.25)
    error = np.concatenate(apart)
    assert abs(np.median(error)) < 0.05 and 0.1 < error.std() < 0.4


def test_coarse_patches_keep_their_mean_and_lose_more_the_larger_the_factor() -> None:
    clean = ramp() + 0.3 * rng().standard_normal((SIDE, SIDE), np.float32)
    random, seen = rng(), {}
    for _ in range(150):
        coarse, told = degrade_coarse(clean, random)
        assert coarse.dtype == told.dtype == np.float32 and np.ptp(told) == 0
        assert abs(float(coarse.mean() - clean.mean())) < 0.02
        seen[float(told[0, 0])] = float((coarse - clean).std())
    factors = sorted(2 ** (4 * told) for told in seen)
    assert np.allclose(factors, FACTORS, rtol=0.07), "2 to 16 in steps of sqrt 2, as the grid allows"
    losses = [seen[told] for told in sorted(seen)]
    assert losses == sorted(losses) and losses[-1] > 1.1 * losses[0]


def test_coarse_patches_of_smooth_images_are_nearly_the_images_and_do_not_shift() -> None:
    random = rng()
    for _ in range(20):
        coarse, told = degrade_coarse(ramp(), random)
        edge = int(2 ** (4 * told[0, 0])) + 2
        inside = (coarse - ramp())[edge:-edge, edge:-edge]
        assert np.abs(inside).max() < 0.002 * edge and abs(inside.mean()) < 1e-3


def test_holes_cover_their_share_and_only_they_are_cut_out() -> None:
    random, shares = rng(), []
    for _ in range(DRAWS):
        image, hole = degrade_holed(FLAT, random)
        assert set(np.unique(hole)) == {0.0, 1.0}
        assert np.array_equal(image, FLAT * (1 - hole))
        shares.append(hole.mean())
    assert 0.6 * COVERED[0] < min(shares) and max(shares) < 1.1 * COVERED[1]
    assert np.mean(shares) == pytest.approx(np.mean(COVERED), rel=0.15)


@pytest.mark.parametrize("degrade", [degrade_noisy, degrade_coarse, degrade_holed])
def test_a_draw_is_of_its_generator_alone_and_leaves_the_patch(degrade: object) -> None:
    assert callable(degrade)
    clean = ramp()
    first, second = degrade(clean, rng(3)), degrade(clean, rng(3))
    assert np.array_equal(first, second)
    assert not all(np.array_equal(first, degrade(clean, rng(seed))) for seed in range(4, 8))
    assert np.array_equal(clean, ramp())

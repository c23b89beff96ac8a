"""Filled holes: smooth where nothing is known, softer steps at the border, with grain if asked for."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from meddenoise.engine.level import estimate_series
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.pipeline.filled import add_grain, smooth_filled
from meddenoise.series import Image
from tests.pipeline.test_restore_inpaint import CT, inpaint, marked, weights  # noqa: F401  a fixture

HOLE = np.zeros((1, 96, 96), bool)
HOLE[0, 24:72, 24:72] = True
ALL = np.ones_like(HOLE)
BANDS = (1.6, 1.0, 0.6, 0.3)


def test_lines_of_the_network_are_gone_and_the_rest_keeps_every_bit() -> None:
    plane = np.random.default_rng(0).normal(100, 1, HOLE.shape).astype(np.float32)
    cross = plane.copy()
    x = np.arange(96) % 6 < 3
    cross[HOLE] = (100 + 5.0 * (x[None, :] + x[:, None]))[HOLE[0]]
    smooth = smooth_filled(cross, HOLE)
    assert (smooth[~HOLE] == cross[~HOLE]).all()
    inner = (slice(None), slice(40, 56), slice(40, 56))
    assert smooth[inner].std() < 0.05 * cross[inner].std()
    assert smooth[inner].mean() == pytest.approx(cross[inner].mean(), abs=0.5)


def test_a_step_at_the_border_is_softened() -> None:
    plane = np.full(HOLE.shape, 100.0, np.float32)
    plane[HOLE] = 110.0
    row = smooth_filled(plane, HOLE)[0, 48]
    assert np.abs(np.diff(row)).max() < 8.6 and row[48] > 109
    untouched = np.full(HOLE.shape, 5.0, np.float32)
    assert (smooth_filled(untouched, np.ones_like(HOLE)) == untouched).all()


def test_grain_has_the_level_and_the_spectrum_of_the_noise_and_follows_the_seed() -> None:
    noise = SeriesNoise((NoiseEstimate(0.0), NoiseEstimate(12.0, BANDS)))
    planes = np.full((1, 96, 96), 50.0, np.float32)
    planes[0, :10] = -50
    grain = add_grain(planes, HOLE, ALL, noise, 1, seed=3) - planes
    assert (grain[~HOLE] == 0).all()
    inside = grain[0, 24:72, 24:72]
    assert inside.std() == pytest.approx(12, rel=0.25)
    neighbours = np.mean(inside[:, 1:] * inside[:, :-1]) / np.mean(inside**2)
    assert neighbours > 0.2, "correlated as the bands say"
    assert (add_grain(planes, HOLE, ALL, noise, 1, seed=3) - planes == grain).all()
    assert (add_grain(planes, HOLE, ALL, noise, 1, seed=4) - planes != grain).any()
    assert (add_grain(planes, HOLE, ALL, noise, 0, seed=3) == planes).all(), "a plane without noise"


@pytest.mark.parametrize("place", [(104, 64), (96, 80)])
def test_grain_has_the_streaks_of_the_noise_around_the_hole(place: tuple[int, int]) -> None:
    """Low-dose CT, where noise is streaks: neighbours along them are as alike as in the noise replaced."""
    phantom = make_phantom("ct", size=256, planes=1, seed=0)
    noisy = to_series(phantom, acquire(phantom, dose_noise(phantom, 0.05), seed=0)[0], "noisy")
    clean, plane = phantom.truth, noisy.values(0, 1)
    part = (0, slice(place[0], place[0] + 40), slice(place[1], place[1] + 40))
    hole = np.zeros(plane.shape, bool)
    hole[part] = True
    holed = np.where(hole, clean, plane)
    noise = estimate_series(noisy)
    grains = [(add_grain(holed, hole, noisy.valid(0, 1), noise, 0, seed) - holed)[part] for seed in range(4)]
    true = (plane - clean)[part]
    for axis in (0, 1):
        made = np.mean([alike(grain, axis) for grain in grains])
        assert made == pytest.approx(alike(true, axis), abs=0.1)
    assert np.std(grains) == pytest.approx(true.std(), rel=0.15)


def alike(noise: Image, axis: int) -> float:
    """Correlation of neighbours along an axis."""
    first, second = np.moveaxis(noise, axis, 0)[1:], np.moveaxis(noise, axis, 0)[:-1]
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_no_grain_goes_below_zero_in_an_image_that_does_not() -> None:
    planes = np.full((1, 96, 96), 5.0, np.float32)
    filled = add_grain(planes, HOLE, ALL, SeriesNoise((NoiseEstimate(12.0),)), 0, seed=0)
    assert filled.min() == 0 and filled.max() > 20


def test_a_result_with_grain_says_that_it_is_made_up(weights: Path, tmp_path: Path) -> None:  # noqa: F811
    mask = marked(tmp_path / "mask.png")
    told = inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "g.dcm", "--grain")
    inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "s.dcm")
    assert "grain made up" in told.stderr and "with grain that is made up" in " ".join(told.stderr.split())
    before, grain, smooth = (pydicom.dcmread(path) for path in (CT, tmp_path / "g.dcm", tmp_path / "s.dcm"))
    assert "made-up grain" in grain.DerivationDescription and "grain" not in smooth.DerivationDescription
    assert grain.SOPInstanceUID != smooth.SOPInstanceUID
    hole = np.zeros((128, 128), bool)
    hole[40:60, 50:80] = True
    assert (grain.pixel_array[~hole] == before.pixel_array[~hole]).all()
    assert (grain.pixel_array[hole] != smooth.pixel_array[hole]).mean() > 0.5

"""Neighbouring slices: used where they show the same place with noise of their own, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from meddenoise.engine.neighbours import alike, shared_noise, slices_help
from meddenoise.engine.planes import load_planes
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.series import Geometry
from tests.page_samples import series

Y, X = np.indices((128, 128))
TRUTH = 300.0 * (np.hypot(Y - 64, X - 64) < 55) + 40 * np.sin(X / 19)
GEOMETRY = Geometry(spacing_mm=(1.0, 1.0, 1.0))


def volume(rho=0.0, slices=9, spacing=1.0):
    """Slices of one place whose noise of level 20 correlates by `rho` with that of the next."""
    noise = np.random.default_rng(0).normal(0, 1, (slices, *TRUTH.shape))
    for n in range(1, slices):
        noise[n] = rho * noise[n - 1] + np.sqrt(1 - rho**2) * noise[n]
    made = series((TRUTH + 20 * noise).astype(np.float32))
    return replace(made, geometry=replace(GEOMETRY, spacing_mm=(spacing, 1.0, 1.0)), frame_time_ms=None)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_the_noise_that_slices_share_is_measured(rho):
    assert shared_noise(volume(rho)) == pytest.approx(rho, abs=0.06)


def test_interpolated_slices_share_noise():
    made = volume()
    smooth = gaussian_filter1d(made.pixels, 1.0, axis=0)
    assert shared_noise(replace(made, pixels=smooth)) > 0.6


def test_close_slices_with_noise_of_their_own_help():
    assert slices_help(volume())
    assert not slices_help(volume(rho=0.7))
    assert not slices_help(volume(slices=2))
    assert not slices_help(volume(spacing=8.0)) and slices_help(volume(spacing=3.0))
    assert not slices_help(replace(volume(), geometry=Geometry(known=False)))
    assert not slices_help(replace(volume(), frame_time_ms=40.0))


def test_without_a_flat_place_nobody_knows_and_slices_stay_by_themselves():
    texture = 300 * np.sin(X / 3.0) * np.cos(Y / 3.5)
    made = volume()
    textured = replace(made, pixels=(made.pixels / 20 + texture).astype(np.float32))
    assert shared_noise(textured) is None and not slices_help(textured)


def test_planes_of_one_place_are_alike_through_noise_and_others_are_not():
    planes = volume().pixels[:2]
    other = TRUTH[::-1, ::-1] * np.sin(Y / 9)
    found = alike(
        np.stack([*planes, 300 - planes[0], other]).astype(np.float32),
        np.array([[0, 1], [0, 0], [2, 0], [3, 0]]),
    )
    assert found.tolist() == [True, True, False, False]


def test_a_plane_stands_in_for_neighbours_that_do_not_help():
    made = volume(slices=5)
    made.pixels[3] = 300 - made.pixels[3]
    noise = SeriesNoise((NoiseEstimate(20.0),) * 5)
    alone, _ = load_planes(made, 0, 5, noise, 1)
    assert all(np.array_equal(plane, alone[n, 1]) for n in range(5) for plane in alone[n])
    given, _ = load_planes(made, 0, 5, replace(noise, neighbours=True), 1)
    expected = [(0, 0, 1), (0, 1, 2), (1, 2, 2), (3, 3, 3), (4, 4, 4)]
    for got, order in zip(given, expected, strict=True):
        assert np.array_equal(got, made.values(0, 5)[list(order)])

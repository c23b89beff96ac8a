"""The noise of a series, plane by plane."""

import numpy as np
import pytest

from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.noise.estimate import estimate_plane


def test_a_series_has_one_estimate_for_each_plane_and_tells_level_and_range() -> None:
    noise = SeriesNoise((NoiseEstimate(3.0), NoiseEstimate(0.0), NoiseEstimate(4.0)))
    assert len(noise) == 3 and noise.plane(2).sigma == 4
    assert noise.sigma == pytest.approx(np.sqrt(12.5))
    assert noise.range() == (3, 4)


@pytest.mark.parametrize("planes", [(), (NoiseEstimate(0.0),) * 2])
def test_a_series_without_noise_has_level_zero(planes: tuple[NoiseEstimate, ...]) -> None:
    noise = SeriesNoise(planes)
    assert noise.sigma == 0 and noise.range() == (0, 0)


def test_one_plane_is_estimated_where_it_is_image() -> None:
    plane = 5 * np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    plane[:, 64:] *= 10
    valid = np.arange(128)[None, :].repeat(128, 0) < 64
    assert estimate_plane(plane, valid, "CT").sigma == pytest.approx(5, rel=0.1)

"""Planes as a method sees them: their neighbours and the noise of each."""

from pathlib import Path

import numpy as np
import pytest

from meddenoise.engine.planes import load_planes
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.series import Geometry, Series

RUN = Series(
    pixels=np.arange(6, dtype=np.float32)[:, None, None] * np.ones((6, 20, 20), np.float32),
    slope=np.ones(6),
    intercept=np.zeros(6),
    stored_range=(-1e9, 1e9),
    geometry=Geometry(),
    format="test",
    path=Path("run"),
    files=(),
    frame_time_ms=66.0,
)


def neighbours(levels: tuple[float, ...]) -> list[list[float]]:
    noise = SeriesNoise(tuple(NoiseEstimate(level) for level in levels))
    planes, sigma = load_planes(RUN, 0, 6, noise, 1)
    assert sigma[:, 0, 0].tolist() == pytest.approx(levels)
    frames: list[list[float]] = planes[:, :, 0, 0].tolist()
    return frames


def test_neighbours_are_the_frames_before_and_after_and_the_ends_repeat() -> None:
    assert neighbours((9, 10, 11, 10, 9, 10)) == [[max(k - 1, 0), k, min(k + 1, 5)] for k in range(6)]


def test_louder_and_blank_neighbours_are_left_out() -> None:
    found = neighbours((40, 14, 0, 10, 10, 10))
    assert found[0] == [0, 0, 1], "a quieter neighbour helps"
    assert found[1] == [1, 1, 1] and found[3] == [3, 3, 4] and found[4] == [3, 4, 5]


def test_one_estimate_serves_all_planes() -> None:
    planes, sigma = load_planes(RUN, 2, 4, NoiseEstimate(3.0), 1)
    assert planes[:, :, 0, 0].tolist() == [[1, 2, 3], [2, 3, 4]] and (sigma == 3).all()

"""The noise of a series: from some of its planes, the profile of its device, or a map in a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import UnsupportedError
from meddenoise.holes import fill_holes
from meddenoise.io.modality import likely_modality, same_kind
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import MAX_PLANES, estimate_noise
from meddenoise.noise.map_file import read_noise_map
from meddenoise.noise.profile import NoiseProfile
from meddenoise.series import Series

LARGEST = 1e15
"""Sums of squares of a plane with larger values leave the range of float32."""


def estimate_series(series: Series) -> NoiseEstimate:
    """The noise of a series in its own unit, from some of its planes.

    Raises UnsupportedError for values beyond what single precision can compute with.
    """
    values, valid = _some_planes(series)
    return estimate_noise(
        values, modality=likely_modality(series), valid=valid, frame_time_ms=series.frame_time_ms
    )


def expect_noise(series: Series, profile: NoiseProfile) -> NoiseEstimate:
    """The noise of a series by the profile of its device: the level goes by the brightness of some planes.

    Raises UnsupportedError where unit or modality differ, or as `estimate_series`.
    """
    if series.unit != profile.unit and series.unit and profile.unit:
        raise UnsupportedError(
            f"{series.path} is in {series.unit}, the noise profile in {profile.unit}: "
            "measure a profile of such images."
        )
    if not same_kind(series.modality, profile.modality):
        raise UnsupportedError(
            f"{series.path} is {series.modality}, the noise profile is of {profile.modality}: "
            "measure a profile of such images."
        )
    return profile.estimate(*_some_planes(series))


def map_noise(series: Series, path: Path) -> NoiseEstimate:
    """The noise of a series with the level of a map in a file; spectrum and model are estimated.

    Raises as `read_noise_map` and `estimate_series`.
    """
    given = read_noise_map(path, series)
    power = np.square(given[given > 0], dtype=np.float64)
    sigma = float(np.sqrt(power.mean())) if power.size else 0.0
    return replace(estimate_series(series), sigma=sigma, variance=None, field=None, given=given)


def _some_planes(series: Series) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values [N, Y, X], holes filled, and where they are image."""
    channels = series.channels
    frames = len(series) // channels
    count = min(frames, MAX_PLANES)
    if series.frame_time_ms is None:
        picked = np.linspace(0, frames - 1, count).astype(int) * channels
    else:
        # Frames that follow each other: their differences show the noise.
        picked = (np.arange(count) + (frames - count) // 2) * channels
    valid = np.concatenate([series.valid(n, n + 1) for n in picked])
    values = np.concatenate([series.values(n, n + 1) for n in picked])
    largest = float(np.abs(values).max(initial=0, where=valid))
    if not largest < LARGEST:
        raise UnsupportedError(
            f"{series.path} holds values of {largest:.0e}: rescale it to below {LARGEST:.0e}."
        )
    return fill_holes(values, valid), valid

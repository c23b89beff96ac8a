"""The noise of a series, plane by plane: estimated, by the profile of its device, or by a map in a file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine.estimator import estimate
from meddenoise.errors import UnsupportedError
from meddenoise.io.modality import likely_modality, same_kind
from meddenoise.io.scratch import release
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.noise.by_plane import Reading, Unsteadied, measure_planes
from meddenoise.noise.profile import NoiseProfile
from meddenoise.noise.profile.change import Scene
from meddenoise.series import Series, fill_holes

LARGEST = 1e15
"""Sums of squares of a plane with larger values leave the range of float32."""
SAME_SPACING = 0.2
"""Share by which the pixel spacings of a profile and a series may differ: its spectrum is in cycles a pixel,
and moves by as much. Fields of view of patients differ by less."""
MOST_WORKERS = 8
"""Planes measured at a time, each with some 20 MiB of blocks."""


@dataclass(frozen=True, slots=True)
class MeasuredNoise:
    """The noise of a series, each plane measured by itself, colour by colour."""

    colours: tuple[Unsteadied, ...]
    exposures: tuple[float, ...]

    def steadied(self, predicted: Sequence[float] | None = None) -> SeriesNoise:
        """The noise of every plane, in the order of the series.

        `predicted` are levels of its frames, in any unit, that steady the curve where the measured ones
        follow them; those that the stated exposure leads to where there are none.
        """
        frames = len(self.colours[0].planes)
        if predicted is None and len(self.exposures) == frames and min(self.exposures, default=0) > 0:
            predicted = [exposure**-0.5 for exposure in self.exposures]
        planes = [colour.steadied(predicted).planes for colour in self.colours]
        return SeriesNoise(tuple(plane for frame in zip(*planes, strict=True) for plane in frame))


def estimate_series(series: Series) -> SeriesNoise:
    """The noise of every plane of a series in its own unit. Raises as `measure_series`."""
    return measure_series(series).steadied()


def measure_series(series: Series) -> MeasuredNoise:
    """The noise of every plane of a series in its own unit, before neighbours steady each other.

    Raises UnsupportedError for values beyond what single precision can compute with.
    """
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    reading = Reading(
        likely_modality(series), series.frame_time_ms is not None, workers=workers, measure=estimate
    )
    frames = len(series) // series.channels
    colours = tuple(
        measure_planes(Scene(frames, partial(_load, series, channel)), reading)
        for channel in range(series.channels)
    )
    return MeasuredNoise(colours, series.exposures)


def expect_noise(series: Series, profile: NoiseProfile, measured: MeasuredNoise | None = None) -> SeriesNoise:
    """The noise of a series by the profile of its device: the level of a plane goes by its brightness.

    Frames of a cine keep the ratio of their own levels, which the profile's frames steady; `measured` is
    what they show, where that is known already.
    Raises UnsupportedError as `measure_series`, and where the profile is not of such images.
    """
    check_profile(series, profile)
    places = np.ndindex(len(series) // series.channels, series.channels)
    planes = (_load(series, channel, frame) for frame, channel in places)
    given = SeriesNoise(tuple(profile.estimate(plane[None], valid[None]) for plane, valid in planes))
    if not series.is_cine:
        return given
    frames = len(series) // series.channels
    seen = (measured or measure_series(series)).steadied(profile.levels(frames))
    if not seen.sigma > 0:
        return given
    usual = seen.middle.sigma
    pairs = zip(given.planes, seen.planes, strict=True)
    return SeriesNoise(tuple(replace(one, sigma=one.sigma * own.sigma / usual) for one, own in pairs))


def check_profile(series: Series, profile: NoiseProfile) -> None:
    """Raises UnsupportedError where unit, modality or spacing of a profile are not those of the series."""
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
    theirs, mine = profile.spacing_mm, series.pixel_spacing_mm
    if theirs and mine and not np.allclose(theirs, mine, rtol=SAME_SPACING):
        sizes = [" x ".join(f"{side:.3g}" for side in pixel) for pixel in (mine, theirs)]
        raise UnsupportedError(
            f"{series.path} has pixels of {sizes[0]} mm, the noise profile is of {sizes[1]} mm, and the "
            "noise differs: measure a profile of such images."
        )


def map_noise(seen: SeriesNoise, given: NDArray[np.float32]) -> SeriesNoise:
    """The noise that a series shows, with the levels of a map [N, Y, X] instead of its own."""
    return SeriesNoise(tuple(_by_map(one, plane) for one, plane in zip(seen.planes, given, strict=True)))


def _by_map(seen: NoiseEstimate, given: NDArray[np.float32]) -> NoiseEstimate:
    power = np.square(given[given > 0], dtype=np.float64)
    sigma = float(np.sqrt(power.mean())) if power.size else 0.0
    return replace(seen, sigma=sigma, variance=None, field=None, given=given, second=None)


def _load(series: Series, channel: int, frame: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A plane [Y, X], holes filled, and where it is image."""
    index = frame * series.channels + channel
    valid, values = series.valid(index, index + 1), series.values(index, index + 1)
    release(series.pixels)
    largest = float(np.abs(values).max(initial=0, where=valid))
    if not largest < LARGEST:
        raise UnsupportedError(
            f"{series.path} holds values of {largest:.0e}: rescale it to below {LARGEST:.0e}."
        )
    return fill_holes(values, valid)[0], valid[0]

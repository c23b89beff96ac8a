"""The noise of all planes of a scene: each measured, then steadied by those beside it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.noise.blocks import usable_pixels
from meddenoise.noise.estimate import APART, PARTNERS, estimate_frames, estimate_plane
from meddenoise.noise.profile.change import Scene
from meddenoise.noise.steady import steady

Measure = Callable[[NDArray[np.float32], NDArray[np.bool_], str], NoiseEstimate]
FEWEST_FRAMES = 3
"""Frames below which their differences do not tell whose noise it is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Facts about the planes of a series besides their pixels.

    `modality` is a DICOM code, as of `estimate_plane`. `timed` planes are frames of one scene, whose
    differences show the noise alone. `predicted` are levels, in any unit, that the exposure leads to.
    `workers` planes are measured at a time, each by `measure`, which takes what `estimate_plane` does.
    """

    modality: str = ""
    timed: bool = False
    predicted: Sequence[float] | None = None
    workers: int = 1
    measure: Measure = estimate_plane


@dataclass(frozen=True, slots=True)
class Unsteadied:
    """The noise of planes of so many `pixels`, each measured by itself."""

    planes: tuple[NoiseEstimate, ...]
    pixels: int

    def steadied(self, predicted: Sequence[float] | None = None) -> SeriesNoise:
        """The noise of every plane, drawn towards that of its neighbours; `predicted` as of `steady`."""
        return SeriesNoise(steady(self.planes, self.pixels, predicted))


def estimate_planes(scene: Scene, reading: Reading = Reading()) -> SeriesNoise:
    """The noise of every plane of `scene`, in the unit of its pixels; its masks tell where there is image."""
    return measure_planes(scene, reading).steadied(reading.predicted)


def measure_planes(scene: Scene, reading: Reading) -> Unsteadied:
    """The noise of every plane as `estimate_planes` has it before neighbours steady each other."""
    shape: list[int] = []

    def measure(index: int) -> NoiseEstimate:
        plane, valid = scene.load(index)
        shape[:] = plane.shape
        return reading.measure(plane, valid, reading.modality)

    with ThreadPoolExecutor(reading.workers, "noise") as pool:
        found = list(pool.map(measure, range(scene.count)))
    if reading.timed and scene.count >= FEWEST_FRAMES:
        found = estimate_frames(_usable(scene), found, reading.modality)
    return Unsteadied(tuple(found), int(np.prod(shape)))


def _usable(scene: Scene) -> Scene:
    """The scene with masks of the pixels that can carry noise; the frames in use are kept."""

    @lru_cache(maxsize=2 * PARTNERS * APART)
    def load(index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        plane, valid = scene.load(index)
        return plane, usable_pixels(plane, valid)

    return replace(scene, load=load)

"""A map of the noise's standard deviation in a file, held against the series that it is for."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError
from meddenoise.io import discover, read_item
from meddenoise.io.masks import lie_together
from meddenoise.io.modality import same_kind
from meddenoise.noise import SeriesNoise
from meddenoise.series import Image, Series

ROUNDED = 0.01
"""Share by which the pixel spacings of a map and its image may differ: files round them."""


def read_noise_map(path: Path, series: Series) -> Image:
    """Noise standard deviations [N, Y, X] of the planes of `series`, in its unit; 0 where nothing is known.

    A map of a single plane is for every plane, one of grey levels for every colour. Pixels of the series that
    are no image need no noise: they are 0.
    Raises InputError for a map that cannot be read, is of another unit, modality, size or place, or has
    values that no standard deviation can have where the series is image.
    """
    found = discover([path])
    if len(found.items) != 1:
        why = str(found.failed[0].error) if found.failed else f"{path} holds {len(found.items)} images."
        raise InputError(f"--noise-map must be one image or series: {why}")
    noise = read_item(found.items[0])
    _check_kind(path, noise, series)
    stated = np.where(noise.valid(0, len(noise)), noise.values(0, len(noise)), np.float32(np.nan))
    levels, valid = _fit(path, stated, noise, series), series.valid(0, len(series))
    _check_levels(path, levels, valid)
    return np.where(valid, levels, np.float32(0))


def digest(noise: SeriesNoise) -> str:
    """Of the map that was given for a series, wherever its file lies."""
    found = hashlib.sha256()
    for plane in noise.planes:
        found.update(np.ascontiguousarray(plane.given).data)
    return found.hexdigest()


def _check_kind(path: Path, noise: Series, series: Series) -> None:
    if noise.unit and series.unit and noise.unit != series.unit:
        raise InputError(
            f"the noise map {path} is in {noise.unit}, {series.path} in {series.unit}: give it in that unit."
        )
    if not same_kind(noise.modality, series.modality):
        raise InputError(
            f"the noise map {path} is of modality {noise.modality}, {series.path} of {series.modality}: "
            "give the map of such images."
        )
    whole = len(noise) == len(series)
    if whole and noise.geometry.known and series.geometry.known and not lie_together(noise, series):
        raise InputError(
            f"the noise map {path} is elsewhere in the patient than {series.path}: "
            "give the map of that image."
        )
    mine, theirs = series.pixel_spacing_mm, noise.pixel_spacing_mm
    if mine and theirs and not np.allclose(mine, theirs, rtol=ROUNDED):
        raise InputError(
            f"the noise map {path} has pixels of {theirs[0]:.3g} x {theirs[1]:.3g} mm, {series.path} of "
            f"{mine[0]:.3g} x {mine[1]:.3g}: give the map of that image."
        )


def _fit(path: Path, values: Image, noise: Series, series: Series) -> Image:
    """The values of a map laid over the planes of a series."""
    fits = values.shape[1:] == series.pixels.shape[1:]
    if fits and len(values) == 1:
        return np.broadcast_to(values, series.pixels.shape)
    if fits and noise.channels == 1 and len(values) * series.channels == len(series):
        return np.repeat(values, series.channels, axis=0)
    if fits and noise.channels == series.channels and len(values) == len(series):
        return values
    sizes = [" x ".join(map(str, shape)) for shape in (noise.pixels.shape, series.pixels.shape)]
    raise InputError(
        f"the noise map {path} has {sizes[0]} pixels, {series.path} has {sizes[1]}: "
        "give the map of that image."
    )


def _check_levels(path: Path, levels: Image, valid: NDArray[np.bool_]) -> None:
    """Raises where a level is NaN, infinite or below 0 on a pixel that is image."""
    for wrong, what in ((~np.isfinite(levels), "that are not numbers"), (levels < 0, "below 0")):
        count = int(np.count_nonzero(wrong & valid))
        if count:
            plane, row, column = (int(index) + 1 for index in np.argwhere(wrong & valid)[0])
            raise InputError(
                f"the noise map {path} has {count} values {what}, the first in plane {plane}, row {row}, "
                f"column {column}: a standard deviation is 0 (leave the pixel as it is) or more."
            )

"""Planes in and out: from a series to what the engine takes, and from its result to stored pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine import Engine
from meddenoise.engine.neighbours import alike
from meddenoise.errors import MeddenoiseError
from meddenoise.io.scratch import make_planes, release
from meddenoise.noise import Noise, SeriesNoise
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Image, Series, fill_holes

LOUDER = 1.4
"""Ratio of levels from which a neighbour is too noisy for methods that are given one level for all frames."""


def load_planes(series: Series, start: int, stop: int, noise: Noise, context: int) -> tuple[Image, Image]:
    """Planes with their neighbours [N, 2 context + 1, Y, X], holes filled, and noise maps [N, Y, X].

    Bright is what is shown bright, as in all that networks are trained on.
    Neighbours are frames of the same colour channel, unless `noise` says otherwise, or slices if it says that
    these help; the plane itself stands in for those beyond the ends, for those without noise (a blank frame)
    or with much more than the plane's own, which methods would take for structure, and for slices that show
    another place.
    """
    channels = series.channels
    planes = np.arange(start, stop)[:, None]
    said = noise.neighbours if isinstance(noise, SeriesNoise) else None
    near = series.is_cine if said is None else said
    steps = np.arange(-context, context + 1) * near
    frames = np.clip(planes // channels + steps, 0, len(series) // channels - 1)
    index = frames * channels + planes % channels
    index = np.where(_helps(noise, index, planes), index, planes)
    low, high = int(index.min()), int(index.max()) + 1
    filled = fill_holes(series.values(low, high), series.valid(low, high))
    if near and not series.is_cine:
        pairs = np.stack(np.broadcast_arrays(index, planes), axis=-1) - low
        index = np.where(alike(filled, pairs), index, planes)
    own = zip(range(start, stop), filled[start - low : stop - low], strict=True)
    sigma = np.stack([sigma_map(noise.plane(n), plane) for n, plane in own])
    return shown(series, filled)[index - low], sigma


@dataclass(frozen=True, slots=True)
class MiddlePlane:
    """The middle plane of a series as a method sees it.

    `noisy` [1, C, Y, X] has its neighbours, `sigma` [1, Y, X] its noise, `valid` [1, Y, X] is False where it
    is no image; `index` is its place in the series.
    """

    noisy: Image
    sigma: Image
    valid: NDArray[np.bool_]
    index: int = 0

    @property
    def plane(self) -> Image:
        """The plane [Y, X] without its neighbours."""
        own: Image = self.noisy[0, self.noisy.shape[1] // 2]
        return own

    def crop(self, side: int) -> "MiddlePlane":
        """The middle of it, at most `side` pixels a side."""
        noisy, sigma, valid = (middle(part, side) for part in (self.noisy, self.sigma, self.valid))
        return MiddlePlane(noisy, sigma, valid, self.index)


def middle_plane(series: Series, noise: Noise, context: int) -> MiddlePlane:
    """The middle plane of a series, as `load_planes` gives it."""
    index = len(series) // 2
    planes, sigma = load_planes(series, index, index + 1, noise, context)
    return MiddlePlane(planes, sigma, series.valid(index, index + 1), index)


def middle(part: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of planes [..., Y, X], at most `side` pixels a side, contiguous."""
    top, left = (max(0, (size - side) // 2) for size in part.shape[-2:])
    return np.ascontiguousarray(part[..., top : top + side, left : left + side])


def _helps(noise: Noise, index: NDArray[np.intp], planes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True for neighbours [N, 2 context + 1] with noise, not much more of it than `planes` [N, 1] have."""
    known = {n: noise.plane(n).sigma for n in np.unique([*index.flat, *planes.flat]).tolist()}
    level, own = (np.array([known[n] for n in part.flat]).reshape(part.shape) for part in (index, planes))
    return (level > 0) & (level <= LOUDER * own)


def shown(series: Series, planes: Image) -> Image:
    """Planes in the polarity they are shown in, from the stored one or back."""
    return -planes if series.inverted else planes


def chunks(series: Series, engine: Engine) -> Iterator[tuple[int, int]]:
    """First and last plane of what is denoised at once: as much as keeps the device busy."""
    count, height, width = series.pixels.shape
    start = 0
    while start < count:
        stop = min(count, start + engine.planes_at_once((height, width)))
        yield start, stop
        start = stop


def store_planes(series: Series, start: int, stop: int, clean: Image, strength: float) -> NDArray[np.generic]:
    """Stored pixels of `clean` planes, blended with the input where `strength` is less than 1."""
    valid = series.valid(start, stop)
    if not np.isfinite(clean[valid]).all():
        raise MeddenoiseError(
            f"{series.path}: the method returned values that are not numbers: try --precision fp32, "
            "or another method."
        )
    if strength < 1:
        values = series.values(start, stop)
        clean = values + np.float32(strength) * (clean - values)
    return series.store(clean, start, stop)


def subtract(series: Series, result: Series) -> Series:
    """The residual, `series` minus `result`, as a float32 series in their unit.

    Always float32: a difference is signed and the pixel types of most formats are not.
    """
    residual = make_planes(series.pixels.shape, np.float32, series.path)
    for n in range(len(series)):
        valid = series.valid(n, n + 1)
        residual[n : n + 1] = np.where(valid, series.values(n, n + 1) - result.values(n, n + 1), 0)
        release(residual, series.pixels, result.pixels)
    return as_map(result, residual)


def noise_map(series: Series, noise: Noise) -> Series:
    """The standard deviation of the noise in every pixel, as methods are given it: a float32 series."""
    levels = make_planes(series.pixels.shape, np.float32, series.path)
    for n in range(len(series)):
        levels[n : n + 1] = np.where(series.valid(n, n + 1), load_planes(series, n, n + 1, noise, 0)[1], 0)
        release(levels, series.pixels)
    return as_map(series, levels)


def as_map(series: Series, values: Image) -> Series:
    """`values` [N, Y, X] as a float32 series in the unit and place of `series`, to be written as NIfTI."""
    limits = np.finfo(np.float32)
    return replace(
        series,
        pixels=values,
        slope=np.ones(len(values)),
        intercept=np.zeros(len(values)),
        stored_range=(float(limits.min), float(limits.max)),
        padding=None,
        # headers of other formats say of what type their values are
        format="nifti",
        files=series.files[:1],
    )

"""One plane, or a part of it, as the page holds it: the result, and the differences to it."""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.report.page.regions import Region
from meddenoise.series import Image

LARGEST = 768
"""Side, in pixels, beyond which a whole plane is shown smaller; its regions never are."""
STEPS_A_SIGMA = 16
"""Fineness of what is kept: rounding adds less than a thousandth to the noise."""
GREY_LEVELS = 1 << 13
"""Fineness of images that have no noise."""


LEVEL = 6
LIMIT = 32767
"""Values are int16: what lies beyond is shown as the limit."""

Steps = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Planes:
    """One plane [Y, X] as before, after and beside it; None where there is no such image."""

    after: Image
    valid: NDArray[np.bool_]
    before: Image | None = None
    reference: Image | None = None
    uncertainty: Image | None = None
    rivals: tuple[Image, ...] = ()
    """Other results of the same image."""


@dataclass(frozen=True, slots=True)
class Fineness:
    """Values are kept as `offset` plus whole numbers of `step`."""

    offset: float
    step: float


def fineness_of(values: NDArray[np.floating], sigma: float, least: float) -> Fineness:
    """For images with these values and this noise; no finer than `least`, the step of the stored values.

    Values far beyond all others are cut off, so that one of them does not make the rest coarse.
    """
    seen = values[np.isfinite(values)]
    low, high = (float(value) for value in np.percentile(seen, (0.1, 99.9))) if seen.size else (0.0, 1.0)
    span = max(high - low, least, float(np.finfo(np.float32).tiny))
    step = max(sigma / STEPS_A_SIGMA, least, span / GREY_LEVELS)
    middle = (low + high) / 2
    return Fineness(float(np.rint(middle / step) * step), step)


def picture(
    planes: Planes,
    fineness: Fineness,
    region: Region | None = None,
    *,
    largest: int = LARGEST,
    coarser: int = 1,
) -> dict[str, Any]:
    """The entry of one picture in the data that page.js reads; `region` cuts a part out, in full size.

    Whole planes are reduced to at most `largest` pixels a side, and values kept to `coarser` steps.
    """
    rows, columns, factor = slice(None), slice(None), -(-max(planes.after.shape) // largest)
    if region is not None:
        rows = slice(region.top, region.top + region.side)
        columns, factor = slice(region.left, region.left + region.side), 1
    offset, step = fineness.offset, fineness.step
    after = _coarsen(to_steps(_reduce(planes.after[rows, columns], factor), offset, step), coarser)
    entry: dict[str, Any] = {"w": after.shape[1], "h": after.shape[0], "factor": factor}
    entry["after"] = pack(after, smooth=True)
    rivals = ((f"rival{n}", rival) for n, rival in enumerate(planes.rivals))
    for name, other in (("before", planes.before), ("reference", planes.reference), *rivals):
        if other is not None:
            steps = to_steps(_reduce(other[rows, columns], factor), offset, step).astype(np.int32) - after
            steps = _coarsen(np.clip(steps, -LIMIT, LIMIT).astype(np.int16), coarser)
            entry[name] = pack(steps, smooth=False)
    if planes.uncertainty is not None:
        spread = _reduce(planes.uncertainty[rows, columns], factor)
        entry["uncertainty"] = pack(to_steps(spread, 0.0, step), smooth=True)
    return entry


def _coarsen(steps: Steps, coarser: int) -> Steps:
    """The nearest multiples of `coarser`, towards 0 at the limit: of fewer values, so packed smaller."""
    if coarser == 1:
        return steps
    rounded: Steps = (
        np.clip(np.rint(steps / coarser), -(LIMIT // coarser), LIMIT // coarser) * coarser
    ).astype(np.int16)
    return rounded


def _reduce(plane: Image, factor: int) -> Image:
    """The mean of every `factor` x `factor` pixels; what does not fill a last one is left out."""
    if factor == 1:
        return plane
    height, width = (max(1, size // factor) for size in plane.shape)
    cut = plane[: height * factor, : width * factor]
    reduced: Image = cut.reshape(height, -1, width, cut.shape[1] // width).mean(axis=(1, 3))
    return reduced


def to_steps(values: NDArray[np.floating], offset: float, step: float) -> Steps:
    """`values` in steps from `offset`, rounded and limited to int16; NaN is 0."""
    scaled = np.rint((values.astype(np.float64) - offset) / step)
    steps: Steps = np.clip(np.nan_to_num(scaled, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT).astype(np.int16)
    return steps


def pack(steps: Steps, *, smooth: bool) -> str:
    """The text that `page.js` unpacks into the same int16 values [Y, X].

    `smooth` images are packed as differences to the mean of the left and the upper pixel, which noise would
    only make larger. High and low bytes lie apart: one of the two is nearly always 0.
    """
    left = steps.astype(np.int32)
    if smooth:
        left = left - _predict(left)
    wrapped = left.astype(np.int16)
    folded = ((wrapped << 1) ^ (wrapped >> 15)).astype(np.uint16)
    split = np.concatenate([folded.ravel() >> 8, folded.ravel() & 255]).astype(np.uint8)
    # runs and frequencies are all there is to find: looking for repeats takes ten times as long
    squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return base64.b64encode(squeeze.compress(split.tobytes()) + squeeze.flush()).decode("ascii")


def _predict(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """The mean of the left and the upper neighbour, rounded down; at the borders the one there is, or 0."""
    left, up = np.zeros_like(values), np.zeros_like(values)
    left[:, 1:], up[1:] = values[:, :-1], values[:-1]
    left[1:, 0], up[0] = values[:-1, 0], left[0]
    return (left + up) >> 1

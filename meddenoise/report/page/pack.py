"""Pixels as text: differences to the neighbours, deflated, base64; a browser inflates them by itself."""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

LEVEL = 6
LIMIT = 32767
"""Values are int16: what lies beyond is shown as the limit."""

Steps = NDArray[np.int16]


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

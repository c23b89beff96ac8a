"""Sharpness of an image by itself."""

import numpy as np
from scipy.ndimage import sobel, uniform_filter1d

from meddenoise.metrics import Protocol
from meddenoise.metrics.planes import inner, mean_of_planes, paired_planes
from meddenoise.series import Floats, Mask, Numbers

_TAPS = 11
_REACH = 6
"""Pixels to either side that a slope of the blurred image is made of."""


def reblur(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """Blur by how little an image changes when it is blurred again: 0 sharp to 1 blurred; mean over planes.

    By axis, the share of the Sobel slopes that survives a mean over 11 pixels, the larger of both; an axis
    without any slope is left out. Noise lowers it. Only pixels count whose filters see no hole. Equals
    `skimage.measure.blur_effect` where there is none. Raises UndefinedError for constant images and planes of
    fewer than 4 pixels a side.
    Source: Crete, Dolmiere, Ladret, Nicolas 2007, SPIE 6492.
    """
    values = []
    for x, _, mask in paired_planes(result, result, protocol):
        plane, inside = np.where(mask, x, 0.0), _countable(mask)
        blurs = [blur for axis in (0, 1) if (blur := _blur(plane, inside, axis)) is not None]
        values += [max(blurs)] if blurs else []
    return mean_of_planes(values, "the image is constant, or smaller than its filters")


def _countable(mask: Mask) -> Mask:
    """Pixels whose filters see no hole; beyond the border of the plane lies its mirror image."""
    reached = mask
    if not mask.all():
        wide = np.pad(mask, _REACH, mode="symmetric")
        reached = inner(wide, _REACH)[_REACH:-_REACH, _REACH:-_REACH]
    inside = np.zeros(mask.shape, bool)
    inside[2:-1, 2:-1] = reached[2:-1, 2:-1]
    return inside


def _blur(plane: Floats, inside: Mask, axis: int) -> float | None:
    """Share of the slopes along an axis that a blur leaves; None where there is no slope."""
    sharp = np.abs(sobel(plane, axis))[inside]
    blurred = np.abs(sobel(uniform_filter1d(plane, _TAPS, axis), axis))[inside]
    total = float(sharp.sum())
    return 1 - float(np.maximum(sharp - blurred, 0).sum()) / total if total > 0 else None

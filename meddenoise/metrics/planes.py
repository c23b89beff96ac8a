"""Two images plane by plane, in float64, with the pixels that count: what every metric walks over."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.series import Floats, Mask, Numbers

NO_PIXEL = "no pixel is inside the mask and finite in both images"


def paired_planes(
    result: Numbers, other: Numbers, protocol: Protocol
) -> Iterator[tuple[Floats, Floats, Mask]]:
    """Planes [Y, X] of both, with True where both are finite and the protocol's mask holds.

    Raises ValueError where the shapes differ.
    """
    if result.shape != other.shape:
        raise ValueError(f"the result is {list(result.shape)} and the other image {list(other.shape)} pixels")
    for n in range(len(result)):
        yield paired_plane(result, other, protocol, n)


def paired_plane(result: Numbers, other: Numbers, protocol: Protocol, n: int) -> tuple[Floats, Floats, Mask]:
    """One of `paired_planes`."""
    x, y = result[n].astype(np.float64), other[n].astype(np.float64)
    mask = np.isfinite(x) & np.isfinite(y)
    return x, y, mask if protocol.mask is None else mask & protocol.mask[n]


def combine(
    sums: Sequence[tuple[float, int]], protocol: Protocol, finish: Callable[[float], float] = float
) -> float:
    """`finish` of the mean that (sum, count) of each plane give: pooled, or the mean over planes.

    Raises UndefinedError where there is no plane.
    """
    if not sums:
        raise UndefinedError(NO_PIXEL)
    if protocol.scope == "volume":
        return finish(sum(total for total, _ in sums) / sum(count for _, count in sums))
    return sum(finish(total / count) for total, count in sums) / len(sums)


def mean_of_planes(values: Sequence[float], why: str) -> float:
    """The mean of what each plane gave. Raises UndefinedError with the reason `why` where none did."""
    if not values:
        raise UndefinedError(why)
    return float(np.mean(values))


def checked_range(protocol: Protocol) -> float:
    """The protocol's R. Raises UndefinedError where it is missing or no positive number."""
    if protocol.data_range is None or not math.isfinite(protocol.data_range) or protocol.data_range <= 0:
        raise UndefinedError("there is no data range: the reference is constant or empty")
    return protocol.data_range


def inner(mask: Mask, radius: int) -> Mask:
    """True where all pixels up to `radius` away along both axes are inside the plane and the mask."""
    inside: Mask = minimum_filter(mask.astype(np.uint8), 2 * radius + 1, mode="constant", cval=0) > 0
    return inside


def halve(plane: NDArray[np.floating | np.bool_]) -> Floats:
    """Means of 2 x 2 pixels [Y // 2, X // 2]; an odd last row or column is left out."""
    height, width = (size // 2 for size in plane.shape)
    blocks = plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    means: Floats = blocks.mean(axis=(1, 3), dtype=np.float64)
    return means

"""Two images plane by plane, in float64, with the pixels that count: what every metric walks over."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics import Image, Protocol

Plane = NDArray[np.float64]


def paired_planes(
    result: Image, other: Image, protocol: Protocol
) -> Iterator[tuple[Plane, Plane, NDArray[np.bool_]]]:
    """Planes [Y, X] of both, with True where both are finite and the protocol's mask holds.

    Raises ValueError where the shapes differ.
    """
    if result.shape != other.shape:
        raise ValueError(f"the result is {list(result.shape)} and the other image {list(other.shape)} pixels")
    for n in range(len(result)):
        x, y = result[n].astype(np.float64), other[n].astype(np.float64)
        mask = np.isfinite(x) & np.isfinite(y)
        yield x, y, mask if protocol.mask is None else mask & protocol.mask[n]

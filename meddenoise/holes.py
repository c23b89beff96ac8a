"""Pixels that are no image, filled so that no filter and no estimate sees their value."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def fill_holes(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`values` [N, Y, X], changed in place: where not `valid`, the nearest pixel of its plane that is.

    Planes without a valid pixel become 0.
    """
    for plane, mask in zip(values, valid, strict=True):
        if mask.all():
            continue
        if not mask.any():
            plane[...] = 0
            continue
        plane[~mask] = plane.ravel()[_nearest(np.packbits(mask).tobytes(), mask.shape)]
    return values


@lru_cache(maxsize=2)
def _nearest(packed: bytes, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Where in a flat plane the nearest valid pixel of each hole lies; the planes of a series share holes."""
    holes = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape) == 0
    rows, columns = distance_transform_edt(holes, return_distances=False, return_indices=True)
    nearest: NDArray[np.int32] = rows[holes] * np.int32(shape[1]) + columns[holes]
    return nearest

"""Pixels that are no image, filled so that no filter and no estimate sees their value."""

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
        rows, columns = distance_transform_edt(~mask, return_distances=False, return_indices=True)
        plane[...] = plane[rows, columns]
    return values

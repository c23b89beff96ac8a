"""Stored pixels of a series as native Pixel Data: little endian bytes, a frame at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from meddenoise.io.scratch import release
from meddenoise.series import Series


def stored_frames(series: Series, planes: Sequence[int], shift: int = 0) -> Iterator[bytes]:
    """The frames that begin at `planes`, in that order: rows of pixels, colour pixel by pixel.

    `shift` moves values up, above that many empty bits.
    """
    for plane in planes:
        frame = series.pixels[plane]
        if series.channels == 3:
            frame = np.moveaxis(series.pixels[plane : plane + 3], 0, -1)
        frame = frame << shift if shift else frame
        yield frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
        release(series.pixels)


def stored_bytes(series: Series, planes: Sequence[int]) -> int:
    """Number of bytes that `stored_frames` gives in all."""
    rows, columns = series.pixels.shape[1:]
    return len(planes) * int(rows * columns) * series.channels * int(series.pixels.dtype.itemsize)

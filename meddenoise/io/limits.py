"""Limits of the size of an image: declared sizes are checked before memory is allocated."""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError
from meddenoise.io.scratch import make_planes


def allocate(shape: tuple[int, int, int], dtype: np.dtype[Any], path: Path) -> NDArray[Any]:
    """An array as of `make_planes`. Raises InputError where it would not fit into this machine."""
    needed = prod(shape) * dtype.itemsize
    there = _memory_bytes()
    if needed > there:
        raise InputError(
            f"{path} declares {needed / 2**30:.1f} GiB of pixels, this machine has {there / 2**30:.1f} GiB "
            "of memory: use a larger one or split the series."
        )
    try:
        return make_planes(shape, dtype, path)
    except MemoryError as error:
        raise InputError(f"{path} needs {needed / 2**30:.1f} GiB of free memory: free some.") from error


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 64 << 30  # not POSIX: only absurd sizes are refused ahead of time

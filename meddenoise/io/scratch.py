"""Room for the planes of a series: memory, or for a long one a file without a name that stays on the disk."""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from meddenoise.errors import InputError

IN_MEMORY = 256 << 20
"""Bytes of planes that stay in memory: some hundred CT slices, half a minute of fluoroscopy."""


class _Pages(mmap.mmap):
    """A temporary file as memory: no map that somebody else made is ever released."""


def make_planes(shape: tuple[int, ...], dtype: DTypeLike, path: Path) -> NDArray[Any]:
    """An uninitialised array [N, Y, X] for planes of `path`.

    Beyond IN_MEMORY bytes the planes lie in a temporary file, which goes with the array: `release` takes them
    out of resident memory. Raises InputError where the temporary folder has no room, MemoryError.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY or shape[0] == 1:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="meddenoise-") as file:
            file.truncate(size)
            pages = _Pages(file.fileno(), size)
            _reserve(file.fileno(), size)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        raise InputError(
            f"{path} needs {size / 2**30:.1f} GiB in the temporary folder {tempfile.tempdir or ''}, which it "
            f"does not give ({error.strerror or error}): make room there or set TMPDIR to another folder."
        ) from error
    return np.ndarray(shape, dtype, pages)


def release(*arrays: NDArray[Any]) -> None:
    """Give back the resident memory of arrays of `make_planes`, or of parts of them; the values stay."""
    for array in arrays:
        base: object = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, _Pages) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def each_plane(planes: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The planes [Y, X] of an array [N, Y, X] one after another, each released once the next is asked for."""
    for plane in planes:
        yield plane
        release(planes)


def copy_planes(planes: NDArray[Any], path: Path) -> NDArray[Any]:
    """A copy of planes [N, Y, X] in room of its own. Raises as `make_planes`."""
    copy = make_planes(planes.shape, planes.dtype, path)
    for target, plane in zip(each_plane(copy), each_plane(planes), strict=True):
        target[...] = plane
    return copy


def _reserve(handle: int, size: int) -> None:
    """Take the room now: a page that finds none when it is written ends the process. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        os.write(handle, zeros[: size - start])

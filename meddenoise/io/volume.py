"""Shared parts of NRRD and MetaImage, volumes with a text header: voxels, size, place, derived planes."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import CorruptError, OutputError, UnsupportedError, first_line
from meddenoise.io import Entry, Item
from meddenoise.io.limits import allocate
from meddenoise.io.own import is_result
from meddenoise.io.scratch import each_plane
from meddenoise.series import Geometry, Series

Packing = Literal["", "zlib", "gzip"]

LONGEST_HEADER = 1 << 20
"""Bytes within which a text header must end."""
LEVEL = 1
"""zlib level: noise hardly compresses further."""
MAX_RATIO = 1032
"""deflate cannot do better than this (zlib's technical notes)."""
_BLOCK = 1 << 20
_GZIP, _ZLIB, _EITHER = 31, 15, 47
"""zlib's window sizes, with its marks for a gzip header and for either of the two."""


@dataclass(frozen=True, slots=True)
class VolumeHeader:
    """The text before the voxels, and what it says."""

    lines: tuple[str, ...]
    sizes: tuple[int, ...]
    """Of the 2 to 4 axes, columns first."""
    dtype: np.dtype[Any]
    data: Path
    """The file with the voxels."""
    start: int
    """Its byte at which they begin."""
    packed: bool
    geometry: Geometry
    in_time: bool = False
    """True where the last axis is time."""
    made: str = ""
    """Processing of the image, as stated in the file."""
    hint: str = ""
    modality: str = ""

    @property
    def planes(self) -> int:
        """Slices times volumes."""
        return prod(self.sizes[2:])

    @property
    def is_cine(self) -> bool:
        """True for frames of one place that follow each other in time."""
        last = len(self.sizes) == 3 and self.in_time
        return self.planes > 1 and (last or (len(self.sizes) == 4 and self.sizes[2] == 1))


def entry_of(path: Path, header: VolumeHeader) -> Entry:
    """The entry of a file with that header."""
    return Entry(path, header.planes, header.is_cine, result=is_result(header.made))


def data_file(path: Path, name: str) -> Path:
    """The file that a header names for its voxels. Raises where it is outside the folder, or not there."""
    if Path(name).name != name or "\\" in name or name in ("", ".", ".."):
        raise UnsupportedError(f"{path} has its voxels in {name!r}: put both files into one folder.")
    data = path.with_name(name)
    if not data.is_file():
        raise CorruptError(f"{path} has its voxels in {name}, which is not there: copy both files.")
    return data


def check_size(path: Path, header: VolumeHeader) -> None:
    """Raises InputError where sizes are impossible, or the file has not the bytes they need."""
    if not 2 <= len(header.sizes) <= 4:
        raise UnsupportedError(f"{path} has {len(header.sizes)} dimensions; 2 to 4 are read: split it first.")
    if min(header.sizes) < 1:
        raise CorruptError(f"{path} states a size of {min(header.sizes)}: export it again.")
    needed = prod(header.sizes) * header.dtype.itemsize
    there = (header.data.stat().st_size - header.start) * (MAX_RATIO if header.packed else 1)
    if needed > there:
        raise CorruptError(f"{path} is truncated: its sizes need {needed} bytes of voxels; copy it again.")


def read_series(item: Item, header: VolumeHeader) -> Series:
    """The series of a file with that header; planes [T x Z, Y, X], z fastest. Raises InputError."""
    path = item.files[0]
    columns, rows = header.sizes[:2]
    pixels = allocate((header.planes, rows, columns), header.dtype.newbyteorder("="), path)
    try:
        _fill(header, pixels)
    except (EOFError, zlib.error) as error:
        raise CorruptError(f"{path} is truncated or damaged ({first_line(error)}): copy it again.") from error
    if not header.dtype.isnative:
        pixels.byteswap(inplace=True)
    warnings = []
    bad = int((~np.isfinite(pixels)).sum()) if pixels.dtype.kind == "f" else 0
    if bad:
        warnings.append(f"{bad} voxels are NaN or infinite: they stay as they are")
    volumes = header.sizes[3] if len(header.sizes) == 4 and header.sizes[2] > 1 else 1
    if volumes > 1:
        warnings.append(f"{volumes} volumes follow each other: their planes are taken as one stack")
    info: Any = np.finfo(pixels.dtype) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype)
    return Series(
        pixels=pixels,
        slope=np.ones(len(pixels)),
        intercept=np.zeros(len(pixels)),
        stored_range=(float(info.min), float(info.max)),
        geometry=header.geometry,
        format=item.format,
        path=path,
        files=(path,),
        modality=header.modality,
        unit="HU" if header.modality == "CT" and pixels.dtype.kind != "u" else "",
        frame_time_ms=0.0 if header.is_cine else None,
        volumes=volumes,
        hint=header.hint,
        warnings=tuple(warnings),
        header=header,
    )


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """A file to write: the lines of its header, its planes, their type in it, and whether they are packed."""

    lines: list[str]
    planes: NDArray[Any]
    dtype: np.dtype[Any]
    packed: bool


def plan_file(
    series: Series,
    target: Path,
    format: str,
    kept: Callable[[VolumeHeader, Series], list[str]],
    new: Callable[[Series, NDArray[Any]], list[str]],
) -> VolumeFile:
    """The file of a series: with the `kept` lines of its source if that is of the `format`, else `new` ones.

    Raises OutputError for colour.
    """
    if series.format == format and isinstance(series.header, VolumeHeader):
        header = series.header
        return VolumeFile(kept(header, series), series.pixels, header.dtype, header.packed)
    planes = new_planes(series, target)
    return VolumeFile(new(series, planes), planes, planes.dtype.newbyteorder("<"), True)


def write_voxels(stream: BinaryIO, planes: NDArray[Any], dtype: np.dtype[Any], packing: Packing) -> None:
    """The voxels as `dtype`, packed or not."""
    pack = zlib.compressobj(LEVEL, wbits=_GZIP if packing == "gzip" else _ZLIB) if packing else None
    for plane in each_plane(planes):
        data = np.ascontiguousarray(plane, dtype).data.cast("B")
        stream.write(data if pack is None else pack.compress(data))
    if pack is not None:
        stream.write(pack.flush())


def new_planes(series: Series, target: Path) -> NDArray[Any]:
    """The values of a series for formats without a scale: integers where they are whole, else float32.

    Raises OutputError for colour.
    """
    if series.channels != 1:
        raise OutputError(f"{target} cannot hold colour: write PNG or DICOM instead.")
    pixels = series.pixels
    scale = {*series.slope.tolist(), *(1 + series.intercept).tolist()}
    if scale == {1.0} and pixels.dtype.itemsize * (pixels.dtype.kind == "f") != 2:
        return pixels
    slope, intercept = float(series.slope[0]), float(series.intercept[0])
    whole = slope.is_integer() and intercept.is_integer() and pixels.dtype.kind != "f"
    if not whole or np.ptp(series.slope) or np.ptp(series.intercept):
        return series.values(0, len(series))
    ends = [end * slope + intercept for end in series.stored_range]
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
            return (pixels.astype(np.int64) * int(slope) + int(intercept)).astype(kind)
    return series.values(0, len(series))


def numbers(text: str, path: Path, name: str) -> list[float]:
    """The numbers of a field. Raises CorruptError for what is none."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise CorruptError(f"{path} states {name} as {text!r}: export it again.") from error


def whole_numbers(text: str, path: Path, name: str) -> tuple[int, ...]:
    """The whole numbers of a field. Raises CorruptError for what is none."""
    values = numbers(text, path, name)
    if not all(value.is_integer() for value in values):
        raise CorruptError(f"{path} states {name} as {text!r}: export it again.")
    return tuple(int(value) for value in values)


def words(values: Sequence[float]) -> str:
    """Numbers as text that gives the same ones back."""
    return " ".join(repr(float(value)).removesuffix(".0") for value in values)


def _fill(header: VolumeHeader, pixels: NDArray[Any]) -> None:
    """The voxels from the file into `pixels`; the checksum of what is packed is proved."""
    view = pixels.data.cast("B")
    filled = 0
    with header.data.open("rb") as stream:
        stream.seek(header.start)
        if not header.packed:
            while filled < len(view):
                count = stream.readinto(view[filled : filled + 16 * _BLOCK])
                if not count:
                    raise EOFError(f"{len(view) - filled} bytes of voxels are missing")
                filled += count
            return
        unpack = zlib.decompressobj(_EITHER)
        while not unpack.eof:
            packed = unpack.unconsumed_tail or stream.read(_BLOCK)
            if not packed:
                raise EOFError(f"{len(view) - filled} bytes of voxels are missing")
            data = unpack.decompress(packed, max(len(view) - filled, 1))
            if filled + len(data) > len(view):
                return  # more than the sizes ask for: what they ask for is there
            view[filled : filled + len(data)] = data
            filled += len(data)
        if filled < len(view):
            raise EOFError(f"{len(view) - filled} bytes of voxels are missing")

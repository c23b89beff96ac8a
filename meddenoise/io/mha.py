"""MetaImage, voxels inside (.mha) or beside (.mhd), raw or zlib: the header's lines kept, written as one."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import CorruptError, UnsupportedError
from meddenoise.io import Entry, Item, one_each
from meddenoise.io.atomic import staged
from meddenoise.io.memory import place
from meddenoise.io.volume import (
    LONGEST_HEADER,
    VolumeHeader,
    check_size,
    data_file,
    entry_of,
    numbers,
    plan_file,
    read_series,
    whole_numbers,
    words,
    write_voxels,
)
from meddenoise.series import Geometry, Series

SUFFIX = ".mha"

_START = re.compile(rb"(?:[ \t]*[A-Za-z]\w*[ \t]*=[^\n\0]*\n)*?[ \t]*NDims[ \t]*=")
_LAST = re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*)\r?\n?", re.MULTILINE)
_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""Source: MetaIO's table of types, in which a long has 4 bytes."""
_TYPES = {code: name for name, code in _DTYPES.items() if name not in ("MET_LONG", "MET_ULONG")}
_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_US": "US", "MET_MOD_NM": "NM"}
_COMMENT = "Comment"
_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS = ("Offset", "Position", "Origin")


def sniff(path: Path) -> bool:
    """True for lines of a MetaImage header: the format has no magic."""
    with path.open("rb") as stream:
        return _START.match(stream.read(1024)) is not None


def scan(path: Path) -> Entry:
    """The entry of one file. Raises CorruptError or UnsupportedError."""
    return entry_of(path, _header(path))


group = one_each


def read(item: Item) -> Series:
    """The volume or volumes of a file. Raises InputError."""
    return read_series(item, _header(item.files[0]))


def write(series: Series, targets: Sequence[Path]) -> None:
    """Write one file with its voxels in it. Raises OutputError."""
    (target,) = targets
    file = plan_file(series, target, "mha", _kept, _new)
    lines = file.lines
    if series.derivation is not None:
        lines = [line for line in lines if _name(line) != _COMMENT]
        lines.insert(2, f"{_COMMENT} = {series.derivation.description}")
    with staged(targets) as staging, staging.file(target) as stream:
        size = "CompressedDataSize = "
        before = "\n".join([*lines, f"CompressedData = {file.packed}"]) + "\n"
        stream.write(before.encode())
        place_of_size = stream.tell() + len(size)
        stream.write(f"{size}{0:015d}\n".encode() if file.packed else b"")
        stream.write(b"ElementDataFile = LOCAL\n")
        begin = stream.tell()
        write_voxels(stream, file.planes, file.dtype, "zlib" if file.packed else "")
        if file.packed:
            count = stream.tell() - begin
            stream.seek(place_of_size)
            stream.write(f"{count:015d}".encode())
            stream.seek(0, 2)


def _name(line: str) -> str:
    return line.partition("=")[0].strip()


def _header(path: Path) -> VolumeHeader:
    """Header from the lines before the voxels. Raises CorruptError or UnsupportedError."""
    with path.open("rb") as stream:
        text = stream.read(LONGEST_HEADER)
    last = _LAST.search(text)
    if last is None:
        raise CorruptError(f"{path} ends inside its header: copy it again.")
    lines = tuple(text[: last.start()].decode(errors="replace").splitlines())
    fields = {_name(line): line.partition("=")[2].strip() for line in lines}
    missing = {"DimSize", "ElementType", "NDims"} - set(fields)
    if missing:
        raise CorruptError(f"{path} states no {sorted(missing)[0]}: export it again.")
    _check_kind(path, fields)
    sizes = whole_numbers(fields["DimSize"], path, "DimSize")
    if whole_numbers(fields["NDims"], path, "NDims") != (len(sizes),):
        raise CorruptError(
            f"{path} states {fields['NDims']} dimensions and {len(sizes)} sizes: export it again."
        )
    big = any(fields.get(name, "").lower() == "true" for name in _ORDERS)
    code = _DTYPES[fields["ElementType"]]
    name = last[1].decode(errors="replace").strip()
    if name.split(" ")[0] in ("LIST", "") or "%" in name:
        raise UnsupportedError(f"{path} has its voxels in several files: save it as one.")
    local = name.upper() == "LOCAL"
    header = VolumeHeader(
        lines=lines,
        sizes=sizes,
        dtype=np.dtype((">" if big else "<") + code if code[1] != "1" else code),
        data=path if local else data_file(path, name.removeprefix("./")),
        start=last.end() if local else 0,
        packed=fields.get("CompressedData", "").lower() == "true",
        geometry=_geometry(path, fields, len(sizes)),
        made=fields.get(_COMMENT, ""),
        hint=fields.get(_COMMENT, "") + "; " + fields.get("Name", ""),
        modality=_MODALITIES.get(fields.get("Modality", ""), ""),
    )
    header = _skipped(path, header, fields)
    check_size(path, header)
    return header


def _check_kind(path: Path, fields: dict[str, str]) -> None:
    """Raises UnsupportedError for voxels of a kind that is not read."""
    if fields.get("ElementNumberOfChannels", "1") != "1":
        count = fields["ElementNumberOfChannels"]
        raise UnsupportedError(f"{path} holds {count} values a voxel: give one channel at a time.")
    if fields["ElementType"] not in _DTYPES:
        raise UnsupportedError(
            f"{path} holds {fields['ElementType']}; integers and floats up to 64 bits are read: "
            "convert it first."
        )
    if fields.get("BinaryData", "True").lower() == "false":
        raise UnsupportedError(f"{path} holds its voxels as text: save it again as binary.")


def _skipped(path: Path, header: VolumeHeader, fields: dict[str, str]) -> VolumeHeader:
    """The header with the bytes that are to be skipped before the voxels; -1 has these at the end."""
    (skip,) = whole_numbers(fields.get("HeaderSize", "0"), path, "HeaderSize")[:1] or (0,)
    if skip == -1 and not header.packed:
        needed = prod(header.sizes) * header.dtype.itemsize
        return replace(header, start=max(header.data.stat().st_size - needed, 0))
    return replace(header, start=header.start + max(skip, 0))


def _geometry(path: Path, fields: dict[str, str], dimensions: int) -> Geometry:
    """LPS geometry; unknown where no spacing is stated. Raises where it contradicts itself."""
    stated = fields.get("ElementSpacing", fields.get("ElementSize"))
    if stated is None:
        return Geometry(known=False)
    spacing = numbers(stated, path, "ElementSpacing")
    matrix = next((fields[name] for name in _MATRICES if name in fields), None)
    origin = next((fields[name] for name in _ORIGINS if name in fields), None)
    axes = np.eye(dimensions) if matrix is None else np.array(numbers(matrix, path, "TransformMatrix"))
    start = [0.0] * dimensions if origin is None else numbers(origin, path, "Offset")
    if axes.size != dimensions**2 or not len(spacing) == len(start) == dimensions:
        raise CorruptError(f"{path} states a place that is not of {dimensions} dimensions: export it again.")
    # a line of the file is one axis
    return place(axes.reshape(dimensions, dimensions).T, spacing, start, str(path))


def _kept(header: VolumeHeader, series: Series) -> list[str]:
    """The lines of the source but those of packing; sizes and place anew on a finer grid."""
    gone = {"CompressedData", "CompressedDataSize", "HeaderSize"}
    lines = [line for line in header.lines if _name(line) not in gone]
    if series.finer == (1.0, 1.0):
        return lines
    sizes = (series.pixels.shape[2], series.pixels.shape[1], *header.sizes[2:])
    fresh = {"DimSize": " ".join(map(str, sizes))}
    if series.geometry.known:
        extra = [1.0] * max(len(sizes) - 3, 0)
        fresh["ElementSpacing"] = words([*series.geometry.spacing_mm[::-1], *extra][: len(sizes)])
        fresh["Offset"] = words([*series.geometry.origin_mm, *extra][: len(sizes)])
    gone = {*fresh, "ElementSize", *(_ORIGINS if "Offset" in fresh else ())}
    return [line for line in lines if _name(line) not in gone] + [f"{key} = {fresh[key]}" for key in fresh]


def _new(series: Series, planes: NDArray[Any]) -> list[str]:
    """The lines for a series of another format."""
    geometry = series.geometry
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"DimSize = {' '.join(map(str, planes.shape[::-1]))}",
        f"ElementType = {_TYPES[planes.dtype.str[1:]]}",
    ]
    if geometry.known:
        rows = [part for axis in geometry.axes[::-1] for part in axis]
        lines += [
            f"TransformMatrix = {words(rows)}",
            f"Offset = {words(geometry.origin_mm)}",
            "CenterOfRotation = 0 0 0",
            f"ElementSpacing = {words(geometry.spacing_mm[::-1])}",
        ]
    named = [name for name, code in _MODALITIES.items() if code == series.modality]
    return [*lines, *(f"Modality = {name}" for name in named)]

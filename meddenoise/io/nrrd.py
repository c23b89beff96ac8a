"""NRRD, attached (.nrrd) and detached (.nhdr), raw or gzip: the header's lines kept, written attached."""

import re
from collections.abc import Sequence
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

SUFFIX = ".nrrd"

_MAGIC = re.compile(rb"NRRD000[1-9]\r?\n")
_MADE = "meddenoise"
"""The key under which a result says what was done."""
_TYPES = {
    "i1": ("int8", "int8_t", "signed char"),
    "u1": ("uint8", "uint8_t", "uchar", "unsigned char"),
    "i2": ("int16", "int16_t", "short", "short int", "signed short", "signed short int"),
    "u2": ("uint16", "uint16_t", "ushort", "unsigned short", "unsigned short int"),
    "i4": ("int32", "int32_t", "int", "signed int"),
    "u4": ("uint32", "uint32_t", "uint", "unsigned int"),
    "i8": ("int64", "int64_t", "longlong", "long long", "long long int", "signed long long"),
    "u8": ("uint64", "uint64_t", "ulonglong", "unsigned long long", "unsigned long long int"),
    "f4": ("float",),
    "f8": ("double",),
}
"""NumPy's name -> the names of NRRD, the one to write first. Source: the format's definition, section 5."""
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_SIGNS = {"left": (0, 1), "right": (0, -1), "posterior": (1, 1), "anterior": (1, -1), "superior": (2, 1)}
_SIGNS["inferior"] = (2, -1)
_SHORT = {"RAS": "right-anterior-superior", "LAS": "left-anterior-superior", "LPS": "left-posterior-superior"}
_VECTOR = re.compile(r"\(([^)]*)\)|none")
_OF_SPACE = ("domain", "space", "time", "none", "???")


def sniff(path: Path) -> bool:
    """True for the magic of NRRD."""
    with path.open("rb") as stream:
        return _MAGIC.match(stream.read(16)) is not None


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
    file = plan_file(series, target, "nrrd", _kept, _new)
    lines = file.lines
    if series.derivation is not None:
        lines = [line for line in lines if not line.startswith(f"{_MADE}:=")]
        lines.append(f"{_MADE}:={series.derivation.description}")
    with staged(targets) as staging, staging.file(target) as stream:
        stream.write(("\n".join(lines) + "\n\n").encode())
        write_voxels(stream, file.planes, file.dtype, "gzip" if file.packed else "")


def _header(path: Path) -> VolumeHeader:
    """Header from the lines before the voxels. Raises CorruptError or UnsupportedError."""
    with path.open("rb") as stream:
        text = stream.read(LONGEST_HEADER)
    end = re.search(rb"\r?\n\r?\n", text)
    head = text if end is None else text[: end.start()]
    lines = tuple(head.decode(errors="replace").splitlines())
    fields, keys = _fields(lines)
    missing = {"type", "dimension", "sizes", "encoding"} - set(fields)
    if missing:
        raise CorruptError(f"{path} states no {sorted(missing)[0]}: export it again.")
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise UnsupportedError(f"{path} is encoded as {encoding}; raw and gzip are read: save it again.")
    code = _DTYPES.get(fields["type"].lower())
    if code is None:
        raise UnsupportedError(
            f"{path} holds {fields['type']}; integers and floats up to 64 bits are read: convert it first."
        )
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()]
    if any(kind not in _OF_SPACE for kind in kinds):
        raise UnsupportedError(f"{path} holds several values a voxel: give one channel at a time.")
    data, start = _data(path, fields, None if end is None else end.end())
    sizes = whole_numbers(fields["sizes"], path, "sizes")
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    vectors = _VECTOR.findall(fields.get("space directions", ""))
    header = VolumeHeader(
        lines=lines,
        sizes=sizes,
        dtype=np.dtype(order + code if code[1] != "1" else code),
        data=data,
        start=start,
        packed=encoding != "raw",
        geometry=_geometry(path, fields, len(sizes)),
        in_time=kinds[-1:] == ["time"] or (len(vectors) > 2 and not vectors[-1]),
        made=keys.get(_MADE, ""),
        hint="; ".join(f"{key}: {value}" for key, value in keys.items() if key != _MADE)[:4096],
    )
    check_size(path, header)
    return header


def _fields(lines: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Fields by name, and the keys that programs add."""
    fields, keys = {}, {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if line.startswith("#") or not colon:
            continue
        if value.startswith("="):
            keys[name] = value[1:]
        else:
            fields[name.strip().lower()] = value.strip()
    return fields, keys


def _data(path: Path, fields: dict[str, str], end: int | None) -> tuple[Path, int]:
    """The file with the voxels and where in it they begin."""
    name = fields.get("data file", fields.get("datafile"))
    skip = whole_numbers(fields.get("byte skip", fields.get("byteskip", "0")), path, "byte skip")
    if skip[:1] < (0,) or fields.get("line skip", fields.get("lineskip", "0")) != "0":
        raise UnsupportedError(f"{path} has its voxels after lines to skip: save it again as raw or gzip.")
    if name is None:
        if end is None:
            raise CorruptError(f"{path} ends inside its header: copy it again.")
        return path, end + skip[0]
    if name.startswith("LIST") or len(name.split()) > 1:
        raise UnsupportedError(f"{path} has its voxels in several files: save it as one.")
    return data_file(path, name.removeprefix("./")), skip[0]


def _geometry(path: Path, fields: dict[str, str], dimensions: int) -> Geometry:
    """LPS geometry of space directions, or of spacings. Raises where they contradict themselves."""
    found = [match.group(1) for match in _VECTOR.finditer(fields.get("space directions", ""))]
    vectors = [numbers(text, path, "space directions") for text in found if text is not None]
    count = min(dimensions, 3)
    if not vectors:
        given = numbers(fields.get("spacings", ""), path, "spacings")[:count]
        if len(given) < 2 or not np.isfinite(given[:2]).all():
            return Geometry(known=False)
        spacings = [step if np.isfinite(step) else 1.0 for step in given]
        return place(np.eye(len(given)), spacings, [0.0] * len(given), str(path))
    size = len(vectors[0])
    if size not in (2, 3, 4) or len(vectors) < 2 or any(len(vector) != size for vector in vectors):
        raise CorruptError(f"{path} states space directions that contradict each other: export it again.")
    origin = re.fullmatch(r"\(([^)]*)\)", fields.get("space origin", ""))
    start = numbers(origin[1], path, "space origin") if origin else [0.0] * size
    # a fourth direction is that of time
    size = min(size, 3)
    turn = _to_lps(fields.get("space", ""))[:size, :size]
    axes = turn @ np.array(vectors)[:3, :size].T
    lengths = np.linalg.norm(axes, axis=0)
    if not (np.isfinite(axes).all() and lengths.min() > 0 and len(start) >= size):
        raise CorruptError(f"{path} states impossible space directions: export it again.")
    full, steps, begin = np.eye(3), np.ones(3), np.zeros(3)
    full[:size, : len(lengths)] = axes / lengths
    if size == 3 and len(lengths) == 2:
        full[:, 2] = np.cross(full[:, 0], full[:, 1])
    steps[: len(lengths)], begin[:size] = lengths, turn @ np.array(start)[:size]
    return place(full, steps.tolist(), begin.tolist(), str(path))


def _to_lps(space: str) -> NDArray[np.float64]:
    """The matrix from a space to LPS; the identity for spaces without a patient."""
    matrix = np.zeros((3, 3))
    names = _SHORT.get(space, space).lower().split("-")[:3]
    if [name for name in names if name not in _SIGNS] or len(names) < 3:
        return np.eye(3)
    for column, name in enumerate(names):
        row, sign = _SIGNS[name]
        matrix[row, column] = sign
    return matrix


def _kept(header: VolumeHeader, series: Series) -> list[str]:
    """The lines of the source, for voxels that follow them; sizes and directions anew on a finer grid."""
    gone = {"data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip"}
    lines = [line for line in header.lines if line.partition(":")[0].strip().lower() not in gone]
    if series.finer == (1.0, 1.0):
        return lines
    sizes = (series.pixels.shape[2], series.pixels.shape[1], *header.sizes[2:])
    fresh = ["sizes: " + " ".join(map(str, sizes))]
    gone = {"sizes"}
    if any(line.lower().startswith("space directions") for line in lines):
        gone |= {"space", "space dimension", "space directions", "space origin"}
        fresh += _directions(series.geometry, min(len(sizes) - header.in_time, 3), len(sizes))
    elif series.geometry.known:
        gone |= {"spacings"}
        rest = ["nan"] * max(len(sizes) - 3, 0)
        fresh.append("spacings: " + " ".join([words(series.geometry.spacing_mm[::-1][: len(sizes)]), *rest]))
    lines = [line for line in lines if line.partition(":")[0].strip().lower() not in gone]
    return [*lines, *fresh]


def _directions(geometry: Geometry, spatial: int, count: int) -> list[str]:
    """Space, directions and origin of `count` axes, columns first; `none` for those not of space."""
    vectors = [
        "(" + words([part * step for part in axis]).replace(" ", ",") + ")"
        for axis, step in zip(geometry.axes[::-1], geometry.spacing_mm[::-1], strict=True)
    ]
    return [
        "space: left-posterior-superior",
        f"space directions: {' '.join(vectors[:spatial] + ['none'] * (count - spatial))}",
        f"space origin: ({words(geometry.origin_mm).replace(' ', ',')})",
    ]


def _new(series: Series, planes: NDArray[Any]) -> list[str]:
    """The lines for a series of another format."""
    cine = series.frame_time_ms is not None
    lines = [
        "NRRD0004",
        f"type: {_TYPES[planes.dtype.str[1:]][0]}",
        "dimension: 3",
        f"sizes: {' '.join(map(str, planes.shape[::-1]))}",
        f"kinds: domain domain {'time' if cine else 'domain'}",
        "endian: little",
        "encoding: gzip",
    ]
    if series.geometry.known:
        lines[3:3] = _directions(series.geometry, 2 if cine else 3, 3)
    if series.modality:
        lines.append(f"modality:={series.modality}")
    return lines

"""NIfTI-1 and -2 in one file (.nii, .nii.gz): the header's bytes kept, RAS <-> LPS in this one place."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import CorruptError, UnsupportedError, first_line
from meddenoise.io import Entry, Item, one_each
from meddenoise.io.atomic import staged
from meddenoise.io.limits import allocate
from meddenoise.io.memory import place
from meddenoise.io.nifti_new import HEADERS, RAS_LPS, KeptNifti, millimetres, new_file, refined, scale, typed
from meddenoise.io.scratch import each_plane
from meddenoise.series import RESULTS, Derivation, Geometry, Series

SUFFIX = ".nii.gz"
LEVEL = 1
"""gzip level: noise hardly compresses further, and level 9 takes ten times as long."""

_GZIP = b"\x1f\x8b"
_MAGICS = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}
# deflate cannot do better than this (zlib's technical notes)
_MAX_RATIO = 1032
_DESCRIP = {348: 148, 540: 240}
_DESCRIP_LENGTH = 80
_MADE, _ADDED = b"meddenoise ", b"with "
"""Before the method that made a result; between the two and the noise that was added to an image."""


def sniff(path: Path) -> bool:
    """True for the magic of NIfTI, gzipped or not, whatever the name says."""
    try:
        with _opened(path) as stream:
            head = stream.read(348)
    except (OSError, EOFError, zlib.error):
        return False
    return _kind(head) is not None


def scan(path: Path) -> Entry:
    """The entry of one NIfTI file. Raises CorruptError or UnsupportedError."""
    header, _, _ = _head(path)
    shape = _shape(header, path)
    _geometry(header, path)
    last = bytes(header["descrip"]).rpartition(_MADE)[2]
    made = last != bytes(header["descrip"]) and not last.startswith(_ADDED)
    return Entry(path, shape[2] * shape[3], shape[2] == 1 and shape[3] > 1, result=made)


group = one_each


def read(item: Item) -> Series:
    """The volume or volumes of a file: planes [T x Z, Y, X], z fastest. Raises InputError."""
    path = item.files[0]
    header, head, compressed = _head(path)
    columns, rows, slices, volumes = _shape(header, path)
    dtype = header.get_data_dtype()
    pixels = allocate((volumes * slices, rows, columns), dtype.newbyteorder("="), path)
    warnings: list[str] = []
    tail = _read_voxels(path, len(head), pixels, warnings)
    if not dtype.isnative:
        pixels.byteswap(inplace=True)
    slope, intercept = scale(header)
    if slope == header["scl_slope"] and not np.isfinite(header["scl_inter"]):
        warnings.append("the stated intercept is not a number: 0 is used")
    bad = int((~np.isfinite(pixels)).sum()) if dtype.kind == "f" else 0
    if bad:
        warnings.append(f"{bad} voxels are NaN or infinite: they stay as they are")
    several = volumes if slices > 1 else 1
    if several > 1:
        warnings.append(f"{volumes} volumes follow each other: their planes are taken as one stack")
    return Series(
        pixels=pixels,
        slope=np.full(len(pixels), slope),
        intercept=np.full(len(pixels), intercept),
        stored_range=_range(dtype),
        geometry=_geometry(header, path),
        format="nifti",
        path=path,
        files=(path,),
        frame_time_ms=_frame_time_ms(header) if item.cine else None,
        volumes=several,
        hint=_texts(header),
        shown=_window(header),
        warnings=tuple(warnings),
        header=KeptNifti(head, tail, dtype.str, compressed),
    )


def write(series: Series, targets: Sequence[Path]) -> None:
    """Write one file, gzipped where its name says so. Raises OutputError."""
    (target,) = targets
    if series.format == "nifti" and isinstance(series.header, KeptNifti):
        kept, planes = typed(refined(series.header, series), series), series.pixels
    else:
        kept, planes = new_file(series, target)
    head = _described(kept.head, series.derivation)
    name = target.name.lower()
    compressed = name.endswith(".gz") or (kept.compressed and not name.endswith(".nii"))
    with staged(targets) as staging, staging.file(target) as stream:
        if compressed:
            # no name and no time inside: the same input gives the same bytes
            with gzip.GzipFile("", "wb", LEVEL, stream, mtime=0) as packed:
                _write_parts(packed, head, planes, kept)
        else:
            _write_parts(stream, head, planes, kept)


def _write_parts(stream: Any, head: bytes, planes: NDArray[Any], kept: KeptNifti) -> None:
    stream.write(head)
    for plane in each_plane(planes):
        stream.write(np.ascontiguousarray(plane, np.dtype(kept.dtype)).data)
    stream.write(kept.tail)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield stream


def _kind(head: bytes) -> int | None:
    """The header size, 348 or 540, of a NIfTI file of either byte order; None for anything else."""
    for order in ("little", "big"):
        size = int.from_bytes(head[:4], order)
        if size in _MAGICS:
            offset, magics = _MAGICS[size]
            return size if head[offset : offset + 4] in magics else None
    return None


def _head(path: Path) -> tuple[Any, bytes, bool]:
    """The parsed header, all bytes before the voxels, and whether the file is gzipped."""
    try:
        with _opened(path) as stream:
            compressed = isinstance(stream, gzip.GzipFile)
            start = stream.read(348)
            size = _kind(start)
            if size is None:
                raise CorruptError(f"{path} has lost its NIfTI header: copy or export it again.")
            start += stream.read(size - len(start))
            offset, _ = _MAGICS[size]
            if start[offset : offset + 3] in (b"ni1", b"ni2"):
                raise UnsupportedError(f"{path} is half of a .hdr/.img pair: convert it to .nii first.")
            header = HEADERS[size].from_fileobj(io.BytesIO(start[:size]), check=False)
            begin = int(header["vox_offset"])
            if not size <= begin <= 1 << 28:
                raise CorruptError(f"{path} puts its voxels at byte {begin}: export it again.")
            head = start[:begin] + stream.read(max(begin - len(start), 0))
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise CorruptError(
            f"{path} has a damaged NIfTI header ({first_line(error)}): copy it again."
        ) from error
    if len(head) < begin:
        raise CorruptError(f"{path} ends inside its header: copy it again.")
    _check_size(path, header, begin, compressed)
    return header, head, compressed


def _check_size(path: Path, header: Any, begin: int, compressed: bool) -> None:
    columns, rows, slices, volumes = _shape(header, path)
    needed = columns * rows * slices * volumes * int(header.get_data_dtype().itemsize)
    there = path.stat().st_size * (_MAX_RATIO if compressed else 1) - begin
    if needed > there:
        raise CorruptError(
            f"{path} is truncated: its dimensions need {needed} bytes of voxels; copy it again."
        )


def _shape(header: Any, path: Path) -> tuple[int, int, int, int]:
    """Columns, rows, slices, volumes."""
    dims = [int(size) for size in header["dim"]]
    if not 1 <= dims[0] <= 7:
        raise CorruptError(f"{path} states {dims[0]} dimensions: export it again.")
    sizes = dims[1 : dims[0] + 1]
    if min(sizes) < 1:
        raise CorruptError(f"{path} states a size of {min(sizes)}: export it again.")
    if any(size > 1 for size in sizes[4:]):
        raise UnsupportedError(f"{path} has {len(sizes)} dimensions; up to 4 are read: split it first.")
    code = int(header["datatype"])
    try:
        dtype = header.get_data_dtype()
    except Exception as error:
        raise CorruptError(f"{path} states unknown data type {code}: export it again.") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnsupportedError(
            f"{path} holds {dtype.name if dtype.kind != 'V' else 'colour'} voxels; "
            "integers and floats up to 64 bits are read: convert it first."
        )
    columns, rows, slices, volumes = (*sizes, 1, 1, 1)[:4]
    return columns, rows, slices, volumes


def _read_voxels(path: Path, begin: int, pixels: NDArray[Any], warnings: list[str]) -> bytes:
    """Fill `pixels` with the file's bytes and return what follows them."""
    view = pixels.data.cast("B")
    try:
        with _opened(path) as stream:
            stream.read(begin)
            filled = 0
            while filled < len(view):
                count = stream.readinto(view[filled : filled + (16 << 20)])  # type: ignore[union-attr]
                if not count:
                    raise EOFError(f"{len(view) - filled} bytes of voxels are missing")
                filled += count
            try:
                return stream.read(1 << 20)
            except gzip.BadGzipFile as error:
                if "Not a gzipped file" not in str(error):
                    raise
                warnings.append("bytes that are not gzip follow the image: they are left out")
                return b""
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptError(f"{path} is truncated or damaged ({first_line(error)}): copy it again.") from error


def _texts(header: Any) -> str:
    """Description, auxiliary file and name of the intent."""
    fields = (bytes(header[name].item()) for name in ("descrip", "aux_file", "intent_name"))
    return " ".join(text.split(b"\0")[0].decode("latin-1") for text in fields).strip()


def _window(header: Any) -> tuple[float, float] | None:
    """The display range stated; 0 and 0 stand for none."""
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (low, high) if low < high and np.isfinite(high - low) else None


def _range(dtype: np.dtype[Any]) -> tuple[float, float]:
    info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return float(info.min), float(info.max)


def _geometry(header: Any, path: Path) -> Geometry:
    """LPS geometry of the affine nibabel's rules choose (sform, then qform, then pixdim).

    Raises UnsupportedError where it is sheared.
    """
    affine = RAS_LPS @ header.get_best_affine()
    affine[:3] *= millimetres(header)
    steps = affine[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-9:
        return Geometry(known=False)
    return place(steps / lengths, lengths.tolist(), affine[:3, 3].tolist(), str(path))


def _frame_time_ms(header: Any) -> float | None:
    step = float(header["pixdim"][4])
    # those of other codes are taken for seconds
    factor = {16: 1.0, 24: 0.001}.get(int(header["xyzt_units"]) & 0x38, 1000.0)
    return step * factor if step > 0 and np.isfinite(step) else None


def _described(head: bytes, done: Derivation | None) -> bytes:
    """The header with what was done at the end of its description; the old text gives way."""
    if done is None:
        return head
    size = _kind(head)
    assert size is not None
    start = _DESCRIP[size]
    before = head[start : start + _DESCRIP_LENGTH].split(b"\0")[0]
    what = done.method.encode() if done.verb in RESULTS else _ADDED + done.method.encode()
    tail = (_MADE + what)[: _DESCRIP_LENGTH - 1]
    room = _DESCRIP_LENGTH - 1 - len(tail) - 2
    text = before[:room] + b"; " + tail if before and room > 0 else tail
    return head[:start] + text.ljust(_DESCRIP_LENGTH, b"\0") + head[start + _DESCRIP_LENGTH :]

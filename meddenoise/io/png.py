"""PNG, 8 and 16 bit, grey and colour: decoded by Pillow and SimpleITK, written with its other chunks."""

import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meddenoise.errors import CorruptError, UnsupportedError
from meddenoise.io import Entry, Item, one_each
from meddenoise.io.atomic import staged
from meddenoise.io.limits import allocate
from meddenoise.io.own import is_result
from meddenoise.io.raster import grey, join_alpha, series_of, split_alpha
from meddenoise.series import Series

SUFFIX = ".png"
LEVEL = 3
"""zlib level: 6 takes three times as long for a few percent."""
MOST_TEXT = 4096
"""Characters of text that are looked through for a modality."""

_PROCESSING = "Processing"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 3, _GREY_ALPHA: 2, _RGBA: 4}
# What describes the picture and not its encoding (PNG specification, 11.3).
_KEPT = (b"cHRM", b"cICP", b"gAMA", b"iCCP", b"sRGB", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME")
_DESCRIBED = _PROCESSING.encode() + b"\0\0\0\0\0"
"""Beginning of an iTXt chunk of that keyword: uncompressed, no language."""


@dataclass(frozen=True, slots=True)
class Head:
    """The IHDR chunk and the chunks to keep."""

    width: int
    height: int
    depth: int
    kind: int
    chunks: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class KeptPng:
    """The parts of a PNG besides its colours that are written again."""

    alpha: NDArray[Any] | None
    chunks: tuple[tuple[bytes, bytes], ...]
    palette: NDArray[np.uint8] | None = None
    """The grey of each index, where a palette has all 256 greys."""


def sniff(path: Path) -> bool:
    """True for the PNG signature."""
    with path.open("rb") as stream:
        return stream.read(8) == _SIGNATURE


def scan(path: Path) -> Entry:
    """The entry of one PNG. Raises CorruptError or UnsupportedError."""
    texts = [body for name, body in _head(path).chunks if name == b"iTXt" and body.startswith(_DESCRIBED)]
    made = texts[-1][len(_DESCRIBED) :].decode(errors="replace") if texts else ""
    return Entry(path, 1, result=is_result(made))


group = one_each


def read(item: Item) -> Series:
    """The image: one plane, or red, green and blue. Raises InputError."""
    path = item.files[0]
    head = _head(path)
    sixteen = head.depth == 16
    dtype = np.dtype(np.uint16 if sixteen else np.uint8)
    # asks for the memory before a decoder does
    allocate((_CHANNELS[head.kind], head.height, head.width), dtype, path)
    try:
        frame = _decode_wide(path) if sixteen and head.kind != _GREY else _decode(path, head)
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError, zlib.error) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise CorruptError(f"{path} has PNG pixels that do not decode ({reason}): save it again.") from error
    if frame.shape[:2] != (head.height, head.width) or frame.dtype != dtype:
        raise CorruptError(f"{path} does not decode to what its header states: save it again.")
    colours, alpha = split_alpha(frame)
    pixels = np.ascontiguousarray(colours)
    palette, told = _keep_palette(path, len(pixels), alpha) if head.kind == _PALETTE else (None, "")
    kept = KeptPng(alpha, head.chunks, palette)
    return series_of(item, pixels, len(pixels), kept, (told,) if told else (), _texts(head.chunks))


def write(series: Series, targets: Sequence[Path]) -> None:
    """Write one PNG for each frame. Raises OutputError."""
    own = series.format == "png" and isinstance(series.header, KeptPng)
    kept = series.header if own else KeptPng(None, ())
    pixels, scaling = (series.pixels, None) if own else grey(series)
    chunks = [_finer(chunk, series.finer) for chunk in kept.chunks]
    if scaling is not None:
        chunks.append(_text("Stored value", f"grey / {scaling.factor:g} + {scaling.low:g}"))
        if scaling.inverted:
            chunks.append(_text("Inverted", "yes, before the line above: grey = white - grey"))
    if series.derivation is not None:
        chunks.append(_text(_PROCESSING, series.derivation.description))
    with staged(targets) as staging:
        for number, target in enumerate(targets):
            start = number * series.channels
            frame = join_alpha(pixels[start : start + series.channels], kept.alpha)
            with staging.file(target) as stream:
                if kept.palette is None:
                    _encode(stream, frame, chunks)
                else:
                    _encode(stream, indices_of(kept.palette)[frame], chunks, kept.palette)


def _head(path: Path) -> Head:
    """The header and kept chunks. Raises where a chunk is damaged or the kind is not read."""
    with path.open("rb") as stream:
        stream.seek(len(_SIGNATURE))
        chunks = [chunk for chunk in _chunks(stream, path) if chunk[0] in (b"IHDR", b"acTL", *_KEPT)]
    names = [name for name, _ in chunks]
    if names[:1] != [b"IHDR"] or len(chunks[0][1]) != 13:
        raise CorruptError(f"{path} does not begin with a PNG header: save it again.")
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    if b"acTL" in names:
        raise UnsupportedError(f"{path} is an animation: give its frames as single images.")
    if kind not in _CHANNELS or min(width, height) < 1:
        raise CorruptError(f"{path} states an impossible size or colour type: save it again.")
    if depth not in (8, 16) and kind != _PALETTE:
        raise UnsupportedError(f"{path} holds {depth}-bit pixels; 8 and 16 bits are read: convert it first.")
    if depth == 16 and kind == _GREY_ALPHA:
        raise UnsupportedError(f"{path} is 16-bit grey with transparency: save it without transparency.")
    return Head(width, height, depth, kind, tuple(chunk for chunk in chunks if chunk[0] in _KEPT))


def _chunks(stream: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """All chunks, each with its checksum proved."""
    while True:
        start = stream.read(8)
        if len(start) < 8:
            raise CorruptError(f"{path} is truncated: copy it again.")
        length, name = struct.unpack(">I4s", start)
        body = stream.read(min(length, 1 << 31))
        check = stream.read(4)
        if len(check) < 4:
            raise CorruptError(f"{path} is truncated: copy it again.")
        if zlib.crc32(body, zlib.crc32(name)) != struct.unpack(">I", check)[0]:
            raise CorruptError(f"{path} is damaged: the checksum of a PNG chunk is wrong; copy it again.")
        if name == b"IEND":
            return
        yield name, body


def _decode(path: Path, head: Head) -> NDArray[Any]:
    with warnings.catch_warnings():
        # the size was judged already
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if head.kind != _PALETTE:
                return np.asarray(image)
            colours = np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
    is_grey = (colours[..., :3] == colours[..., :1]).all()
    if not is_grey:
        return colours
    return colours[..., 0] if colours.shape[-1] == 3 else colours[..., [0, 3]]


def _keep_palette(
    path: Path, channels: int, alpha: NDArray[Any] | None
) -> tuple[NDArray[np.uint8] | None, str]:
    """The greys of a palette that can hold every result, else None and what becomes of it."""
    if channels == 3:
        return None, "palette colours are written as RGB"
    with Image.open(path) as image:
        entries = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    greys = entries[(entries == entries[:, :1]).all(axis=1), 0]
    count = len(np.unique(greys))
    if count < 256 or alpha is not None:
        what = "transparent indices" if alpha is not None else f"{count} of 256 greys"
        return None, f"the palette has {what}: written as grey without it"
    return entries[:, 0], ""


def indices_of(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The index of each of the 256 greys in a palette that has them all."""
    table = np.zeros(256, np.uint8)
    # where a grey is there twice, its first index
    table[palette[::-1]] = np.arange(len(palette), dtype=np.uint8)[::-1]
    return table


def _decode_wide(path: Path) -> NDArray[Any]:
    """16-bit colour, which Pillow would cut down to 8 bits."""
    import SimpleITK

    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="PNGImageIO")))


def _encode(
    stream: BinaryIO,
    frame: NDArray[Any],
    chunks: Sequence[tuple[bytes, bytes]],
    palette: NDArray[np.uint8] | None = None,
) -> None:
    """A PNG of every bit depth and channel count, which neither Pillow nor SimpleITK writes."""
    kinds = {channels: kind for kind, channels in _CHANNELS.items() if kind != _PALETTE}
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    depth = frame.dtype.itemsize * 8
    height, width = frame.shape[:2]
    stream.write(_SIGNATURE)
    kind = kinds[channels] if palette is None else _PALETTE
    _write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    for name, body in chunks:
        _write_chunk(stream, name, body)
    if palette is not None:
        _write_chunk(stream, b"PLTE", np.repeat(palette, 3).tobytes())
    rows = np.ascontiguousarray(frame, frame.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    # filter 2, the difference to the row above, packs grey images best of those that cost nothing
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    _write_chunk(stream, b"IDAT", zlib.compress(filtered.data, LEVEL))
    _write_chunk(stream, b"IEND", b"")


def _write_chunk(stream: BinaryIO, name: bytes, body: bytes) -> None:
    stream.write(struct.pack(">I4s", len(body), name))
    stream.write(body)
    stream.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(name))))


def _finer(chunk: tuple[bytes, bytes], finer: tuple[float, float]) -> tuple[bytes, bytes]:
    """A chunk as it is for a finer grid: more pixels a metre."""
    name, body = chunk
    if name != b"pHYs" or finer == (1.0, 1.0) or len(body) != 9:
        return chunk
    across, down, unit = struct.unpack(">IIB", body)
    most = 2**31 - 1
    return name, struct.pack(
        ">IIB", min(round(across * finer[1]), most), min(round(down * finer[0]), most), unit
    )


def _texts(chunks: Sequence[tuple[bytes, bytes]]) -> str:
    """Keyword and text of every text chunk, but for compressed ones and those of meddenoise itself."""
    texts = []
    for name, body in chunks:
        keyword, _, rest = body.partition(b"\0")
        if name == b"tEXt":
            texts.append((keyword + b": " + rest).decode("latin-1"))
        elif name == b"iTXt" and rest[:1] == b"\0" and keyword != _PROCESSING.encode():
            words = rest[2:].split(b"\0", 2)[-1]
            texts.append(f"{keyword.decode('latin-1')}: {words.decode(errors='replace')}")
    return "; ".join(texts)[:MOST_TEXT]


def _text(keyword: str, value: str) -> tuple[bytes, bytes]:
    """An iTXt chunk: UTF-8, uncompressed, no language."""
    out = BytesIO()
    out.write(keyword.encode("latin-1") + b"\0\0\0\0\0" + value.encode())
    return b"iTXt", out.getvalue()

"""A file that ends in the middle of its pixels: which frames are whole, and where they lie."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.uid import RLELossless

from meddenoise.io.dicom.header import UNDEFINED_LENGTH, Header, open_stream

_ITEM = 0xE000FFFE
"""The tag of an item, a fragment of a frame, as a little endian number (PS3.5 A.4)."""
_END_OF_IMAGE = b"\xff\xd9"
"""Closes every codestream of the JPEG family."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Position of the bytes of one item in a stream."""

    start: int
    length: int


def count_whole(header: Header, frame_bytes: int, path: Path) -> int | None:
    """Number of whole frames in a file that is cut short; None if it is not.

    `frame_bytes` is the size of a native frame.
    """
    if header.syntax.is_encapsulated:
        with open_stream(path) as stream:
            frames = _whole_frames(header, stream)
        return None if frames is None else len(frames)
    there = header.stream_length - header.pixel_offset
    if header.pixel_length == UNDEFINED_LENGTH or there >= header.pixel_length:
        return None
    return max(there, 0) // frame_bytes


def read_whole(header: Header, stream: BinaryIO) -> Iterator[bytes]:
    """The codestream of every frame that an encapsulated file that is cut short holds whole."""
    for fragments in _whole_frames(header, stream) or ():
        yield b"".join(_read(stream, fragment) for fragment in fragments)


def _whole_frames(header: Header, stream: BinaryIO) -> list[list[Fragment]] | None:
    """The fragments of every whole frame; None where the items end as they should, or are none."""
    fragments = _whole_fragments(header, stream)
    if fragments is None:
        return None
    frames: list[list[Fragment]] = [[]]
    # the first item is the offset table, which counts frames that are lost too
    for fragment in fragments[1:]:
        frames[-1].append(fragment)
        if header.syntax == RLELossless or _ends_image(stream, fragment):
            frames.append([])
    return frames[:-1]


def _whole_fragments(header: Header, stream: BinaryIO) -> list[Fragment] | None:
    fragments = []
    place, end = header.pixel_offset, header.stream_length
    while place + 8 <= end:
        tag, length = struct.unpack("<II", _read(stream, Fragment(place, 8)))
        if tag != _ITEM:
            return None
        if place + 8 + length > end:
            break
        fragments.append(Fragment(place + 8, length))
        place += 8 + length
    return fragments


def _ends_image(stream: BinaryIO, fragment: Fragment) -> bool:
    """True where a frame is complete with this fragment, which may be padded to an even length."""
    tail = min(fragment.length, 4)
    last = _read(stream, Fragment(fragment.start + fragment.length - tail, tail))
    return last.rstrip(b"\0").endswith(_END_OF_IMAGE)


def _read(stream: BinaryIO, fragment: Fragment) -> bytes:
    stream.seek(fragment.start, io.SEEK_SET)
    return stream.read(fragment.length)

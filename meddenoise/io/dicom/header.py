"""Opening DICOM files safely: sniffed by content, headers without pixels, bounded inflation, plain errors."""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from meddenoise.errors import CorruptError, InputError, NotAnImageError, UnsupportedError, first_line

# pydicom warns of every oddity it repairs; what matters to the pixels is in Series.warnings.
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")

PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
HEADER_LIMIT = 64 << 20
"""Bytes a header may inflate to; real ones stay under some MiB even with thousands of frames."""
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Header:
    """All elements before the pixels, and where the pixel values lie in the stream of `open_stream`."""

    dataset: Dataset
    syntax: UID
    pixel_tag: int | None
    pixel_offset: int
    pixel_length: int
    """Stated length in bytes, UNDEFINED_LENGTH where encapsulated."""
    stream_length: int


def sniff(path: Path) -> bool:
    """True for 'DICM' at byte 128, or a start that can only be a bare DICOM data set."""
    with path.open("rb") as stream:
        head = stream.read(136)
    return head[128:132] == b"DICM" or _starts_with_element(head)


def read_header(path: Path, tags: Sequence[str] | None = None) -> Header:
    """The header of a DICOM file, or only `tags` of it (keywords).

    Raises CorruptError for what cannot be parsed, NotAnImageError for a DICOMDIR.
    """
    with open_stream(path) as stream:
        try:
            header = locate_pixels(stream, tags)
            kind = header.dataset.file_meta.get("MediaStorageSOPClassUID")
        except RecursionError as error:
            raise CorruptError(f"{path} nests its sequences too deeply: export it again.") from error
        except Exception as error:
            raise CorruptError(
                f"{path} has a damaged DICOM header ({first_line(error)}): export it again."
            ) from error
    if kind == MediaStorageDirectoryStorage:
        raise NotAnImageError(f"{path} is a DICOMDIR, an index of other files: give those files.")
    return header


def locate_pixels(stream: BinaryIO, tags: Sequence[str] | None = None) -> Header:
    """The header at the start of a stream; raises whatever pydicom does for what it cannot parse."""
    dataset = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(tags) if tags else None)
    # the stream now stands at the pixel element
    syntax = _syntax(dataset)
    # what the elements are written in, which is not always what the transfer syntax says
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = stream.read(12)
    tag, length, offset = None, 0, stream.tell()
    if len(head) == 12:
        group, element = struct.unpack(order + "HH", head[:4])
        tag = group << 16 | element
        # some writers leave the VR out here alone
        implicit = implicit or not head[4:6].isalpha()
        length = struct.unpack(order + "I", head[4:8] if implicit else head[8:12])[0]
        offset -= 4 if implicit else 0
    end = stream.seek(0, io.SEEK_END)
    known = tag if tag in (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA) else None
    return Header(dataset, syntax, known, offset, length, end)


def open_stream(path: Path) -> BinaryIO:
    """The file, or in memory what a deflated one holds, never more than its header declares.

    Raises CorruptError, UnsupportedError, OSError.
    """
    stream = path.open("rb")
    try:
        meta, start = _read_meta(stream)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            stream.seek(0)
            return stream
        stream.seek(start)
        inflated = _inflate(stream, meta, path)
    except InputError:
        stream.close()
        raise
    # damaged elements make pydicom raise all sorts of types
    except Exception as error:
        stream.close()
        raise CorruptError(
            f"{path} has a damaged start or cannot be inflated ({first_line(error)}): export it again."
        ) from error
    stream.close()
    return inflated


def _starts_with_element(head: bytes) -> bool:
    """True where the first bytes are an element of group 0002 or 0008 of believable length."""
    if len(head) < 12:
        return False
    for order, native in (("<", True), (">", False)):
        group, element = struct.unpack(order + "HH", head[:4])
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        if head[4:6].isalpha() and head[4:6].isupper():
            return True
        # implicit VR exists in little endian only
        if native and struct.unpack("<I", head[4:8])[0] <= 256:
            return True
    return False


def _read_meta(stream: BinaryIO) -> tuple[FileMetaDataset, int]:
    """The file meta group, read as pydicom does but without inflating what follows, and where that begins."""
    start = 132 if stream.read(132)[128:] == b"DICM" else 0

    def read(implicit: bool) -> FileMetaDataset:
        stream.seek(start)
        elements = read_dataset(stream, implicit, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        return FileMetaDataset(elements)

    meta = read(implicit=False)
    try:
        meta[next(iter(meta.keys()), 0x00020010)]
    except KeyError:
        pass  # no group 2 at all
    except NotImplementedError:
        meta = read(implicit=True)
    return meta, stream.tell()


def _inflate(stream: BinaryIO, meta: FileMetaDataset, path: Path) -> BinaryIO:
    """The same file in explicit VR little endian."""
    out = io.BytesIO()
    plain = FileMetaDataset()
    plain.update(meta)
    plain.TransferSyntaxUID = ExplicitVRLittleEndian
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(DicomFileLike(out), plain, enforce_standard=False)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    _inflate_into(out, stream, inflater, HEADER_LIMIT)
    if not inflater.eof:
        end = out.tell()
        out.seek(0)
        header = locate_pixels(out)
        if header.pixel_tag is None:
            raise UnsupportedError(f"{path} inflates to a header beyond 64 MiB, so it is refused.")
        out.seek(end)
        _inflate_into(out, stream, inflater, _declared_bytes(header.dataset) + HEADER_LIMIT)
        if not inflater.eof:
            raise CorruptError(f"{path} inflates to more than its header declares, so it is refused.")
    out.seek(0)
    return out


def _inflate_into(out: BinaryIO, stream: BinaryIO, inflater: "zlib._Decompress", limit: int) -> None:
    start = out.tell()
    while not inflater.eof and out.tell() - start < limit:
        block = inflater.unconsumed_tail or stream.read(1 << 16)
        if not block:
            raise EOFError("the deflated stream ends early")
        out.write(inflater.decompress(block, 1 << 20))


def _declared_bytes(dataset: Dataset) -> int:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    samples, bits = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("BitsAllocated", 16))
    return int(dataset.Rows) * int(dataset.Columns) * frames * samples * bits // 8


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax stated, or the one pydicom found the elements to be in."""
    stated = dataset.file_meta.get("TransferSyntaxUID")
    if stated:
        return UID(stated)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian

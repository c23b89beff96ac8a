"""Series -> derived DICOM objects: the source headers, new pixels, and what was done, written all or none."""

import copy
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import DataElement, Dataset, dcmwrite
from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, VR, PersonName

from meddenoise.errors import OutputError, first_line
from meddenoise.io.atomic import staged
from meddenoise.io.dicom.create import create
from meddenoise.io.dicom.derive import derive
from meddenoise.io.dicom.grid import refine_header
from meddenoise.io.dicom.header import PIXEL_DATA, UNDEFINED_LENGTH, Header, locate_pixels
from meddenoise.io.dicom.read import Source
from meddenoise.io.dicom.stored import stored_bytes, stored_frames
from meddenoise.io.dicom.values import text
from meddenoise.series import Series
from meddenoise.version import __version__

# Implementation class of meddenoise: a UUID drawn once, in the 2.25 arc of PS3.5 B.2.
IMPLEMENTATION_UID = UID("2.25.139214711866372210437365291450146826141")

DEEPEST = 12
"""Most sequences inside one another; real images have up to 5. An element that pydicom cannot encode costs
more than twice as much with every level, for its message repeats those below: without end from some 20 on."""

# Commands of the network and file meta: no part of a data set.
_NOT_OURS = (0x0000, 0x0002)
_KNOWN = {str(vr) for vr in VR}


def write(series: Series, targets: Sequence[Path]) -> None:
    """Write one derived object for each source file, or new objects for a series of another format.

    Raises OutputError where a file cannot be written or does not read back.
    """
    if series.format != "dicom" or series.header is None:
        series = create(series, len(targets))
    sources: tuple[Source, ...] = series.header
    times = Counter(text(source.dataset, "SOPInstanceUID") for source in sources)
    with staged(targets) as staging:
        for source, target in zip(sources, targets, strict=True):
            try:
                dataset = _object(series, source, times[text(source.dataset, "SOPInstanceUID")] > 1)
            # damaged elements make pydicom raise all sorts of types
            except Exception as error:
                raise _unwritable(target, error) from error
            with staging.file(target) as stream:
                size = stored_bytes(series, source.planes)
                _save(dataset, stream, target)
                _write_pixels(stream, series, source, target)
                _verify(stream, dataset, size, target)


def _object(series: Series, source: Source, shared: bool) -> Dataset:
    """The data set of one file, all but its pixels; its identifier may be `shared` by other files."""
    dataset = _header(source.dataset)
    if series.derivation is not None:
        derive(dataset, series, source, shared=shared)
    if series.finer != (1.0, 1.0):
        refine_header(dataset, series)
    _describe_pixels(dataset, series, source)
    _keep_texts(dataset)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(dataset.get("SOPClassUID", ""))
    meta.MediaStorageSOPInstanceUID = UID(dataset.get("SOPInstanceUID", ""))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"MEDDENOISE_{__version__}"[:16]
    dataset.file_meta = meta
    return dataset


def _header(source: Dataset) -> Dataset:
    """A copy without damaged elements, whose words are little endian."""
    # a shallow copy would share its elements with the source
    dataset = copy.deepcopy(source)
    for level in _levels(dataset):
        for tag in list(level.keys()):
            if tag.group in _NOT_OURS:
                del level[tag]
            else:
                _settle(level, tag)
    if not text(dataset, "SOPClassUID"):
        dataset.SOPClassUID = (
            text(source.file_meta, "MediaStorageSOPClassUID") or SecondaryCaptureImageStorage
        )
    if source.original_encoding[1] is False:
        for level in _levels(dataset):
            _turn_around(level)
    return dataset


def _levels(dataset: Dataset, depth: int = 0) -> Iterator[Dataset]:
    """The data set and all items inside it, each after what it is in; a sequence that is damaged has none.

    Raises ValueError for items more than DEEPEST deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"its sequences are nested more than {DEEPEST} deep")
    yield dataset
    for element in list(dataset.elements()):
        if element.VR == VR.SQ:
            inner: list[Dataset] = []
            with suppress(Exception):  # whatever pydicom raises
                inner.extend(dataset[element.tag].value)
            for item in inner:
                yield from _levels(item, depth + 1)


def _settle(dataset: Dataset, tag: BaseTag) -> None:
    """Give an element read without VR its VR; one that pydicom cannot interpret stays, as bytes."""
    raw: Any = dataset.get_item(tag, keep_deferred=True)
    if raw.VR in _KNOWN:
        return
    try:
        vr = dataset[tag].VR
    except Exception:
        dataset[tag] = DataElement(tag, "UN", raw.value)
    else:
        if vr in CUSTOMIZABLE_CHARSET_VR:
            dataset[tag] = raw._replace(VR=vr)


def _keep_texts(dataset: Dataset) -> None:
    """Have texts that are as they were read written so: pydicom would lose what is not in the stated set."""
    stated = dataset.get("SpecificCharacterSet", "")
    for level in _levels(dataset):
        encodings = convert_encodings(level.get("SpecificCharacterSet", stated))
        for tag in list(level.keys()):
            raw: Any = level.get_item(tag)
            if isinstance(raw, RawDataElement) and raw.value and raw.VR in CUSTOMIZABLE_CHARSET_VR:
                value = PersonName(raw.value, encodings) if raw.VR == VR.PN else raw.value
                level[tag] = DataElement(tag, str(raw.VR), value, already_converted=True)


def _turn_around(dataset: Dataset) -> None:
    """Have the elements read in little endian, all but texts: pydicom leaves the words of OW as they are."""
    for tag in [element.tag for element in dataset.elements() if element.VR not in CUSTOMIZABLE_CHARSET_VR]:
        element = dataset[tag]
        if element.VR == VR.OW and element.value:
            element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def _describe_pixels(dataset: Dataset, series: Series, source: Source) -> None:
    """The image pixel module of native pixels, in the bits that the source has them in."""
    frames = len(source.planes)
    low, high = (int(end) for end in series.stored_range)
    stored = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + (low < 0)
    dataset.SamplesPerPixel = series.channels
    if series.channels == 3:
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = series.pixels.shape[1:]
    dataset.BitsAllocated = series.pixels.dtype.itemsize * 8
    dataset.BitsStored = stored
    dataset.HighBit = stored - 1 + source.shift
    dataset.PixelRepresentation = int(series.pixels.dtype.kind == "i")
    if frames > 1 or "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = frames


def _save(dataset: Dataset, stream: BinaryIO, target: Path) -> None:
    """Write everything before the pixels."""
    buffer = BytesIO()
    try:
        dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except Exception as error:
        raise _unwritable(target, error) from error
    stream.write(buffer.getbuffer())


def _write_pixels(stream: BinaryIO, series: Series, source: Source, target: Path) -> None:
    """Write the element Pixel Data in explicit VR little endian, a frame at a time (PS3.5 7.1.2)."""
    size = stored_bytes(series, source.planes)
    if size >= UNDEFINED_LENGTH:
        raise OutputError(
            f"{target} would hold {size / 2**30:.1f} GiB of pixels, more than uncompressed DICOM can: "
            "split the series, or give --format nifti."
        )
    vr = b"OB" if series.pixels.dtype.itemsize == 1 else b"OW"
    stream.write(struct.pack("<HH2sHI", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, vr, 0, size + size % 2))
    for frame in stored_frames(series, source.planes, source.shift):
        stream.write(frame)
    stream.write(b"\0" * (size % 2))


def _unwritable(target: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{target} cannot be encoded, the source's header is invalid ({first_line(error)}): "
        "export it again, or give --format nifti."
    )


def _verify(stream: BinaryIO, dataset: Dataset, size: int, target: Path) -> None:
    """Raises OutputError where the file does not read back with all its pixels (pydicom issue 2324)."""
    stream.flush()
    stream.seek(0)
    header: Header = locate_pixels(stream)
    frames = header.dataset.get("NumberOfFrames", 1)
    there = header.stream_length - header.pixel_offset
    whole = header.pixel_tag == PIXEL_DATA and header.pixel_length == there == size + size % 2
    if not whole or frames != dataset.get("NumberOfFrames", 1):
        raise OutputError(f"{target} did not read back with all its frames: report this file.")

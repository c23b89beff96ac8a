"""Stored pixel values of a DICOM file, frame by frame, straight into the array of the series."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid

from meddenoise.errors import CorruptError, InputError, UnsupportedError
from meddenoise.io.dicom.bits import is_odd, keep_bits
from meddenoise.io.dicom.cine import frame_time_ms
from meddenoise.io.dicom.cut import count_whole, read_whole
from meddenoise.io.dicom.gdcm import Gdcm
from meddenoise.io.dicom.header import (
    DOUBLE_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    UNDEFINED_LENGTH,
    Header,
    open_stream,
)
from meddenoise.io.dicom.values import integer, text, word
from meddenoise.io.scratch import release

# pylibjpeg-rle panics (a BaseException, with a message on stderr) on malformed frames; pydicom's own raises.
_PLUGINS = {RLELossless: "pydicom"}
# No JPEG goes beyond 130:1 by its code alone; GDCM asks for the memory before it looks at the code.
_MOST_COMPRESSED = 2000
# Bytes decoded before their memory is given back: looking through all pages costs as much as a frame.
_RELEASED = 32 << 20
_RGB = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The image pixel module of one file."""

    rows: int
    columns: int
    frames: int
    """Frames that are there, less than `declared` in a cine that is cut short."""
    declared: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The native dtype of a stored value."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def stored_range(self) -> tuple[float, float]:
        """Smallest and largest value the stored bits can hold."""
        if self.signed:
            return float(-(2 ** (self.bits_stored - 1))), float(2 ** (self.bits_stored - 1) - 1)
        return 0.0, float(2**self.bits_stored - 1)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def native_bytes(self) -> int:
        """Bytes of one frame in an uncompressed file."""
        return self.frame_bytes * 2 // 3 if self.photometric == "YBR_FULL_422" else self.frame_bytes


def describe(header: Header, path: Path) -> PixelFormat:
    """The pixel format of a file. Raises UnsupportedError or CorruptError where it cannot be read."""
    if header.pixel_tag in (FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA):
        raise UnsupportedError(
            f"{path} holds floating point pixels (a computed map), which are not denoised: give the images."
        )
    if not header.syntax.is_transfer_syntax:
        raise UnsupportedError(
            f"{path} is in a transfer syntax that is not of the DICOM standard: export it uncompressed."
        )
    dataset = header.dataset
    allocated = integer(dataset, "BitsAllocated")
    stored = integer(dataset, "BitsStored", allocated)
    declared = max(integer(dataset, "NumberOfFrames", 1), 1)
    form = PixelFormat(
        rows=integer(dataset, "Rows"),
        columns=integer(dataset, "Columns"),
        frames=declared,
        declared=declared,
        samples=integer(dataset, "SamplesPerPixel", 1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=integer(dataset, "HighBit", stored - 1),
        signed=integer(dataset, "PixelRepresentation") == 1,
        photometric=_photometric(dataset),
    )
    _check_kind(form, path)
    form = _without_lost(form, header, path)
    _check_size(form, header, path)
    return form


def decode(
    header: Header, form: PixelFormat, path: Path, planes: NDArray[Any], places: list[int], gdcm: Gdcm
) -> None:
    """Decode all frames of a file; frame k, or its first channel, becomes `planes[places[k]]`.

    pydicom's decoders first, `gdcm` where they give up. Words with an odd high bit come raw: `settle_bits`.

    Raises CorruptError where the pixels cannot be decoded or frames are missing.
    """
    try:
        count = _fill(_frames(header, form, path), form, planes, places)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from error
    except Exception as error:
        if not header.syntax.is_encapsulated:
            raise _undecodable(path, header, error) from error
        try:
            count = _fill(_gdcm_frames(header, form, path, gdcm), form, planes, places)
        except Exception as second:
            # pydicom knows no decoder of this transfer syntax at all
            if isinstance(error, NotImplementedError):
                raise UnsupportedError(
                    f"{path} is in {header.syntax.name}, which is not read: export it uncompressed."
                ) from second
            raise _undecodable(path, header, second) from error
    if count < form.frames:
        raise CorruptError(f"{path} declares {form.frames} frames but holds {count}: export it again.")


def _photometric(dataset: Dataset) -> str:
    """Grey where nothing is stated; UNKNOWN for what is no code string."""
    stated = text(dataset, "PhotometricInterpretation")
    return (word(dataset, "PhotometricInterpretation") or "UNKNOWN") if stated else "MONOCHROME2"


def _check_kind(form: PixelFormat, path: Path) -> None:
    if form.bits_allocated == 1 or form.bits_stored == 1:
        raise UnsupportedError(f"{path} holds a 1-bit mask, which has no noise to remove: give the images.")
    if form.photometric == "PALETTE COLOR":
        raise UnsupportedError(
            f"{path} stores palette colour indices, which cannot be denoised: convert it to RGB first."
        )
    colour = form.samples == 3 and form.photometric in _RGB
    grey = form.samples == 1 and form.photometric in ("MONOCHROME1", "MONOCHROME2")
    if not (colour or grey):
        raise UnsupportedError(
            f"{path} has photometric interpretation {form.photometric} with {form.samples} samples a pixel; "
            "MONOCHROME1, MONOCHROME2, RGB and YBR are read: convert it first."
        )
    if form.bits_allocated not in (8, 16, 32):
        raise UnsupportedError(
            f"{path} allocates {form.bits_allocated} bits a pixel; 8, 16 and 32 are read: convert it first."
        )
    if not 0 < form.bits_stored <= form.high_bit + 1 <= form.bits_allocated:
        raise CorruptError(
            f"{path} states {form.bits_stored} bits stored with high bit {form.high_bit} "
            f"in {form.bits_allocated} allocated, which is impossible: export it again."
        )


def _without_lost(form: PixelFormat, header: Header, path: Path) -> PixelFormat:
    """The format of the whole frames of a cine that is cut short; the same one for anything else.

    Raises CorruptError where not one frame is whole.
    """
    if frame_time_ms(header.dataset, form.frames) is None:
        return form
    whole = count_whole(header, form.native_bytes, path)
    if whole is None or whole >= form.frames:
        return form
    if whole == 0:
        raise CorruptError(f"{path} is truncated: it does not hold one whole frame; copy it again.")
    return replace(form, frames=whole)


def _check_size(form: PixelFormat, header: Header, path: Path) -> None:
    """Raises CorruptError where a native file is shorter than its matrix needs."""
    there = max(header.stream_length - header.pixel_offset, 0)
    if header.syntax.is_encapsulated:
        # every frame takes an item tag, a length and at least two bytes
        needed = form.frames * 10
    else:
        if header.pixel_length == UNDEFINED_LENGTH:
            raise CorruptError(f"{path} states no transfer syntax for compressed pixels: export it again.")
        there = min(there, header.pixel_length)
        needed = form.frames * form.native_bytes
    if there < needed:
        raise CorruptError(
            f"{path} is truncated: it needs {needed} bytes of pixel data, {there} are there; copy it again."
        )


def _frames(header: Header, form: PixelFormat, path: Path) -> Iterator[NDArray[Any]]:
    """Frames as pydicom decodes them: [Y, X] or RGB [Y, X, 3]."""
    options = as_pixel_options(header.dataset)
    options |= {"pixel_keyword": "PixelData", "bits_stored": form.bits_stored, "pixel_vr": "OW"}
    options |= {"photometric_interpretation": form.photometric, "number_of_frames": form.frames}
    options |= {"samples_per_pixel": form.samples, "pixel_representation": int(form.signed)}
    native_grey = not header.syntax.is_encapsulated and form.samples == 1
    raw = native_grey or is_odd(form)
    options |= {"decoding_plugin": _PLUGINS.get(header.syntax, ""), "correct_unused_bits": not raw}
    decoder = get_decoder(header.syntax)
    with open_stream(path) as stream:
        if header.syntax.is_encapsulated and form.frames < form.declared:
            # no table of offsets leads to the frames: each is given by itself
            options |= {"number_of_frames": 1, "extended_offsets": None}
            alone = (decoder.iter_array(encapsulate([one]), **options) for one in read_whole(header, stream))
            decoded: Iterator[Any] = chain.from_iterable(alone)
        else:
            stream.seek(header.pixel_offset)
            decoded = decoder.iter_array(stream, **options)
        for frame, found in decoded:
            if form.samples == 3 and found["photometric_interpretation"] not in ("RGB", *_RGB[3:]):
                raise UnsupportedError(f"{path} has colours that are not decoded: convert it to RGB first.")
            plain = not native_grey or is_odd(form) or form.bits_stored == form.bits_allocated
            yield frame if plain else keep_bits(frame, form, form.high_bit)


def _gdcm_frames(header: Header, form: PixelFormat, path: Path, gdcm: Gdcm) -> Iterator[NDArray[Any]]:
    """Frames by SimpleITK's GDCM, which knows JPEG lossless and 12-bit JPEG.

    Each frame goes through a bare file without rescale, so stored values come back.
    """
    with open_stream(path) as stream:
        stream.seek(header.pixel_offset)
        is_cut = form.frames < form.declared
        for encoded in (
            read_whole(header, stream) if is_cut else generate_frames(stream, number_of_frames=form.frames)
        ):
            if form.frame_bytes > _MOST_COMPRESSED * len(encoded):
                raise ValueError("far too few bytes for its rows and columns")
            frame = gdcm.decode(_bare(encoded, header, form))
            if form.photometric.startswith("YBR_FULL"):
                frame = convert_color_space(frame, "YBR_FULL", "RGB")
            yield frame.astype(form.dtype)


def _bare(encoded: bytes, header: Header, form: PixelFormat) -> bytes:
    """A DICOM file of one frame and nothing else."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = header.syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["frame"])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = form.rows, form.columns
    dataset.SamplesPerPixel = form.samples
    # RGB whatever the file says: GDCM then converts nothing
    dataset.PhotometricInterpretation = "RGB" if form.samples == 3 else "MONOCHROME2"
    if form.samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored = form.bits_allocated, form.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = form.bits_stored - 1, int(form.signed)
    dataset.PixelData = encapsulate([encoded])
    dataset["PixelData"].VR = "OB"
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _fill(frames: Iterator[NDArray[Any]], form: PixelFormat, planes: NDArray[Any], places: list[int]) -> int:
    count, between = 0, max(1, _RELEASED // form.frame_bytes)
    for place, frame in zip(places, frames, strict=False):
        if frame.shape[:2] != (form.rows, form.columns):
            raise ValueError(f"a frame decodes to {frame.shape[0]} x {frame.shape[1]} pixels")
        if form.samples == 1:
            planes[place] = frame
        else:
            planes[place : place + 3] = np.moveaxis(frame, -1, 0)
        count += 1
        if count % between == 0:
            release(planes)
    release(planes)
    return count


def _undecodable(path: Path, header: Header, error: Exception) -> CorruptError:
    reason = " ".join(str(error).split())[:200]
    name = header.syntax.name
    return CorruptError(f"{path} has {name} pixels that do not decode ({reason}): export it again.")

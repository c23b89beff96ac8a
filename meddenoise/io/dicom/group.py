"""Grouping of DICOM files into stacks: series, matrix, orientation, then whatever makes positions unique."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID

from meddenoise.errors import CorruptError, NotAnImageError
from meddenoise.io import Entry
from meddenoise.io.dicom import cine as dicom_cine
from meddenoise.io.dicom.cine import frame_time_ms
from meddenoise.io.dicom.header import Header, read_header
from meddenoise.io.dicom.pixels import describe
from meddenoise.io.dicom.values import integer, items, numbers, text, word
from meddenoise.io.natural import natural_key
from meddenoise.io.own import is_result
from meddenoise.series import RESULTS

_TIE_NUMBERS = (
    *("TemporalPositionIdentifier", "EchoTime", "DiffusionBValue", "InversionTime"),
    *("TriggerTime", "AcquisitionNumber"),
)
_TIE_TEXTS = ("ConvolutionKernel", "AcquisitionTime", "ContentTime")
_TAGS = (
    *("PatientID", "SeriesInstanceUID", "SeriesNumber", "SOPInstanceUID", "ImageType", "InstanceNumber"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ImageOrientationPatient", "ImagePositionPatient"),
    *dicom_cine.TAGS,
    *_TIE_NUMBERS,
    *_TIE_TEXTS,
    *("DerivationDescription", "ContributingEquipmentSequence"),
)

# Image SOP classes whose pixels are not a picture to denoise.
_NO_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.481.2": "radiotherapy dose",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "label map",
    "1.2.840.10008.5.1.4.1.1.30": "parametric map",
}


@dataclass(frozen=True, slots=True)
class SlicePlace:
    """Keys that group and order one file."""

    group: tuple[object, ...]
    series_number: int
    position: float | None
    """Millimetres along the stack normal."""
    number: int
    ties: tuple[object, ...]
    """Values that may tell repeated positions apart, the most telling first."""


def scan(path: Path) -> Entry:
    """The entry of one DICOM file. Raises InputError, NotAnImageError where it holds no picture."""
    header = read_header(path, _TAGS)
    check_picture(header, path)
    frames = describe(header, path).frames
    dataset = header.dataset
    instance = text(dataset, "SOPInstanceUID")
    cine = frame_time_ms(dataset, frames) is not None
    return Entry(path, frames, cine, _place(dataset, path, frames), _is_result(dataset), instance)


def check_picture(header: Header, path: Path) -> None:
    """Raises NotAnImageError for a file without a picture, CorruptError for one that lost its pixels."""
    dataset = header.dataset
    kind = _NO_PICTURES.get(text(dataset, "SOPClassUID"))
    if kind:
        raise NotAnImageError(f"{path} holds a {kind}, not an image: give the image series.")
    has_matrix = integer(dataset, "Rows") > 0 and integer(dataset, "Columns") > 0
    if header.pixel_tag is None:
        # a header may be cut before it comes to the matrix
        if has_matrix or UID(text(dataset, "SOPClassUID")).name.endswith("Image Storage"):
            raise CorruptError(f"{path} ends before its pixel data: copy or export it again.")
        modality = word(dataset, "Modality")
        what = f"DICOM of modality {modality}" if modality else "DICOM"
        raise NotAnImageError(f"{path} is {what} without an image: give the image series.")
    if not has_matrix:
        raise CorruptError(f"{path} has pixel data but states no rows and columns: export it again.")


def group(entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
    """The stacks among the entries, each in plane order.

    Those of a folder by their series number, then those that are one file only by its name.
    """
    together: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        together.setdefault(entry.detail.group, []).append(entry)
    stacks = [tuple(stack) for files in together.values() for stack in _stacks(files)]
    folders: dict[Path, int] = {}
    for stack in stacks:
        folders.setdefault(stack[0].path.parent, len(folders))

    def place(stack: tuple[Entry, ...]) -> tuple[object, ...]:
        first = stack[0]
        name = natural_key(first.path.name) if len(stack) == 1 else []
        return folders[first.path.parent], name, first.detail.series_number

    return sorted(stacks, key=place)


def normal(orientation: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The stack normal of an ImageOrientationPatient."""
    return np.cross(orientation[:3], orientation[3:])


def _place(dataset: Dataset, path: Path, frames: int) -> SlicePlace:
    orientation = numbers(dataset, "ImageOrientationPatient")
    origin = numbers(dataset, "ImagePositionPatient")
    placed = len(orientation) == 6 and len(origin) == 3
    series = text(dataset, "SeriesInstanceUID")
    kind = text(dataset, "ImageType").upper().split("\\")
    alone = frames > 1 or not series
    key = (
        # anonymisers have been seen to give series of several patients one identifier
        text(dataset, "PatientID"),
        series,
        path if alone else None,
        integer(dataset, "Rows"),
        integer(dataset, "Columns"),
        integer(dataset, "SamplesPerPixel", 1),
        integer(dataset, "BitsAllocated"),
        integer(dataset, "PixelRepresentation"),
        text(dataset, "PhotometricInterpretation"),
        tuple(round(value, 2) + 0.0 for value in orientation),
        "LOCALIZER" in kind,
    )
    ties = (
        tuple(kind),
        *(numbers(dataset, name) for name in _TIE_NUMBERS),
        *(text(dataset, name) for name in _TIE_TEXTS),
    )
    position = float(normal(orientation) @ np.array(origin)) if placed else None
    number = integer(dataset, "SeriesNumber")
    return SlicePlace(key, number, position, integer(dataset, "InstanceNumber"), ties)


def _is_result(dataset: Dataset) -> bool:
    """True where the last program that worked on an image is meddenoise, and did not add noise."""
    equipment = items(dataset, "ContributingEquipmentSequence")
    if equipment and text(equipment[-1], "Manufacturer") == "meddenoise":
        return text(equipment[-1], "ContributionDescription").startswith(("Noise reduction", *RESULTS))
    return is_result(text(dataset, "DerivationDescription"))


def _stacks(files: list[Entry]) -> list[list[Entry]]:
    """One stack, or several where one attribute splits repeated positions into clean stacks."""
    ordered = sorted(files, key=_order)
    if _unique(ordered):
        return [ordered]
    for index in range(len(ordered[0].detail.ties)):
        parts = _split(ordered, index)
        if len(parts) > 1 and all(map(_unique, parts)):
            return parts
    return [ordered]


def _split(files: list[Entry], tie: int) -> list[list[Entry]]:
    parts: dict[object, list[Entry]] = {}
    for entry in files:
        parts.setdefault(entry.detail.ties[tie], []).append(entry)
    return list(parts.values())


def _unique(files: list[Entry]) -> bool:
    positions = [entry.detail.position for entry in files]
    if None in positions:
        return True
    return len({round(position, 2) for position in positions}) == len(positions)


def _order(entry: Entry) -> tuple[float, int, str]:
    position = entry.detail.position
    # 10 um: positions of one slice written by two programs differ by rounding
    return (0.0 if position is None else round(position, 2), entry.detail.number, entry.path.name)

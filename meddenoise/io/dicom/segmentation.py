"""DICOM segmentations: what every frame marks, and where it lies in the patient."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage

from meddenoise.errors import CorruptError, InputError, first_line
from meddenoise.io.dicom.header import open_stream, read_header, sniff
from meddenoise.io.dicom.values import integer, item, items, numbers


@dataclass(frozen=True, slots=True)
class Marked:
    """One frame: True where it marks something, [Y, X]; its place and turn as DICOM states them, in mm."""

    pixels: NDArray[np.bool_]
    position: tuple[float, ...]
    orientation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A segmentation whose pixels are not read yet; `shape` is (rows, columns)."""

    path: Path
    shape: tuple[int, int]
    dataset: Dataset

    def frames(self) -> Iterator[Marked]:
        """Frame by frame, so that many segments need no more memory. Raises CorruptError."""
        shared, own = (
            items(self.dataset, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame")
        )
        try:
            for number, pixels in enumerate(_decoded(self.dataset)):
                groups = [*own[number : number + 1], *shared]
                yield Marked(
                    pixels != 0,
                    _first(groups, "PlanePositionSequence", "ImagePositionPatient"),
                    _first(groups, "PlaneOrientationSequence", "ImageOrientationPatient"),
                )
        # decoders raise all sorts of types for damaged pixels
        except Exception as error:
            raise CorruptError(
                f"{self.path} is a segmentation that cannot be read ({first_line(error)}): export it again."
            ) from error


def open_segmentation(path: Path) -> Segmentation | None:
    """The segmentation in a file; None where it holds anything else. Raises InputError for damage."""
    try:
        if not path.is_file() or not sniff(path):
            return None
        if read_header(path, ["SOPClassUID"]).dataset.get("SOPClassUID") != SegmentationStorage:
            return None
        with open_stream(path) as stream:
            dataset = dcmread(stream, force=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from error
    # and so do damaged elements
    except Exception as error:
        raise CorruptError(f"{path} has damaged elements ({first_line(error)}): export it again.") from error
    return Segmentation(path, (integer(dataset, "Rows"), integer(dataset, "Columns")), dataset)


def _decoded(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Its frames [Y, X]. pydicom cuts frames of single bits at whole bytes, where they need not begin."""
    plain = dataset.file_meta.get("TransferSyntaxUID") in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    if integer(dataset, "BitsAllocated") != 1 or not plain:
        yield from iter_pixels(dataset)
        return
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    shape = integer(dataset, "Rows"), integer(dataset, "Columns")
    for number in range(integer(dataset, "NumberOfFrames", 1)):
        start, stop = number * prod(shape), (number + 1) * prod(shape)
        bits = np.unpackbits(packed[start // 8 : -(-stop // 8)], bitorder="little")
        yield bits[start % 8 :][: prod(shape)].reshape(shape)


def _first(groups: list[Dataset], macro: str, keyword: str) -> tuple[float, ...]:
    found = (item(group, macro) for group in groups)
    return next((numbers(place, keyword) for place in found if place is not None), ())

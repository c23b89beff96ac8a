"""Links from a derived DICOM image to its sources, by its header."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from meddenoise.errors import InputError
from meddenoise.io.dicom.header import read_header
from meddenoise.io.dicom.values import items, text

_TAGS = ("SOPInstanceUID", "SourceImageSequence", "SourceImageEvidenceSequence")


@dataclass(frozen=True, slots=True)
class Links:
    """UID of an image, and those of the images it was derived from."""

    instance: str = ""
    sources: frozenset[str] = frozenset()


def read_links(path: Path) -> Links:
    """The links of one DICOM file; none where it cannot be read."""
    try:
        dataset = read_header(path, _TAGS).dataset
    except (InputError, OSError):
        return Links()
    return Links(text(dataset, "SOPInstanceUID"), frozenset(filter(None, _sources(dataset))))


def _sources(dataset: Dataset) -> Iterator[str]:
    for source in items(dataset, "SourceImageSequence"):
        yield text(source, "ReferencedSOPInstanceUID")
    for study in items(dataset, "SourceImageEvidenceSequence"):
        for series in items(study, "ReferencedSeriesSequence"):
            for image in items(series, "ReferencedSOPSequence"):
                yield text(image, "ReferencedSOPInstanceUID")

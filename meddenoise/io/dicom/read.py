"""DICOM files -> Series: headers first, then every frame decoded into its place in one array."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from meddenoise.errors import CorruptError
from meddenoise.io import Item
from meddenoise.io.dicom.bits import settle_bits
from meddenoise.io.dicom.cine import UNKNOWN_MS, frame_time_ms, keep_frames
from meddenoise.io.dicom.frames import Frame, frames_of, geometry, oddities, positions
from meddenoise.io.dicom.gdcm import Gdcm
from meddenoise.io.dicom.group import check_picture
from meddenoise.io.dicom.header import Header, read_header
from meddenoise.io.dicom.overlay import free_overlays
from meddenoise.io.dicom.pixels import PixelFormat, decode, describe
from meddenoise.io.dicom.values import integer, item, number, text, word
from meddenoise.io.limits import allocate
from meddenoise.series import Series

IDENTITY = {
    "Patient": "PatientName",
    "Patient ID": "PatientID",
    "Study date": "StudyDate",
    "Study": "StudyDescription",
    "Series": "SeriesDescription",
}
"""Facts by which a reader knows a study, each with its DICOM keyword."""
TAIL = 6
"""Characters of an identifier that tell one series from the others of a study."""


@dataclass(frozen=True, slots=True)
class Source:
    """Parts of a source file for writing; `planes[k]` is the plane of its frame k (the first channel).

    `cut` tells that the file had more frames before it was cut short; `shift` how many bits below its
    values are empty.
    """

    dataset: Dataset
    syntax: str
    compressed_bytes: int
    planes: tuple[int, ...]
    cut: bool = False
    shift: int = 0


def read(item: Item) -> Series:
    """The stack of an item. Raises InputError."""
    headers = [read_header(path) for path in item.files]
    forms = [_checked(header, path) for header, path in zip(headers, item.files, strict=True)]
    first = forms[0]
    frames = [
        frame
        for header, form in zip(headers, forms, strict=True)
        for frame in frames_of(header.dataset, form.frames)
    ]
    order = _plane_order(frames)
    places = _places(order, forms, first.samples)
    pixels = allocate((len(frames) * first.samples, first.rows, first.columns), first.dtype, item.path)
    with Gdcm() as gdcm:
        for header, form, path, where in zip(headers, forms, item.files, places, strict=True):
            if _shape(form) != _shape(first):
                raise CorruptError(f"{path} changed while it was read: run again.")
            decode(header, form, path, pixels, where, gdcm)
    bits = settle_bits(pixels, forms, places)
    ordered = [frames[index] for index in order]
    sources = tuple(
        Source(
            _kept(header, form, path),
            str(header.syntax),
            header.stream_length - header.pixel_offset,
            tuple(where),
            form.frames < form.declared,
            shift,
        )
        for header, form, path, where, shift in zip(
            headers, forms, item.files, places, bits.shifts, strict=True
        )
    )
    series = _series(item, pixels, forms, ordered, sources)
    return replace(series, warnings=(*series.warnings, *bits.warnings, *_surplus(headers, forms)))


def _series(
    item: Item,
    pixels: np.ndarray[Any, np.dtype[Any]],
    forms: list[PixelFormat],
    frames: list[Frame],
    sources: tuple[Source, ...],
) -> Series:
    dataset = sources[0].dataset
    form = forms[0]
    modality = word(dataset, "Modality")
    slope, intercept, unit, warnings = _rescale(dataset, frames, modality)
    time = frame_time_ms(dataset, max(form.frames for form in forms))
    lows, highs = zip(*(form.stored_range for form in forms), strict=True)
    return Series(
        pixels=pixels,
        slope=np.repeat(slope, form.samples),
        intercept=np.repeat(intercept, form.samples),
        stored_range=(min(lows), max(highs)),
        geometry=geometry(frames),
        format="dicom",
        path=item.path,
        files=item.files,
        modality=modality,
        unit=unit,
        name=text(dataset, "SeriesDescription"),
        label=_label(dataset),
        subject=_subject(dataset),
        identity=tuple((label, text(dataset, keyword)) for label, keyword in IDENTITY.items()),
        channels=form.samples,
        frame_time_ms=time,
        exposures=_exposures(frames),
        padding=_padding(dataset, form),
        inverted=form.photometric == "MONOCHROME1",
        warnings=(*warnings, *oddities(frames), *_lossy(dataset), *_gaps(forms, time)),
        header=sources,
    )


def _label(dataset: Dataset) -> str:
    """`series 3 (...404711)`, of what the header states: no text that may name somebody."""
    number = f"series {integer(dataset, 'SeriesNumber')}" if "SeriesNumber" in dataset else "series"
    identifier = text(dataset, "SeriesInstanceUID")
    # some makers end every identifier with `.0.0.0`, which tells nothing apart
    told = len(re.sub(r"(\.0)+$", "", identifier))
    return f"{number} (...{identifier[max(told - TAIL, 0) :]})" if identifier else number


def _checked(header: Header, path: Path) -> PixelFormat:
    check_picture(header, path)
    return describe(header, path)


def _shape(form: PixelFormat) -> tuple[object, ...]:
    return form.rows, form.columns, form.samples, form.dtype


def _plane_order(frames: Sequence[Frame]) -> list[int]:
    """Frame numbers along the normal; as filed where places are unknown or repeat."""
    along = positions(frames)
    filed = list(range(len(frames)))
    if along is None or len(np.unique(np.round(along, 2))) < len(frames):
        return filed
    return [int(index) for index in np.argsort(along, kind="stable")]


def _places(order: list[int], forms: list[PixelFormat], channels: int) -> list[list[int]]:
    """For each file, the plane that each of its frames becomes."""
    plane = {frame: position * channels for position, frame in enumerate(order)}
    places, start = [], 0
    for form in forms:
        places.append([plane[start + index] for index in range(form.frames)])
        start += form.frames
    return places


def _rescale(
    dataset: Dataset, frames: list[Frame], modality: str
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]], str, list[str]]:
    """Slope and intercept a frame, the unit they lead to, warnings."""
    ones, zeros = np.ones(len(frames)), np.zeros(len(frames))
    if item(dataset, "ModalityLUTSequence") is not None:
        return ones, zeros, "", ["a modality lookup table maps the values: denoised in stored values"]
    if integer(dataset, "SamplesPerPixel", 1) != 1:
        return ones, zeros, "", []
    slope = np.array([frame.slope for frame in frames])
    intercept = np.array([frame.intercept for frame in frames])
    if (slope == 0).any():
        return (
            ones,
            zeros,
            "",
            ["a rescale slope of 0 is stated, which is impossible: stored values are used"],
        )
    kind = frames[0].rescale_type
    if modality == "CT" and kind in ("HU", ""):
        unit = "HU"
    elif modality == "PT":
        unit = text(dataset, "Units")
    else:
        unit = "" if kind in (None, "US") else str(kind)
    return slope, intercept, unit, []


def _exposures(frames: list[Frame]) -> tuple[float, ...]:
    """Of each frame, by the first element that all of them state and that changes; empty where none does."""
    columns = zip(*(frame.exposures for frame in frames), strict=True)
    return next((column for column in columns if 0 < min(column) < max(column)), ())


def _subject(dataset: Dataset) -> str:
    """A digest that is the same for the same patient identifier."""
    identifier = text(dataset, "PatientID")
    return hashlib.sha256(identifier.encode()).hexdigest()[:16] if identifier else ""


def _padding(dataset: Dataset, form: PixelFormat) -> tuple[float, float] | None:
    value = number(dataset, "PixelPaddingValue")
    if value is None or form.samples != 1:
        return None
    limit = number(dataset, "PixelPaddingRangeLimit")
    ends = [_signed(end, form) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _signed(value: float, form: PixelFormat) -> float:
    """Padding written with the wrong sign (US for SS) as the stored value it stands for."""
    if form.signed and value > form.stored_range[1]:
        return value - 2.0**form.bits_allocated
    if not form.signed and value < 0:
        return value + 2.0**form.bits_allocated
    return value


def _kept(header: Header, form: PixelFormat, path: Path) -> Dataset:
    """The header of the frames that are there, its overlays in elements of their own."""
    dataset = free_overlays(header, form, path)
    if form.frames < form.declared:
        keep_frames(dataset, form.frames)
    return dataset


def _gaps(forms: list[PixelFormat], time: float | None) -> list[str]:
    """Warnings about what a cine should hold and does not."""
    found = ["no frame time is stated: the frames are taken as a cine all the same"] * (time == UNKNOWN_MS)
    for form in forms:
        if form.frames < form.declared:
            done, lost = _named(1, form.frames), _named(form.frames + 1, form.declared)
            found.append(f"the file is cut short: {done} processed, {lost} missing; copy it again for those")
    return found


def _surplus(headers: list[Header], forms: list[PixelFormat]) -> list[str]:
    """A warning about frames that the files hold and do not declare."""
    more = 0
    for header, form in zip(headers, forms, strict=True):
        if not header.syntax.is_encapsulated:
            there = min(header.pixel_length, header.stream_length - header.pixel_offset)
            more += max(there // form.native_bytes - form.declared, 0)
    return [f"pixels of {more} more frames than declared are left out: correct NumberOfFrames"] * (more > 0)


def _named(first: int, last: int) -> str:
    return f"frame {first} is" if first == last else f"frames {first} to {last} are"


def _lossy(dataset: Dataset) -> list[str]:
    if text(dataset, "LossyImageCompression") != "01":
        return []
    return ["the image was compressed lossily before: the artefacts of that are not noise"]

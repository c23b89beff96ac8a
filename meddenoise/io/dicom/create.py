"""New DICOM objects for series of other formats: CT, MR, CR, XA, RF, else secondary capture (PS3.3 A)."""

import hashlib
from dataclasses import replace

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from meddenoise.io.dicom.read import Source
from meddenoise.io.dicom.values import decimal
from meddenoise.series import Series
from meddenoise.version import __version__

# Modality -> SOP class, image type value 3, attributes the standard wants there (empty: known to nobody).
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "CT": (
        "1.2.840.10008.5.1.4.1.1.2",
        "AXIAL",
        {"KVP": "", "AcquisitionNumber": "", "PatientPosition": ""},
    ),
    "MR": (
        "1.2.840.10008.5.1.4.1.1.4",
        "OTHER",
        {
            "ScanningSequence": "RM",
            "SequenceVariant": "NONE",
            "ScanOptions": "",
            "MRAcquisitionType": "",
            "RepetitionTime": "",
            "EchoTime": "",
            "EchoTrainLength": "",
            "PatientPosition": "",
        },
    ),
    "CR": ("1.2.840.10008.5.1.4.1.1.1", "", {"BodyPartExamined": "", "ViewPosition": ""}),
    "XA": (
        "1.2.840.10008.5.1.4.1.1.12.1",
        "SINGLE PLANE",
        {
            "PixelIntensityRelationship": "DISP",
            "KVP": "",
            "RadiationSetting": "SC",
            "XRayTubeCurrent": "",
            "ExposureTime": "",
            "PositionerMotion": "",
            "PositionerPrimaryAngle": "",
            "PositionerSecondaryAngle": "",
        },
    ),
    "RF": (
        "1.2.840.10008.5.1.4.1.1.12.2",
        "SINGLE PLANE",
        {
            "PixelIntensityRelationship": "DISP",
            "KVP": "",
            "RadiationSetting": "SC",
            "XRayTubeCurrent": "",
            "ExposureTime": "",
        },
    ),
}
_UNKNOWN = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientOrientation"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("ContentDate", "ContentTime", "Laterality"),
)
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_SECONDARY_FRAMES = {(1, 1): f"{_SECONDARY}.2", (1, 2): f"{_SECONDARY}.3", (3, 1): f"{_SECONDARY}.4"}
"""Multi-frame secondary capture by (channels, bytes a sample)."""


def create(series: Series, files: int) -> Series:
    """The series in stored values DICOM can hold, its header made of one new data set for each file."""
    planes = len(series) // series.channels
    stored = _storable(series)
    identity = _identity(series)
    if files == 1:
        groups = [tuple(range(0, len(series), series.channels))]
    else:
        groups = [(plane * series.channels,) for plane in range(planes)]
    sources = tuple(
        Source(_dataset(stored, identity, number, group), "", 0, group) for number, group in enumerate(groups)
    )
    return replace(stored, format="dicom", header=sources)


def _storable(series: Series) -> Series:
    """The series in 8 or 16 bit integers: unchanged where they fit, else spread over 16 bits."""
    wide = series.modality in ("CT", "MR")
    unsigned = series.modality in ("CR", "XA", "RF")
    pixels = series.pixels
    one_map = np.ptp(series.slope) == 0 and np.ptp(series.intercept) == 0
    fits = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2 and one_map
    if not fits or (unsigned and pixels.dtype.kind == "i"):
        return _spread(series)
    if pixels.dtype.itemsize == 1 and (wide or pixels.dtype.kind == "i"):
        kind = pixels.dtype.kind
        low, high = series.stored_range
        # CT and MR allow 12 to 16 bits stored
        ends = (min(low, -2048.0), max(high, 2047.0)) if kind == "i" else (0.0, max(high, 4095.0))
        return replace(series, pixels=pixels.astype(f"{kind}2"), stored_range=ends)
    return series


def _spread(series: Series) -> Series:
    """The values over unsigned 16 bits; 0 is padding where there are pixels without a value."""
    valid = series.valid(0, len(series))
    values = series.values(0, len(series))
    low, high = (float(values[valid].min()), float(values[valid].max())) if valid.any() else (0.0, 0.0)
    first = 0 if valid.all() else 1
    integral = bool((values[valid] == np.rint(values[valid])).all()) and high - low <= 65535 - first
    slope = 1.0 if integral or high == low else (high - low) / (65535 - first)
    pixels = np.zeros(values.shape, np.uint16)
    pixels[valid] = np.rint((values[valid] - low) / slope) + first
    return replace(
        series,
        pixels=pixels,
        slope=np.full(len(series), slope),
        intercept=np.full(len(series), low - first * slope),
        stored_range=(0.0, 65535.0),
        padding=None if first == 0 else (0.0, 0.0),
    )


def _dataset(series: Series, identity: str, number: int, planes: tuple[int, ...]) -> Dataset:
    """The header of one object that holds `planes`."""
    dataset = Dataset()
    for keyword in _UNKNOWN:
        setattr(dataset, keyword, "")
    dataset.StudyInstanceUID = _uid("study", identity)
    dataset.SeriesInstanceUID = _uid("series", identity)
    dataset.SOPInstanceUID = _uid(f"instance {number}", identity)
    dataset.Modality = series.modality or "OT"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = number + 1
    dataset.SeriesDescription = series.name[:64]
    dataset.Manufacturer = "meddenoise"
    dataset.ManufacturerModelName = "meddenoise"
    dataset.SoftwareVersions = __version__
    _add_kind(dataset, series, len(planes))
    _add_values(dataset, series)
    if dataset.Modality in ("CT", "MR"):
        _add_plane(dataset, series, planes[0] // series.channels, identity)
    elif series.geometry.known:
        name = "ImagerPixelSpacing" if dataset.Modality in ("CR", "XA", "RF") else "PixelSpacing"
        setattr(dataset, name, [decimal(step) for step in series.geometry.spacing_mm[1:]])
    return dataset


def _add_kind(dataset: Dataset, series: Series, frames: int) -> None:
    kind = _KINDS.get(series.modality)
    if series.channels == 3 or (frames > 1 and series.modality in ("CT", "MR", "CR")):
        kind = None
    if kind is not None:
        dataset.SOPClassUID, third, extra = kind
        dataset.ImageType = ["ORIGINAL", "PRIMARY", third] if third else ["ORIGINAL", "PRIMARY"]
        for keyword, value in extra.items():
            setattr(dataset, keyword, value)
    else:
        dataset.SOPClassUID = _SECONDARY
        dataset.ConversionType = "WSD"
        dataset.ImageType = ["DERIVED", "SECONDARY"]
        if frames > 1:
            dataset.SOPClassUID = _SECONDARY_FRAMES.get(
                (series.channels, series.pixels.dtype.itemsize), _SECONDARY
            )
            dataset.BurnedInAnnotation = "NO"
            if series.channels == 1:
                dataset.PresentationLUTShape = "IDENTITY"
    if frames > 1:
        dataset.FrameTime = decimal(series.frame_time_ms or 0.0)
        dataset.FrameIncrementPointer = Tag("FrameTime")


def _add_values(dataset: Dataset, series: Series) -> None:
    if series.channels == 3:
        return
    dataset.PhotometricInterpretation = "MONOCHROME1" if series.inverted else "MONOCHROME2"
    slope, intercept = float(series.slope[0]), float(series.intercept[0])
    frames_of_capture = dataset.SOPClassUID in _SECONDARY_FRAMES.values()
    if series.modality == "CT" or frames_of_capture or (slope, intercept) != (1.0, 0.0):
        dataset.RescaleSlope, dataset.RescaleIntercept = decimal(slope), decimal(intercept)
        dataset.RescaleType = series.unit[:16] or "US"
    if series.padding is not None:
        dataset.PixelRepresentation = int(series.pixels.dtype.kind == "i")
        low, high = (int(end) for end in series.padding)
        dataset.PixelPaddingValue = low
        if high != low:
            dataset.PixelPaddingRangeLimit = high


def _add_plane(dataset: Dataset, series: Series, plane: int, identity: str) -> None:
    geometry = series.geometry
    along, rows, columns = (np.array(axis) for axis in geometry.axes)
    origin = np.array(geometry.origin_mm) + plane * geometry.spacing_mm[0] * along
    dataset.FrameOfReferenceUID = _uid("frame of reference", identity)
    dataset.PositionReferenceIndicator = ""
    dataset.ImagePositionPatient = [decimal(value) for value in origin]
    dataset.ImageOrientationPatient = [decimal(value) for value in (*columns, *rows)]
    dataset.PixelSpacing = [decimal(step) for step in geometry.spacing_mm[1:]]
    dataset.SliceThickness = decimal(geometry.spacing_mm[0])
    if dataset.Modality == "MR":
        dataset.SpacingBetweenSlices = decimal(geometry.spacing_mm[0])


def _identity(series: Series) -> str:
    """A digest of the pixels and the name: the same series gives the same identifiers."""
    digest = hashlib.sha256(series.name.encode())
    for plane in series.pixels:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _uid(kind: str, identity: str) -> str:
    return str(generate_uid(entropy_srcs=["meddenoise-new-1", kind, identity]))

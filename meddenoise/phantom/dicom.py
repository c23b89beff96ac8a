"""A phantom's series as original DICOM objects: CT, MR, digital X-ray (DX) or a multi-frame XA cine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from meddenoise.io.atomic import staged
from meddenoise.io.dicom.write import IMPLEMENTATION_UID
from meddenoise.phantom import Phantom
from meddenoise.series import Series
from meddenoise.version import __version__

_IMAGES = "1.2.840.10008.5.1.4.1.1"
_CLASSES = {"CT": f"{_IMAGES}.2", "MR": f"{_IMAGES}.4", "DX": f"{_IMAGES}.1.1", "XA": f"{_IMAGES}.12.1"}
_DATE, _TIME = "20260101", "120000"
"""A phantom has no date; a fixed one keeps the same seed the same file."""


def write_dicom(phantom: Phantom, series: Series, folder: Path, number: int, settings: str) -> list[Path]:
    """Write `series` of a phantom below `folder` as series `number` of its study; return the files.

    One file for a cine, else one for each plane. The same phantom, number and `settings` (what tells this
    series from others of the study) give the same identifiers. Raises OutputError.
    """
    count = 1 if series.frame_time_ms is not None else len(series)
    files = [folder / f"{index:04d}.dcm" for index in range(1, count + 1)]
    with staged(files) as staging:
        for index, file in enumerate(files):
            planes = slice(0, len(series)) if count == 1 else slice(index, index + 1)
            dataset = _object(phantom, series, planes, number, settings)
            with staging.file(file) as stream:
                dcmwrite(stream, dataset, enforce_file_format=True)
    return files


def _object(phantom: Phantom, series: Series, planes: slice, number: int, settings: str) -> Dataset:
    dataset = Dataset()
    identity = f"{phantom.name} {series.pixels.shape} {phantom.seed}"
    _add_study(dataset, phantom, identity)
    dataset.Modality = series.modality
    dataset.SeriesInstanceUID = _uid("series", identity, number, settings)
    dataset.SeriesNumber = number
    dataset.SeriesDescription = series.name
    dataset.SeriesDate, dataset.SeriesTime = _DATE, _TIME
    dataset.Manufacturer = dataset.ManufacturerModelName = "meddenoise"
    dataset.SoftwareVersions = __version__
    dataset.SOPClassUID = _CLASSES[series.modality]
    dataset.SOPInstanceUID = _uid("instance", identity, number, settings, planes.start)
    dataset.InstanceNumber = planes.start + 1
    dataset.AcquisitionNumber = 1
    dataset.ContentDate = dataset.AcquisitionDate = _DATE
    dataset.ContentTime = dataset.AcquisitionTime = _TIME
    dataset.ImageComments = "Simulated: no patient."
    if series.modality in ("CT", "MR"):
        dataset.FrameOfReferenceUID = _uid("frame of reference", identity)
        dataset.PositionReferenceIndicator = ""
    _add_pixels(dataset, phantom, series, planes)
    _ADD[series.modality](dataset, series, planes)
    return dataset


def _add_study(dataset: Dataset, phantom: Phantom, identity: str) -> None:
    dataset.PatientName = f"Phantom^{phantom.kind.title.split()[0]}"
    dataset.PatientID = f"MEDDENOISE-{phantom.name.upper()}-{phantom.seed}"[:64]
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = _uid("study", identity)
    dataset.StudyDate, dataset.StudyTime = _DATE, _TIME
    dataset.StudyID = "1"
    dataset.StudyDescription = phantom.kind.title
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""


def _add_pixels(dataset: Dataset, phantom: Phantom, series: Series, planes: slice) -> None:
    pixels = series.pixels[planes]
    low, high = phantom.kind.stored_range
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[1:]
    dataset.BitsAllocated = 16
    dataset.BitsStored = (high - low).bit_length()
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(low < 0)
    centre, width = phantom.kind.window
    dataset.WindowCenter, dataset.WindowWidth = f"{centre:g}", f"{width:g}"
    dataset.PixelData = pixels.astype("<i2" if low < 0 else "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    dataset.file_meta.ImplementationVersionName = f"MEDDENOISE_{__version__}"[:16]


def _add_ct(dataset: Dataset, series: Series, planes: slice) -> None:
    _add_plane(dataset, series, planes.start)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "HU"
    dataset.KVP = "120"
    dataset.ConvolutionKernel = "HANN"
    dataset.BodyPartExamined = "ABDOMEN"


def _add_mr(dataset: Dataset, series: Series, planes: slice) -> None:
    _add_plane(dataset, series, planes.start)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "GR", "SP", ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "", "", ""
    dataset.SpacingBetweenSlices = _decimal(series.geometry.spacing_mm[0])
    dataset.BodyPartExamined = "HEAD"


def _add_plane(dataset: Dataset, series: Series, plane: int) -> None:
    geometry = series.geometry
    x, y, z = geometry.origin_mm
    dataset.PatientPosition = "HFS"
    dataset.ImagePositionPatient = [_decimal(v) for v in (x, y, z + plane * geometry.spacing_mm[0])]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing = [_decimal(step) for step in geometry.spacing_mm[1:]]
    dataset.SliceThickness = _decimal(geometry.spacing_mm[0])


def _add_dx(dataset: Dataset, series: Series, planes: slice) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PatientOrientation = ["L", "F"]
    dataset.BodyPartExamined, dataset.ImageLaterality, dataset.ViewPosition = "CHEST", "U", "PA"
    dataset.AnatomicRegionSequence = [_code("43799004", "Thoracic cavity")]
    view = _code("399348003", "postero-anterior")
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]
    # Higher values are less exposed: bone is white.
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.ImagerPixelSpacing = [_decimal(step) for step in series.geometry.spacing_mm[1:]]
    dataset.PixelSpacing = dataset.ImagerPixelSpacing
    dataset.KVP = "120"
    dataset.PositionerType = "COLUMN"
    dataset.AcquisitionContextSequence = []


def _add_xa(dataset: Dataset, series: Series, planes: slice) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    dataset.PatientOrientation = ["L", "F"]
    dataset.BodyPartExamined = "HEART"
    dataset.NumberOfFrames = len(series)
    dataset.FrameIncrementPointer = Tag("FrameTime")
    dataset.FrameTime = _decimal(series.frame_time_ms)
    dataset.CineRate = dataset.RecommendedDisplayFrameRate = round(1000 / (series.frame_time_ms or 1000))
    dataset.PixelIntensityRelationship = "LIN"
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.KVP, dataset.XRayTubeCurrent, dataset.ExposureTime = "80", "", ""
    dataset.RadiationSetting = "GR"
    dataset.PositionerMotion = "STATIC"
    dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = "-30", "20"
    dataset.ImagerPixelSpacing = [_decimal(step) for step in series.geometry.spacing_mm[1:]]


_ADD: Mapping[str, Callable[[Dataset, Series, slice], None]] = {
    "CT": _add_ct,
    "MR": _add_mr,
    "DX": _add_dx,
    "XA": _add_xa,
}


def _code(value: str, meaning: str) -> Dataset:
    entry = Dataset()
    entry.CodeValue, entry.CodingSchemeDesignator, entry.CodeMeaning = value, "SCT", meaning
    return entry


def _uid(*parts: object) -> str:
    return str(generate_uid(entropy_srcs=["meddenoise-phantom-1", *map(str, parts)]))


def _decimal(value: Any) -> str:
    """A DS: 10 digits always fit its 16 characters here."""
    return f"{float(value):.10g}"

"""Small XA runs for tests: valid objects with everything that may be said of a frame."""

import copy
from functools import cache
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from tests.io_samples import RNG

FRAMES, SIZE, SIGMA = 6, 64, 25.0

XA, ENHANCED_XA = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.1.1"
STUDY = {
    "PatientName": "Cine^Test",
    "PatientID": "C1",
    "PatientBirthDate": "",
    "PatientSex": "O",
    "StudyInstanceUID": "1.2.3.1",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "StudyID": "1",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "Modality": "XA",
    "SeriesInstanceUID": "1.2.3.2",
    "SeriesNumber": 1,
    "SeriesDescription": "LCA",
    "Manufacturer": "nobody",
    "InstanceNumber": 1,
    "BodyPartExamined": "HEART",
    "ContentDate": "20260101",
    "ContentTime": "120000",
    "PatientOrientation": ["L", "F"],
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
}


@cache
def truth(frames: int = FRAMES, size: int = SIZE) -> np.ndarray[Any, Any]:
    """A dark vessel that moves over a bright field, [T, Y, X] float64 around 600."""
    y, x = np.mgrid[:size, :size]
    along = 0.5 * size + 0.2 * size * np.sin(6 * y / size)
    return np.stack([700 - 2 * y - 250 * np.exp(-(((x - along - n) / 3) ** 2)) for n in range(frames)])


def noisy(frames: int = FRAMES, size: int = SIZE) -> np.ndarray[Any, Any]:
    return truth(frames, size) + RNG(4).normal(0, SIGMA, (frames, size, size))


def run(pixels: np.ndarray[Any, Any] | None = None, **changes: Any) -> Dataset:
    """A run of XA frames; `changes` set elements, None removes one."""
    pixels = np.rint(noisy()).astype(np.uint16) if pixels is None else pixels
    dataset = _with_pixels(XA, pixels)
    frames = len(pixels)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    dataset.FrameIncrementPointer = Tag("FrameTime")
    dataset.FrameTime = "66.7"
    dataset.CineRate = dataset.RecommendedDisplayFrameRate = 15
    dataset.StartTrim, dataset.StopTrim = 1, frames
    dataset.RepresentativeFrameNumber = frames - 1
    dataset.PixelIntensityRelationship = "LIN"
    dataset.WindowCenter, dataset.WindowWidth = [500, 600], [900, 400]
    dataset.KVP, dataset.XRayTubeCurrent, dataset.ExposureTime = "80", 300, 8
    dataset.RadiationSetting, dataset.PositionerMotion = "GR", "DYNAMIC"
    dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = "-30", "20"
    dataset.PositionerPrimaryAngleIncrement = [f"{n / 2:g}" for n in range(frames)]
    dataset.PositionerSecondaryAngleIncrement = [f"{-n / 4:g}" for n in range(frames)]
    dataset.ImagerPixelSpacing = ["0.3", "0.3"]
    mask = Dataset()
    mask.MaskOperation, mask.ApplicableFrameRange, mask.MaskFrameNumbers = "AVG_SUB", [2, frames], [1]
    dataset.MaskSubtractionSequence = Sequence([mask])
    dataset.RecommendedViewingMode = "NAT"
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def vectors(frames: int = FRAMES) -> dict[str, Any]:
    """The changes of a run whose frames are not evenly spaced in time."""
    times = ["0", *(f"{60 + n}" for n in range(1, frames))]
    return {"FrameTime": None, "FrameTimeVector": times, "FrameIncrementPointer": Tag("FrameTimeVector")}


def enhanced_run() -> Dataset:
    """The same frames as an Enhanced XA object: what is said of frames is in functional groups."""
    dataset = _with_pixels(ENHANCED_XA, np.rint(noisy()).astype(np.uint16))
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE", "NONE"]
    dataset.AcquisitionDateTime = "20260101120000"
    dataset.AcquisitionNumber = 1
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.KVP, dataset.ContentQualification = 80, "RESEARCH"
    measures = _item(PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=1)
    measures.ImagerPixelSpacing, measures.GeometricalProperties = [0.3, 0.3], "UNIFORM"
    kind = _item(FrameType=["ORIGINAL", "PRIMARY", "SINGLE PLANE", "NONE"])
    dataset.SharedFunctionalGroupsSequence = Sequence(
        [_item(FramePixelDataPropertiesSequence=[measures], XAXRFFrameCharacteristicsSequence=[kind])]
    )
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_group(n) for n in range(FRAMES)])
    return dataset


def _group(number: int) -> Dataset:
    content = _item(FrameAcquisitionNumber=number + 1, FrameAcquisitionDuration=8.0 + number)
    content.FrameAcquisitionDateTime = content.FrameReferenceDateTime = f"2026010112000{number}.0"
    angles = _item(PositionerPrimaryAngle=-30.0 + number, PositionerSecondaryAngle=20.0 - number)
    window = _item(WindowCenter=500 + number, WindowWidth=900)
    return _item(
        FrameContentSequence=[content], PositionerPositionSequence=[angles], FrameVOILUTSequence=[window]
    )


def compressed(dataset: Dataset, syntax: UID, parts: int = 1) -> Dataset:
    """A copy in that transfer syntax, without table of offsets, every frame in `parts` fragments."""
    packed = copy.deepcopy(dataset)
    packed.compress(syntax, generate_instance_uid=False)
    frames = list(generate_frames(packed.PixelData, number_of_frames=packed.NumberOfFrames))
    packed.PixelData = encapsulate(frames, fragments_per_frame=parts, has_bot=False)
    return packed


def _with_pixels(sop_class: str, pixels: np.ndarray[Any, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in STUDY.items():
        setattr(dataset, keyword, value)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["run", sop_class])
    colour = pixels.ndim == 4
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape[:3]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = 8 if pixels.dtype.itemsize == 1 else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _item(**elements: Any) -> Dataset:
    entry = Dataset()
    for keyword, value in elements.items():
        setattr(entry, keyword, Sequence(value) if keyword.endswith("Sequence") else value)
    return entry

"""Making a data set a derived one: identifiers, image type, what was done and from what (PS3.3 C.7.6.1)."""

import copy
import hashlib

from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import JPEGLSNearLossless, generate_uid

from meddenoise.io.dicom.read import Source
from meddenoise.io.dicom.stored import stored_bytes, stored_frames
from meddenoise.io.dicom.values import integer, items, text
from meddenoise.series import DENOISED, UPSCALED, Derivation, Series
from meddenoise.version import __version__

SCHEME = "meddenoise-1"
"""Part of every UID: changes when the rule that makes them changes."""
SERIES_NUMBER_STEP = 1000
_MAX_IS = 2**31 - 1

# What spoke of the old pixels: extremes, encoded layout, icon, signatures over them, and of the old instance.
_STALE = (
    *("SmallestImagePixelValue", "LargestImagePixelValue"),
    *("SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "IconImageSequence"),
    *("MACParametersSequence", "DigitalSignaturesSequence"),
    *("InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID"),
)

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_IMAGES = "1.2.840.10008.5.1.4.1.1"
_ENHANCED = {
    f"{_IMAGES}.{tail}"
    for tail in (
        *("2.1", "2.2", "4.1", "4.3", "4.4", "6.2", "12.1.1", "12.2.1"),
        *("13.1.1", "13.1.2", "13.1.3", "128.1", "130"),
    )
}
"""Enhanced and legacy converted CT, MR, US, XA, XRF, 3D X-ray and PET, with or without functional groups."""

_ENHANCED_MR = (f"{_IMAGES}.4.1", f"{_IMAGES}.4.3")
# MR Pulse Sequence and Bulk Motion Synchronization (PS3.3 C.8.13.4, C.8.13.8): required of images whose type
# is ORIGINAL or MIXED; validators refuse them in all others.
_ORIGINAL_ONLY = (
    *(
        "PulseSequenceName",
        "MRAcquisitionType",
        "EchoPulseSequence",
        "MultipleSpinEcho",
        "MultiPlanarExcitation",
    ),
    *("PhaseContrast", "VelocityEncodingAcquisitionSequence", "TimeOfFlightContrast"),
    *("ArterialSpinLabelingContrast", "SteadyStatePulseSequence", "EchoPlanarPulseSequence"),
    *(
        "SaturationRecovery",
        "SpectrallySelectedSuppression",
        "OversamplingPhase",
        "GeometryOfKSpaceTraversal",
    ),
    *("RectilinearPhaseEncodeReordering", "SegmentedKSpaceTraversal", "CoverageOfKSpace"),
    *("NumberOfKSpaceTrajectories", "BulkMotionCompensationTechnique", "BulkMotionSignalSource"),
)

_LOSSY_METHODS = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    str(JPEGLSNearLossless): "ISO_14495_1",
}


def derive(dataset: Dataset, series: Series, source: Source, *, shared: bool = False) -> None:
    """Change a copy of the source's header into that of the derived object.

    Where its identifier is `shared` by other objects of the series, the new one is not.
    Private elements stay: they hold acquisition facts (diffusion, spectroscopy, scale) other tools need.
    """
    done = series.derivation
    assert done is not None
    of_enhanced_mr = text(dataset, "SOPClassUID") in _ENHANCED_MR
    for keyword in (*_STALE, *(_ORIGINAL_ONLY if of_enhanced_mr else ())):
        if keyword in dataset:
            del dataset[keyword]
    old_class, old_instance = text(dataset, "SOPClassUID"), text(dataset, "SOPInstanceUID")
    old_series = text(dataset, "SeriesInstanceUID")
    origin = old_instance or _digest(series, source)
    if source.cut:
        # the whole file may be denoised later: another object
        origin += f" frames {len(source.planes)}"
    if shared:
        origin += f" plane {source.planes[0]}"
    dataset.SOPInstanceUID = _uid("instance", origin, done)
    dataset.SeriesInstanceUID = _uid("series", old_series or origin, done)
    name = text(dataset, "SeriesDescription")
    dataset.SeriesDescription = described(name, done)
    number = integer(dataset, "SeriesNumber")
    if source.syntax and number + SERIES_NUMBER_STEP <= _MAX_IS:
        dataset.SeriesNumber = number + SERIES_NUMBER_STEP
    dataset.DerivationDescription = _joined(text(dataset, "DerivationDescription"), done.description, 1024)
    # a source without a transfer syntax was no file, one outside the roots of UIDs cannot be referred to
    real = bool(source.syntax and old_class and old_instance[:1] in set("012"))
    reference = _reference(old_class, old_instance) if real else None
    groups = any(name in dataset for name in _GROUPS)
    # enhanced objects know no SECONDARY (PS3.3 C.8.16.1)
    enhanced = groups or old_class in _ENHANCED
    second = "PRIMARY" if enhanced else "SECONDARY"
    dataset.ImageType = _image_type(text(dataset, "ImageType"), second)
    if groups:
        _derive_groups(dataset, reference, done)
        _add_evidence(dataset, reference, old_series)
    else:
        dataset.DerivationCodeSequence = Items([*items(dataset, "DerivationCodeSequence"), _step(done)])
        if reference is not None:
            dataset.SourceImageSequence = Items([reference])
    _add_equipment(dataset, done)
    _keep_lossy_history(dataset, source, stored_bytes(series, source.planes))


def described(name: str, done: Derivation) -> str:
    """`<name> <verb> (<method>)` in 64 characters; the name gives way."""
    tail = f"{done.verb} ({done.method})"[:64]
    return f"{name[: 63 - len(tail)].rstrip()} {tail}".strip()


def code(value: str, meaning: str) -> Dataset:
    """A coded entry of the DICOM Controlled Terminology (PS3.16)."""
    entry = Dataset()
    entry.CodeValue, entry.CodingSchemeDesignator, entry.CodeMeaning = value, "DCM", meaning
    return entry


def _digest(series: Series, source: Source) -> str:
    """Digest of the pixels of an object without an identifier."""
    digest = hashlib.sha256()
    for frame in stored_frames(series, source.planes):
        digest.update(frame)
    return digest.hexdigest()


def _uid(kind: str, origin: str, done: Derivation) -> str:
    return str(generate_uid(entropy_srcs=[SCHEME, kind, origin, done.method, done.settings]))


def _joined(before: str, new: str, limit: int) -> str:
    whole = f"{before}; {new}" if before else new
    return whole if len(whole) <= limit else new[:limit]


def _reference(sop_class: str, instance: str) -> Dataset:
    entry = Dataset()
    entry.ReferencedSOPClassUID, entry.ReferencedSOPInstanceUID = sop_class, instance
    entry.PurposeOfReferenceCodeSequence = Items(
        [code("121322", "Source image for image processing operation")]
    )
    entry.SpatialLocationsPreserved = "YES"
    return entry


def _step(done: Derivation) -> Dataset:
    # the entry of CID 7203 nearest to noise reduction, which has none of its own, nor has inpainting
    if done.verb == DENOISED:
        return code("113087", "Smoothing")
    if done.verb == UPSCALED:
        return code("113085", "Spatial resampling")
    return code("113042", "Pixel by pixel addition")


def _derive_groups(dataset: Dataset, reference: Dataset | None, done: Derivation) -> None:
    """Tell the derivation where an object with functional groups does: in its frames' macros."""
    del dataset.DerivationDescription
    macro = Dataset()
    macro.DerivationDescription = done.description[:1024]
    macro.DerivationCodeSequence = Items([_step(done)])
    macro.SourceImageSequence = Items([] if reference is None else [reference])
    groups = {name: copy.deepcopy(items(dataset, name)) for name in _GROUPS}
    shared, per_frame = groups.values()
    # a macro lives in one of the two places, never in both
    told = any("DerivationImageSequence" in entry for entry in per_frame)
    for entry in per_frame if told or not shared else shared:
        entry.DerivationImageSequence = Items([*items(entry, "DerivationImageSequence"), macro])
    for entry in (*shared, *per_frame):
        for element in entry:
            if element.keyword.endswith("FrameTypeSequence"):
                for kind in element.value:
                    kind.FrameType = _image_type(text(kind, "FrameType"), "PRIMARY")
    for name, entries in groups.items():
        if entries:
            setattr(dataset, name, Items(entries))


def _add_evidence(dataset: Dataset, reference: Dataset | None, series: str) -> None:
    """List the source where instances referred to in functional groups must be listed."""
    if reference is None or not series:
        return
    instance = Dataset()
    instance.ReferencedSOPClassUID = reference.ReferencedSOPClassUID
    instance.ReferencedSOPInstanceUID = reference.ReferencedSOPInstanceUID
    evidence, within, study = Dataset(), Dataset(), Dataset()
    evidence.SeriesInstanceUID = within.SeriesInstanceUID = series
    evidence.ReferencedSOPSequence = Items([instance])
    study.StudyInstanceUID = text(dataset, "StudyInstanceUID")
    study.ReferencedSeriesSequence = Items([evidence])
    dataset.SourceImageEvidenceSequence = Items([*items(dataset, "SourceImageEvidenceSequence"), study])
    within.ReferencedInstanceSequence = Items([instance])
    dataset.ReferencedSeriesSequence = Items([*items(dataset, "ReferencedSeriesSequence"), within])


def _image_type(old: str, second: str) -> list[str]:
    return ["DERIVED", second, *old.split("\\")[2:]]


def _add_equipment(dataset: Dataset, done: Derivation) -> None:
    entry = Dataset()
    entry.PurposeOfReferenceCodeSequence = Items([code("109102", "Processing Equipment")])
    entry.Manufacturer = "meddenoise"
    entry.ManufacturerModelName = "meddenoise"
    entry.SoftwareVersions = __version__
    what = "Noise reduction" if done.verb == DENOISED else done.verb
    entry.ContributionDescription = f"{what} ({done.method})"
    dataset.ContributingEquipmentSequence = Items([*items(dataset, "ContributingEquipmentSequence"), entry])


def _keep_lossy_history(dataset: Dataset, source: Source, size: int) -> None:
    """State the loss of a lossy transfer syntax that the header itself does not tell."""
    method = _LOSSY_METHODS.get(source.syntax)
    if method and text(dataset, "LossyImageCompression") != "01":
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionMethod = method
        dataset.LossyImageCompressionRatio = f"{size / max(source.compressed_bytes, 1):.3g}"

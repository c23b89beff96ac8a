"""A DICOM header for a grid that is finer than the source's: spacing, place, shutters; overlays go."""

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset

from meddenoise.io.dicom.values import decimal, item, items, numbers
from meddenoise.series import Series

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_ROWS = (
    *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
    *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge"),
)
_COLUMNS = (
    *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
    *("CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
)
_POINTS = (
    *("CenterOfCircularShutter", "VerticesOfThePolygonalShutter"),
    *("CenterOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)
_RADII = ("RadiusOfCircularShutter", "RadiusOfCircularCollimator")
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_OVERLAYS = range(0x6000, 0x6020)


def refine_header(dataset: Dataset, series: Series) -> None:
    """Make a header of the source's grid one of the grid of `series`, `series.finer` times as fine.

    The corners of the field of view stay. Shutters and collimators, which count in pixels, follow; overlays
    are bit maps of the old grid, and are taken out.
    """
    finer = series.finer
    orientation, spacing = _plane(dataset)
    groups = [entry for name in _GROUPS for entry in items(dataset, name)]
    shared = item(dataset, _GROUPS[0])
    for entry in groups:
        own = _plane(*(found for found in (entry, shared, dataset) if found is not None))
        _move(item(entry, "PlanePositionSequence"), *own, finer)
    _move(dataset, orientation, spacing, finer)
    for holder in (dataset, *(item(entry, "PixelMeasuresSequence") for entry in groups)):
        _scale_spacing(holder, finer)
    for holder in (dataset, *(item(entry, "FrameDisplayShutterSequence") for entry in groups)):
        _scale_edges(holder, finer)
    for tag in list(dataset.keys()):
        if tag.group in _OVERLAYS:
            del dataset[tag]
    for source in items(dataset, "SourceImageSequence"):
        source.SpatialLocationsPreserved = "NO"


def _plane(*places: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Orientation and spacing as the first of some places states them, in itself or in a macro."""
    orientation: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    for place in places:
        turn = item(place, "PlaneOrientationSequence") or place
        measures = item(place, "PixelMeasuresSequence") or place
        orientation = orientation or numbers(turn, "ImageOrientationPatient")
        spacing = spacing or next(filter(None, (numbers(measures, name) for name in _SPACINGS)), ())
    return orientation, spacing


def _move(
    place: Dataset | None,
    orientation: Sequence[float],
    spacing: Sequence[float],
    finer: tuple[float, float],
) -> None:
    """Shift the centre of the first pixel to that of the finer grid."""
    origin = () if place is None else numbers(place, "ImagePositionPatient")
    if place is None or len(origin) != 3 or len(orientation) != 6 or len(spacing) != 2:
        return
    down = (spacing[0] / finer[0] - spacing[0]) / 2 * np.array(orientation[3:])
    right = (spacing[1] / finer[1] - spacing[1]) / 2 * np.array(orientation[:3])
    place.ImagePositionPatient = [decimal(value) for value in np.array(origin) + down + right]


def _scale_spacing(holder: Dataset | None, finer: tuple[float, float]) -> None:
    for name in _SPACINGS if holder is not None else ():
        assert holder is not None
        old = numbers(holder, name)
        if len(old) == 2:
            setattr(holder, name, [decimal(step / by) for step, by in zip(old, finer, strict=True)])


def _scale_edges(holder: Dataset | None, finer: tuple[float, float]) -> None:
    """Shutters and collimators, whose pixels count from 1; an edge keeps its place between pixels."""
    if holder is None:
        return
    for names, by in ((_ROWS, finer[:1]), (_COLUMNS, finer[1:]), (_POINTS, finer), (_RADII, finer[:1])):
        for name in names:
            old = numbers(holder, name)
            if old:
                scaled = [round(value * by[n % len(by)]) for n, value in enumerate(old)]
                setattr(holder, name, scaled if len(scaled) > 1 else scaled[0])

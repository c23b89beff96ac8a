"""Place and rescale of each frame, from plain attributes or from functional groups, and what is odd."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from meddenoise.io.dicom.group import normal
from meddenoise.io.dicom.values import item, items, number, numbers, text
from meddenoise.series import Geometry, Vector

_EXPOSURES = ("ExposureInmAs", "Exposure", "XRayTubeCurrentInmA", "XRayTubeCurrent")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, slots=True)
class Frame:
    """Geometry of one frame by its header; empty tuples for what it does not state."""

    origin: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    step: float | None
    """Stated distance to the next slice, or the slice thickness."""
    slope: float
    intercept: float
    rescale_type: str | None
    """None where there is no rescale."""
    exposures: tuple[float, ...] = ()
    """By each of `_EXPOSURES`, 0 where it is not stated."""


def frames_of(dataset: Dataset, count: int) -> list[Frame]:
    """One `Frame` for each of the `count` frames of a file."""
    shared = item(dataset, "SharedFunctionalGroupsSequence")
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not groups and shared is None:
        return [_frame(*[dataset] * 5)] * count
    frames = []
    for index in range(count):
        own = groups[index] if index < len(groups) else None

        def macro(name: str, own: Dataset | None = own) -> Dataset:
            return item(own, name) or item(shared, name) or dataset

        frames.append(
            _frame(
                macro("PlanePositionSequence"),
                macro("PlaneOrientationSequence"),
                macro("PixelMeasuresSequence"),
                macro("PixelValueTransformationSequence"),
                macro("CTExposureSequence"),
            )
        )
    return frames


def positions(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """Millimetres of each frame along the common normal; None where not all frames state a place."""
    orientation = frames[0].orientation
    if len(orientation) != 6 or any(len(frame.origin) != 3 for frame in frames):
        return None
    axis = normal(orientation)
    turned = any(np.abs(np.subtract(frame.orientation, orientation)).max() > 0.02 for frame in frames[1:])
    if turned or not np.isfinite(axis).all() or np.linalg.norm(axis) < 0.5:
        return None
    return np.array([frame.origin for frame in frames]) @ axis


def geometry(frames: Sequence[Frame]) -> Geometry:
    """The geometry of frames in plane order."""
    first = frames[0]
    spacing = first.spacing if len(first.spacing) == 2 and min(first.spacing) > 0 else ()
    rows, columns = spacing or (1.0, 1.0)
    step = first.step if first.step is not None and first.step > 0 else 1.0
    origin = first.origin if len(first.origin) == 3 else (0.0, 0.0, 0.0)
    along = positions(frames)
    if along is None:
        return Geometry((step, rows, columns), _vector(origin), known=bool(spacing))
    row_axis = np.array(first.orientation[3:])
    column_axis = np.array(first.orientation[:3])
    plane_axis = normal(first.orientation)
    if len(frames) > 1:
        gap = float(np.median(np.diff(along)))
        step = abs(gap) if abs(gap) > 1e-3 else step
        way = np.subtract(frames[-1].origin, origin)
        length = float(np.linalg.norm(way))
        plane_axis = way / length if length > 1e-3 else plane_axis
        if length > 1e-3 and gap > 1e-3:
            # along the way the planes take, which gantry tilt leans against the normal
            step = gap * length / max(float(along[-1] - along[0]), 1e-3)
    axes = (_unit(plane_axis), _unit(row_axis), _unit(column_axis))
    return Geometry((step, rows, columns), _vector(origin), axes, bool(spacing))


def oddities(frames: Sequence[Frame]) -> list[str]:
    """Warnings about the places of frames in plane order."""
    along = positions(frames)
    if along is None or len(frames) < 3:
        return []
    repeats = len(along) - len(np.unique(np.round(along, 2)))
    if repeats:
        return [f"{repeats} of {len(along)} planes repeat the position of another"]
    steps = np.abs(np.diff(along))
    step = float(np.median(steps))
    found = []
    gaps = int(np.rint(steps[steps > 1.5 * step] / step - 1).sum())
    if gaps:
        found.append(f"slices are missing between the others (about {gaps})")
    elif np.abs(steps - step).max() > 0.05 * step:
        found.append(f"slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm)")
    way = np.subtract(frames[-1].origin, frames[0].origin)
    lean = np.degrees(np.arccos(min(1.0, abs(along[-1] - along[0]) / np.linalg.norm(way))))
    if lean > 1:
        found.append(f"slices are shifted against each other (gantry tilt of {lean:.0f} degrees)")
    return found


def _frame(place: Dataset, turn: Dataset, measures: Dataset, values: Dataset, dose: Dataset) -> Frame:
    spacing = next(filter(None, (numbers(measures, name) for name in _SPACINGS)), ())
    step = number(measures, "SpacingBetweenSlices") or number(measures, "SliceThickness")
    slope = number(values, "RescaleSlope")
    orientation = numbers(turn, "ImageOrientationPatient")
    return Frame(
        origin=numbers(place, "ImagePositionPatient"),
        orientation=orientation if len(orientation) == 6 else (),
        spacing=spacing,
        step=abs(step) if step else None,
        slope=1.0 if slope is None else slope,
        intercept=number(values, "RescaleIntercept", 0.0) or 0.0,
        rescale_type=None if slope is None else text(values, "RescaleType"),
        exposures=tuple(number(dose, name, 0.0) or 0.0 for name in _EXPOSURES),
    )


def _vector(values: Sequence[float] | NDArray[np.float64]) -> Vector:
    x, y, z = map(float, values)
    return x, y, z


def _unit(values: NDArray[np.float64]) -> Vector:
    return _vector(values / np.linalg.norm(values))

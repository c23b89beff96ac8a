"""What is to be filled in on the planes of a series: a mask of any format, or a DICOM segmentation."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, UnsupportedError, first_line
from meddenoise.io import discover, read_item
from meddenoise.series import Geometry, Series

Mask = NDArray[np.bool_]

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SAME_PLACE = 0.5
"""Of a spacing: how far positions may differ that are the same."""


def read_hole(path: Path, series: Series) -> Mask:
    """True where `series` is to be filled in, [N, Y, X]: where the mask is not 0.

    A mask of a single plane is for every plane. The frames of a DICOM segmentation belong to the planes at
    their position; several segments are united.
    Raises InputError where the mask cannot be read, lies elsewhere, is empty, or leaves nothing.
    """
    segmentation = _open_segmentation(path)
    hole = _from_image(path, series) if segmentation is None else _from_frames(path, segmentation, series)
    if not hole.any():
        raise InputError(f"the mask {path} is 0 everywhere on {series.path}: mark what is to be filled in.")
    if (hole | ~series.valid(0, len(series))).all(axis=(1, 2)).any():
        raise InputError(
            f"the mask {path} covers whole planes of {series.path}: leave something around the hole."
        )
    return hole


def _from_image(path: Path, series: Series) -> Mask:
    found = discover([path])
    if len(found.items) != 1:
        why = str(found.failed[0].error) if found.failed else f"{path} holds {len(found.items)} images"
        raise InputError(f"the mask must be one image or series: {why}.")
    mask = read_item(found.items[0])
    marked = mask.values(0, len(mask)) != 0
    marked = marked.reshape(-1, mask.channels, *marked.shape[1:]).any(axis=1)
    if marked.shape[1:] != series.pixels.shape[1:] or len(marked) not in (1, len(series)):
        raise InputError(
            f"the mask {path} has {_size(marked.shape)} pixels, {series.path} has "
            f"{_size(series.pixels.shape)}: draw it on that image."
        )
    whole = len(marked) == len(series)
    if whole and mask.geometry.known and series.geometry.known and not _together(mask, series):
        raise InputError(
            f"the mask {path} lies elsewhere in the patient than {series.path}: draw it on that image."
        )
    return np.broadcast_to(marked, series.pixels.shape)


def _together(mask: Series, series: Series) -> bool:
    mine, others = mask.geometry, series.geometry
    allowed = SAME_PLACE * min(others.spacing_mm[1:])
    corners = [_corners(item, series.pixels.shape) for item in (mine, others)]
    return bool(np.abs(corners[0] - corners[1]).max() <= allowed)


def _corners(geometry: Geometry, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """First voxel, and the last one along rows and columns."""
    first = np.array(geometry.origin_mm)
    steps = [
        np.array(axis) * step * (count - 1)
        for axis, step, count in zip(geometry.axes[1:], geometry.spacing_mm[1:], shape[1:], strict=True)
    ]
    return np.stack([first, first + steps[0], first + steps[1]])


def _open_segmentation(path: Path) -> Any:
    """The data set of a DICOM segmentation; None for anything else."""
    import pydicom

    if not path.is_file():
        return None
    try:
        dataset = pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError, EOFError, ValueError):
        return None
    return dataset if dataset.get("SOPClassUID") == SEGMENTATION else None


def _from_frames(path: Path, dataset: Any, series: Series) -> Mask:
    try:
        frames = np.atleast_3d(dataset.pixel_array) if dataset.get("NumberOfFrames", 1) > 1 else None
        frames = dataset.pixel_array[None] if frames is None else frames
        places = [_place(dataset, number) for number in range(len(frames))]
    except Exception as error:  # damaged segmentations raise all sorts of types
        raise UnsupportedError(
            f"the mask {path} is a segmentation that cannot be read ({first_line(error)}): export it again."
        ) from error
    if frames.shape[1:] != series.pixels.shape[1:]:
        raise InputError(
            f"the mask {path} has {_size(frames.shape)} pixels, {series.path} has "
            f"{_size(series.pixels.shape)}: draw it on that image."
        )
    hole = np.zeros(series.pixels.shape, bool)
    geometry = series.geometry
    for frame, (origin, orientation) in zip(frames, places, strict=True):
        turned = np.abs(np.array([*geometry.axes[2], *geometry.axes[1]]) - orientation).max() > 0.02
        step = np.array(geometry.axes[0]) * geometry.spacing_mm[0]
        plane = float((np.array(origin) - geometry.origin_mm) @ step / (step @ step))
        beside = np.abs(np.array(origin) - geometry.origin_mm - round(plane) * step).max()
        known = geometry.known and 0 <= round(plane) < len(series)
        if turned or not known or beside > SAME_PLACE * max(geometry.spacing_mm[1:]):
            raise InputError(
                f"the mask {path} has a frame that lies on no plane of {series.path}: "
                "draw the segmentation on that series."
            )
        hole[round(plane)] |= frame != 0
    return hole


def _place(dataset: Any, number: int) -> tuple[list[float], list[float]]:
    """Position and orientation of one frame."""
    own = dataset.PerFrameFunctionalGroupsSequence[number]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    turn = own if "PlaneOrientationSequence" in own else shared
    place = own if "PlanePositionSequence" in own else shared
    return (
        [float(value) for value in place.PlanePositionSequence[0].ImagePositionPatient],
        [float(value) for value in turn.PlaneOrientationSequence[0].ImageOrientationPatient],
    )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

"""Masks on the planes of a series: an image of any format, or a DICOM segmentation."""

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError
from meddenoise.io import discover, read_item
from meddenoise.io.dicom.segmentation import Marked, Segmentation, open_segmentation
from meddenoise.io.modality import PROJECTIONS
from meddenoise.series import Geometry, Mask, Series

SAME_PLACE = 0.5
"""Of the pixel spacing: how far positions may differ that are the same."""
MOST_FILLED = 0.9
"""Share of a plane up to which it is filled in: beyond, nearly nothing is there to go by."""
SAME_TURN = 0.02
"""Difference up to which direction cosines count as the same: a degree."""


def read_mask(path: Path, series: Series, what: str) -> Mask:
    """True where the mask is not 0 on the planes of `series`, [N, Y, X]; `what` it marks is said in errors.

    A mask of a single plane is for every plane. The frames of a DICOM segmentation belong to the planes at
    their position; several segments are united.
    Raises InputError where the mask cannot be read, lies elsewhere, or is empty.
    """
    segmentation = _open(path)
    mask = _from_image(path, series) if segmentation is None else _from_frames(segmentation, series)
    if not mask.any():
        raise InputError(f"the mask {path} is 0 everywhere on {series.path}: mark the part to be {what}.")
    return mask


def read_hole(path: Path, series: Series) -> Mask:
    """`read_mask` of what is to be filled in. Raises InputError also where the mask leaves nearly nothing."""
    hole = read_mask(path, series, "filled in")
    valid = series.valid(0, len(series))
    filled = (hole & valid).sum(axis=(1, 2)) / np.maximum(valid.sum(axis=(1, 2)), 1)
    worst = int(filled.argmax())
    if filled[worst] > MOST_FILLED:
        raise InputError(
            f"the mask {path} covers {filled[worst]:.0%} of plane {worst + 1} of {series.path}; up to "
            f"{MOST_FILLED:.0%} is filled in, more would be made up from next to nothing: mark less."
        )
    return hole


def lie_together(one: Series, series: Series) -> bool:
    """True where first, last and outer voxels of two series of one shape lie at the same places.

    Of projections the same pixels are enough.
    """
    if series.modality in PROJECTIONS:
        return True
    count, *plane = series.pixels.shape
    # frames of a cine follow each other in time, at one place
    ends = (1 if series.frame_time_ms is not None else count, *plane)
    mine, theirs = (_corners(item.geometry, ends) for item in (one, series))
    return bool(np.abs(mine - theirs).max() <= SAME_PLACE * min(series.geometry.spacing_mm[1:]))


def _from_image(path: Path, series: Series) -> Mask:
    found = discover([path])
    if len(found.items) != 1:
        why = str(found.failed[0].error) if found.failed else f"{path} holds {len(found.items)} images."
        raise InputError(f"the mask must be one image or series: {why}")
    mask = read_item(found.items[0])
    marked = mask.values(0, len(mask)) != 0
    marked = marked.reshape(-1, mask.channels, *marked.shape[1:]).any(axis=1)
    if marked.shape[1:] != series.pixels.shape[1:] or len(marked) not in (1, len(series)):
        raise _sized_otherwise(path, marked.shape, series)
    whole = len(marked) == len(series)
    if whole and mask.geometry.known and series.geometry.known and not lie_together(mask, series):
        raise InputError(
            f"the mask {path} is elsewhere in the patient than {series.path}: draw it on that image."
        )
    return np.broadcast_to(marked, series.pixels.shape)


def _corners(geometry: Geometry, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """First voxel, and the last one along planes, rows and columns."""
    first = np.array(geometry.origin_mm)
    steps = [
        np.array(axis) * step * (count - 1)
        for axis, step, count in zip(geometry.axes, geometry.spacing_mm, shape, strict=True)
    ]
    return np.stack([first, *(first + step for step in steps)])


def _open(path: Path) -> Segmentation | None:
    """The segmentation at `path`, or the only file of that folder; None for anything else."""
    try:
        files = list(islice(path.iterdir(), 2)) if path.is_dir() else [path]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the folder.") from error
    return open_segmentation(files[0]) if len(files) == 1 else None


def _from_frames(segmentation: Segmentation, series: Series) -> Mask:
    path = segmentation.path
    if segmentation.shape != series.pixels.shape[1:]:
        raise _sized_otherwise(path, segmentation.shape, series)
    hole = np.zeros(series.pixels.shape, bool)
    for frame in segmentation.frames():
        number = _plane_of(frame, series)
        if number is None:
            raise InputError(
                f"the mask {path} has a frame that is on no plane of {series.path}: "
                "draw the segmentation on that series."
            )
        hole[number] |= frame.pixels
    return hole


def _plane_of(frame: Marked, series: Series) -> int | None:
    """The number of the plane that a frame lies on; None where there is none."""
    geometry = series.geometry
    if not geometry.known or len(frame.position) != 3 or len(frame.orientation) != 6:
        return None
    turned = np.abs(np.array([*geometry.axes[2], *geometry.axes[1]]) - frame.orientation).max() > SAME_TURN
    step = np.array(geometry.axes[0]) * geometry.spacing_mm[0]
    away = np.array(frame.position) - geometry.origin_mm
    number = round(float(away @ step / (step @ step)))
    beside = np.abs(away - number * step).max() > SAME_PLACE * min(geometry.spacing_mm[1:])
    return None if turned or beside or not 0 <= number < len(series) else number


def _sized_otherwise(path: Path, shape: tuple[int, ...], series: Series) -> InputError:
    return InputError(
        f"the mask {path} has {_size(shape)} pixels, {series.path} has {_size(series.pixels.shape)}: "
        "draw it on that image."
    )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

"""Frames that follow each other in time: what a header says of their rate, and one for the first of them."""

import numpy as np
from pydicom import Dataset

from meddenoise.io.dicom.values import items, number, numbers, text, value_of, word

TAGS = ("Modality", "SOPClassUID", "FrameTime", "FrameTimeVector", "RecommendedDisplayFrameRate", "CineRate")
"""Elements that `frame_time_ms` reads."""
UNKNOWN_MS = 0.0
"""The frame time of a cine that states none."""

_CINES = ("XA", "RF")
"""Modalities whose frames are a cine, but for reconstructed volumes."""
_VOLUME = "1.2.840.10008.5.1.4.1.1.13.1."
"""Beginning of the SOP classes of reconstructed X-ray volumes."""

# One value for every frame.
_VECTORS = (
    *("FrameTimeVector", "FrameLabelVector", "FramePrimaryAngleVector", "FrameSecondaryAngleVector"),
    *("PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement", "DisplayWindowLabelVector"),
    *("TableVerticalIncrement", "TableLateralIncrement", "TableLongitudinalIncrement"),
    *("SliceLocationVector", "PerFrameFunctionalGroupsSequence"),
)
# The number of a frame.
_POINTERS = ("StartTrim", "StopTrim", "RepresentativeFrameNumber")


def frame_time_ms(dataset: Dataset, frames: int) -> float | None:
    """Milliseconds from frame to frame; UNKNOWN_MS for a cine that states none, None for what is no cine."""
    if frames < 2:
        return None
    time = number(dataset, "FrameTime")
    vector = numbers(dataset, "FrameTimeVector")[1:]
    if time is None and vector:
        time = float(np.mean(vector))
    if time is None:
        rate = number(dataset, "RecommendedDisplayFrameRate") or number(dataset, "CineRate")
        time = 1000.0 / rate if rate else None
    if time is not None and time > 0:
        return time
    is_volume = text(dataset, "SOPClassUID").startswith(_VOLUME)
    return UNKNOWN_MS if word(dataset, "Modality") in _CINES and not is_volume else None


def keep_frames(dataset: Dataset, count: int) -> None:
    """Make the header one of its first `count` frames, in place."""
    dataset.NumberOfFrames = count
    for keyword in _VECTORS:
        value = value_of(dataset, keyword)
        if value is not None and not isinstance(value, str) and hasattr(value, "__len__"):
            setattr(dataset, keyword, list(value)[:count])
    for keyword in _POINTERS:
        if (number(dataset, keyword) or 0) > count:
            setattr(dataset, keyword, count)
    for mask in items(dataset, "MaskSubtractionSequence"):
        ranges = [int(value) for value in numbers(mask, "ApplicableFrameRange")]
        pairs = [(first, min(last, count)) for first, last in zip(ranges[::2], ranges[1::2], strict=False)]
        if ranges:
            mask.ApplicableFrameRange = [end for pair in pairs if pair[0] <= count for end in pair]

"""Shared parts of PNG and TIFF: frames of samples in file order <-> planes, alpha aside, grey from others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.io import Item
from meddenoise.series import Geometry, Series

UNPLACED = Geometry(known=False)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Map from stored values to grey levels: grey = (stored - low) * factor, turned where `inverted`."""

    low: float
    factor: float
    inverted: bool


def series_of(
    item: Item, pixels: NDArray[Any], channels: int, header: Any, warnings: tuple[str, ...], hint: str = ""
) -> Series:
    """A series without scale and place; `pixels` [N, Y, X], `hint` text that may tell the modality."""
    info: Any = np.finfo(pixels.dtype) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype)
    return Series(
        pixels=pixels,
        slope=np.ones(len(pixels)),
        intercept=np.zeros(len(pixels)),
        stored_range=(float(info.min), float(info.max)),
        geometry=UNPLACED,
        format=item.format,
        path=item.path,
        files=item.files,
        channels=channels,
        hint=hint,
        warnings=warnings,
        header=header,
    )


def split_alpha(frame: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colours [C, Y, X] (C 1 or 3) and alpha [Y, X] of a frame [Y, X] or [Y, X, 1 to 4]."""
    if frame.ndim == 2:
        return frame[np.newaxis], None
    samples = np.moveaxis(frame, -1, 0)
    return (samples[:-1], samples[-1]) if len(samples) in (2, 4) else (samples, None)


def join_alpha(colours: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """The frame [Y, X] or [Y, X, C] that `split_alpha` took apart; alpha follows a finer grid."""
    samples = [*colours] if alpha is None else [*colours, resample(alpha, colours[0].shape)]
    return samples[0] if len(samples) == 1 else np.stack(samples, axis=-1)


def resample(plane: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Each pixel of a grid of `shape` over the same field of view: the nearest of `plane` [Y, X]."""
    y, x = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for old, new in zip(plane.shape, shape, strict=True)
    )
    nearest: NDArray[Any] = plane[np.ix_(y, x)]
    return nearest


def grey(series: Series) -> tuple[NDArray[Any], Scaling]:
    """The series as unsigned 8 or 16 bit, the darkest stored value 0, and how it was scaled.

    The map comes from the stored range alone where that fits 16 bits, so a noisy series and its clean
    partner stay comparable, and it is exact: whole factors, nothing rounded; in MR without a negative value 0
    is black. Wider integers and floats
    are spread from their smallest to their largest value; pixels that are no image become 0.
    """
    low, high = series.stored_range
    if series.modality == "MR" and low < 0 <= series.pixels.min(initial=0):
        low = 0.0  # the background of magnitudes stays black
    if series.pixels.dtype.kind != "f" and high - low <= 65535:
        top = 255 if high - low <= 255 else 65535
        factor = float(top // int(high - low))
        wide = (series.pixels.astype(np.int32) - int(low)) * int(factor)
    else:
        valid = series.valid(0, len(series))
        there = series.pixels[valid]
        low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)
        top, factor = 65535, 65535 / (high - low) if high > low else 1.0
        wide = np.where(valid, np.rint((series.pixels.astype(np.float64) - low) * factor), 0)
    if series.inverted:
        wide = top - wide
    return wide.astype(np.uint8 if top == 255 else np.uint16), Scaling(low, factor, series.inverted)

"""One result and what it is compared with, and single planes of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meddenoise.io.scratch import release
from meddenoise.report.page.pictures import Planes
from meddenoise.series import Series
from meddenoise.trust.removal import Removal


@dataclass(frozen=True, slots=True)
class Shown:
    """One result and what it is compared with, on one grid or, for `before`, a coarser one."""

    after: Series
    before: Series | None = None
    reference: Series | None = None
    uncertainty: Series | None = None
    sigma: float = 0.0
    """Noise of `before`, or typical difference from `reference`, in the unit of the series."""
    removal: Removal | None = None
    """That noise and what is left of it as measured; None: no plots of it."""
    name: str = ""
    """Of the result among its rivals."""
    rivals: tuple[tuple[str, Series], ...] = ()
    """Other results of the same image, by name; those on another grid are not shown."""
    brief: bool = False
    """True where the page is shared by many series: all but the middle plane are shown smaller."""

    @property
    def frames(self) -> int:
        """Slices or frames of the result."""
        return len(self.after) // self.after.channels

    @property
    def is_compared(self) -> bool:
        """True if there is another image on the same grid."""
        other = self.before or self.reference
        return other is not None and other.pixels.shape == self.after.pixels.shape


def planes_of(shown: Shown, index: int) -> Planes:
    """One plane of all that is there; colours as their mean, a coarser grid by its nearest pixels."""
    after, valid = _grey(shown.after, index)
    before = reference = uncertainty = None
    if shown.before is not None:
        before, known = _grey(shown.before, index)
        if before.shape != after.shape:
            before = before[np.ix_(*_nearest(before.shape, after.shape))]
        else:
            valid = valid & known
    if shown.reference is not None:
        reference, known = _grey(shown.reference, index)
        valid = valid & known
    if shown.uncertainty is not None:
        uncertainty = _grey(shown.uncertainty, index)[0]
    others = (series for _, series in rivals_of(shown))
    return Planes(after, valid, before, reference, uncertainty, tuple(_grey(one, index)[0] for one in others))


def rivals_of(shown: Shown) -> list[tuple[str, Series]]:
    """The rivals on the grid of the result."""
    like = (shown.after.pixels.shape, shown.after.channels)
    return [(name, one) for name, one in shown.rivals if (one.pixels.shape, one.channels) == like]


def name_plane(series: Series, index: int) -> str:
    """Name of a plane for a reader: "Slice 5 of 8", "Frame 1 of 16", "Image"."""
    frames = len(series) // series.channels
    what = "Image" if frames == 1 else "Frame" if series.is_cine else "Slice"
    return f"{what}{f' {index + 1} of {frames}' if frames > 1 else ''}"


def _grey(series: Series, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    start, stop = index * series.channels, (index + 1) * series.channels
    valid = series.valid(start, stop).all(axis=0)
    values = series.values(start, stop)
    release(series.pixels)  # of a long run, what was looked at would stay in memory
    mean: NDArray[np.float32] = values[0] if len(values) == 1 else values.mean(axis=0, dtype=np.float32)
    return mean, np.asarray(valid)


def _nearest(shape: tuple[int, ...], wanted: tuple[int, ...]) -> Iterator[NDArray[np.intp]]:
    for size, finer in zip(shape, wanted, strict=True):
        yield np.minimum((np.arange(finer) + 0.5) * size / finer, size - 1).astype(np.intp)

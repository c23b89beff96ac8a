"""Pairing of results with their references, and of their planes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, UsageError
from meddenoise.io import Item, read_item
from meddenoise.io.layout import below, stem
from meddenoise.io.own import without_mark
from meddenoise.series import Series

if TYPE_CHECKING:
    from meddenoise.io.dicom.links import Links

_ANGLE = 1e-3
_SPACING = 1e-3
_POSITION = 0.05
"""Largest difference of axes, of spacing (relative), and of plane positions (in pixels)."""

Order = NDArray[np.intp]


def pair_items(results: Sequence[Item], others: Sequence[Item], option: str) -> list[Item]:
    """For each result its partner among `others`, each used once; `option` names it in errors.

    A partner is what the DICOM header of a result names as its source, or has the same file names below its
    folder (without marks such as `_denoised`), or is the only one left, or lies at the same place in the
    patient, or, where none of these tells, has the same index.
    Raises UsageError where a partner is missing or cannot be told.
    """
    if len(results) == len(others) == 1:
        return list(others)
    left = list(others)
    partners: dict[int, Item] = {}
    for chosen in (_SourceFinder().sources, _same_names, _PlaceFinder().same_place):
        for index, result in enumerate(results):
            fitting = [] if index in partners else chosen(result, left)
            if len(fitting) == 1:
                partners[index] = fitting[0]
                left.remove(fitting[0])
    missing = [index for index in range(len(results)) if index not in partners]
    if len(missing) != len(left) and missing:
        raise UsageError(
            f"{results[missing[0]].path} has no partner under {option}: "
            "give it the same file name there, or as many series as there are results."
        )
    partners.update(zip(missing, left, strict=False))
    return [partners[index] for index in range(len(results))]


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """The planes of another series that belong to those of a result, in its order: [N, Y, X]."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


def align_series(result: Series, other: Series) -> Aligned:
    """The planes of `other` that belong to those of `result`. Raises InputError as `align_planes`."""
    planes = align_planes(result, other)
    values, valid = other.values(0, len(other)), other.valid(0, len(other))
    if np.array_equal(planes, np.arange(len(other))):
        return Aligned(values, valid)
    return Aligned(values[planes], valid[planes])


def follow(result: Series, other: Series) -> Series:
    """`other` with the planes of `result`, in its order. Raises InputError as `align_planes`."""
    planes = align_planes(result, other)
    return replace(
        other,
        pixels=other.pixels[planes],
        slope=other.slope[planes],
        intercept=other.intercept[planes],
        exposures=(),
    )


def align_planes(result: Series, other: Series) -> Order:
    """Index of the plane of `other` for each plane of `result`.

    Planes go by their place in the patient where both files state it, else by the source that DICOM files
    name, by order, or by file name.
    Raises InputError, naming both, where modality, unit, matrix, spacing, orientation or places do not
    agree.
    """
    _check_kind(result, other)
    _check_grid(result, other)
    both = f"{result.path} and {other.path}"
    if result.geometry.known and other.geometry.known and not (_is_stack(result) or _is_stack(other)):
        return _by_place(result, other, both)
    sources = _by_source(result, other)
    if sources is not None:
        return sources
    if len(result) == len(other):
        return np.arange(len(result))
    names = {_plain(file): index for index, file in enumerate(other.files)}
    wanted = [_plain(file) for file in result.files]
    if len(names) == len(other) and len(wanted) == len(result) and all(name in names for name in wanted):
        return np.array([names[name] for name in wanted])
    raise InputError(f"{both} have {len(result)} and {len(other)} planes: give images of the same planes.")


def _check_kind(result: Series, other: Series) -> None:
    both = f"{result.path} and {other.path}"
    if result.modality and other.modality and result.modality != other.modality:
        raise InputError(
            f"{both} differ in modality ({result.modality} and {other.modality}): "
            "give images of the same acquisition."
        )
    if result.unit and other.unit and result.unit != other.unit:
        raise InputError(
            f"{both} differ in unit ({result.unit} and {other.unit}): give images in the same unit."
        )


def _check_grid(result: Series, other: Series) -> None:
    both = f"{result.path} and {other.path}"
    if result.pixels.shape[1:] != other.pixels.shape[1:]:
        sizes = [" x ".join(map(str, series.pixels.shape[1:])) for series in (result, other)]
        raise InputError(
            f"{both} differ in matrix ({sizes[0]} and {sizes[1]}): give images of the same grid."
        )
    if result.channels != other.channels:
        raise InputError(f"{both} differ in colour channels: give both in colour or both in grey.")
    if not (result.geometry.known and other.geometry.known):
        return
    spacing = [np.array(series.geometry.spacing_mm[1:]) for series in (result, other)]
    if np.any(np.abs(spacing[0] / spacing[1] - 1) > _SPACING):
        raise InputError(f"{both} differ in pixel spacing: give images of the same grid.")
    axes = [np.array(series.geometry.axes[1:]) for series in (result, other)]
    if np.any(np.sum(axes[0] * axes[1], axis=1) < 1 - _ANGLE):
        raise InputError(f"{both} differ in orientation: give images of the same grid.")


def _is_stack(series: Series) -> bool:
    """True where planes share one place: frames of a cine, channels of a colour."""
    return series.frame_time_ms is not None or series.channels > 1


def _by_place(result: Series, other: Series, both: str) -> Order:
    places, there = _places(result), _places(other)
    distance = np.linalg.norm(places[:, None] - there[None], axis=-1)
    nearest: Order = distance.argmin(axis=1)
    limit = _POSITION * min(result.geometry.spacing_mm[1:])
    far = np.flatnonzero(distance[np.arange(len(places)), nearest] > limit)
    if far.size:
        at = ", ".join(f"{value:.2f}" for value in places[far[0]])
        raise InputError(
            f"{both} differ in place: the second has no plane at ({at}) mm, where plane {far[0] + 1} "
            "of the first is."
        )
    return nearest


def _by_source(result: Series, other: Series) -> Order | None:
    """Planes by the source that each file of the result names; None where one names none of `other`."""
    if not all(s.format == "dicom" and len(s.files) == len(s) > 1 for s in (result, other)):
        return None
    known = {instance: plane for plane, file in enumerate(other.files) if (instance := _links(file).instance)}
    planes = [
        next((known[uid] for uid in _links(file).sources if uid in known), None) for file in result.files
    ]
    return None if None in planes else np.array(planes, np.intp)


def _links(file: Path) -> "Links":
    from meddenoise.io.dicom.links import read_links

    return read_links(file)


def _places(series: Series) -> NDArray[np.float64]:
    """Centre of the first pixel of every plane, [N, 3] in mm."""
    step = np.array(series.geometry.axes[0]) * series.geometry.spacing_mm[0]
    return np.array(series.geometry.origin_mm) + np.arange(len(series))[:, None] * step


def _same_names(result: Item, others: Sequence[Item]) -> list[Item]:
    """Those with the most file names in common, and at least one."""
    wanted = _names(result)
    shared = [len(wanted & _names(other)) for other in others]
    most = max(shared, default=0)
    return [other for other, count in zip(others, shared, strict=True) if count == most > 0]


class _SourceFinder:
    """Finds the series that holds what a result was made from; reads each header once."""

    def __init__(self) -> None:
        self._known: dict[Path, Links] = {}

    def sources(self, result: Item, others: Sequence[Item]) -> list[Item]:
        """Those with an image that the first image of the result names as its source."""
        wanted = self._of(result.files[0]).sources if result.format == "dicom" else frozenset()
        if not wanted:
            return []
        near = [other for other in others if other.format == "dicom"]
        return [other for other in near if any(self._of(file).instance in wanted for file in other.files)]

    def _of(self, file: Path) -> "Links":
        if file not in self._known:
            self._known[file] = _links(file)
        return self._known[file]


class _PlaceFinder:
    """Finds series at the same place; reads each file once and keeps all of it but the pixels."""

    def __init__(self) -> None:
        self._known: dict[Item, Series] = {}

    def same_place(self, result: Item, others: Sequence[Item]) -> list[Item]:
        """Those whose planes lie where the result's do."""
        return [other for other in others if _fits(self._outline(result), self._outline(other))]

    def _outline(self, item: Item) -> Series:
        if item not in self._known:
            series = read_item(item)
            empty = np.broadcast_to(np.zeros((), series.pixels.dtype), series.pixels.shape)
            self._known[item] = replace(series, pixels=empty)
        return self._known[item]


def _fits(series: Series, other: Series) -> bool:
    if not (series.geometry.known and other.geometry.known):
        return False
    try:
        align_planes(series, other)
    except InputError:
        return False
    return True


def _names(item: Item) -> set[str]:
    """File names below the root the item was found under, without suffixes and the mark of results."""
    names = set()
    for file in item.files:
        names.add(str(below(file, item.root).with_name(_plain(file))))
    return names


def _plain(file: Path) -> str:
    return without_mark(stem(file))

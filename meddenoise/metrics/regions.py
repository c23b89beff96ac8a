"""Parts of a plane that a number is measured in: boxes and circles, as a person writes them."""

import math
import re
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, UsageError

_NUMBERS = re.compile(r"(?P<place>[\d.,\s]+?)(?:@(?P<first>\d+)(?:-(?P<last>\d+))?)?")
_BOX = "ROW,COLUMN,HEIGHT,WIDTH"
_CIRCLE = "ROW,COLUMN,RADIUS"

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels from (top, left), counted from 0; planes `first` to `last` counted from 1 (0: the last)."""

    top: int
    left: int
    height: int
    width: int
    first: int = 1
    last: int = 0

    def __str__(self) -> str:
        return f"{self.top},{self.left},{self.height},{self.width}{_planes(self.first, self.last)}"

    def cut(self, image: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """The part of an image [N, Y, X] that lies in the box, a view."""
        rows, columns = (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )
        return image[self.first - 1 : self.last or None, rows, columns]

    def check(self, shape: tuple[int, ...], name: str) -> None:
        """Raises InputError, naming the image, where the box does not lie inside planes of `shape`."""
        _check_planes(self, shape[0], name)
        _check_edges(self, (self.top, self.left, self.top + self.height, self.left + self.width), shape, name)

    def inside(self, crop: "Box | None") -> Self:
        """The same box counted from the corner of a crop. Raises InputError where it reaches beyond it."""
        if crop is None:
            return self
        edges = (self.top - crop.top, self.left - crop.left)
        far = (edges[0] + self.height, edges[1] + self.width)
        _check_edges(self, (*edges, *far), (1, crop.height, crop.width), f"the crop {crop}")
        return replace(self, top=edges[0], left=edges[1])


@dataclass(frozen=True, slots=True)
class Circle:
    """A round edge: centre and radius in pixels, planes as for a Box."""

    row: float
    column: float
    radius: float
    first: int = 1
    last: int = 0

    def __str__(self) -> str:
        return f"{self.row:g},{self.column:g},{self.radius:g}{_planes(self.first, self.last)}"

    def cut(self, image: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """The planes of an image [N, Y, X] that the circle is in, whole, a view."""
        return image[self.first - 1 : self.last or None]

    def check(self, shape: tuple[int, ...], name: str) -> None:
        """Raises InputError, naming the image, where the circle does not lie inside planes of `shape`."""
        _check_planes(self, shape[0], name)
        _check_edges(self, self._edges(), shape, name)

    def inside(self, crop: Box | None) -> Self:
        """The same circle counted from the corner of a crop. Raises InputError where it reaches beyond it."""
        if crop is None:
            return self
        moved = replace(self, row=self.row - crop.top, column=self.column - crop.left)
        _check_edges(self, moved._edges(), (1, crop.height, crop.width), f"the crop {crop}")
        return moved

    def _edges(self) -> tuple[float, float, float, float]:
        y, x, r = self.row, self.column, self.radius
        return y - r, x - r, y + r + 1, x + r + 1


def parse_box(text: str, option: str) -> Box:
    """The box that ROW,COLUMN,HEIGHT,WIDTH[@PLANE[-PLANE]] tells of. Raises UsageError, naming `option`."""
    values, first, last = _parse(text, option, f"{_BOX}[@PLANE[-PLANE]]")
    if len(values) != 4 or any(value != int(value) for value in values) or min(values[2:]) < 1:
        raise UsageError(f"{option} {text!r} is not a box: write it as {_BOX} in whole pixels.")
    top, left, height, width = map(int, values)
    return Box(top, left, height, width, first, last)


def parse_edge(text: str, option: str) -> Box | Circle:
    """A box with one straight edge across it, or the circle along an edge. Raises UsageError."""
    values, first, last = _parse(text, option, f"{_BOX} or {_CIRCLE}, then [@PLANE[-PLANE]]")
    if len(values) == 3 and values[2] > 0:
        row, column, radius = values
        return Circle(row, column, radius, first, last)
    return parse_box(text, option)


def _parse(text: str, option: str, form: str) -> tuple[list[float], int, int]:
    found = _NUMBERS.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        values = [float(part) for part in found["place"].split(",")]
        first = int(found["first"] or 1)
        last = int(found["last"] or found["first"] or 0)
        if first < 1 or 0 < last < first or not all(map(math.isfinite, values)):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"{option} {text!r} cannot be read: write it as {form}.") from error
    return values, first, last


def _planes(first: int, last: int) -> str:
    if (first, last) == (1, 0):
        return ""
    return f"@{first}" if first == last else f"@{first}-{last or ''}"


def _check_edges(
    region: Box | Circle, edges: tuple[float, float, float, float], shape: tuple[int, ...], name: str
) -> None:
    top, left, bottom, right = edges
    height, width = shape[1:]
    if top < 0 or left < 0 or bottom > height or right > width:
        raise InputError(
            f"the region {region} lies outside {name}, which is {height} x {width} pixels: "
            "give one inside (rows and columns count from 0)."
        )


def _check_planes(region: Box | Circle, planes: int, name: str) -> None:
    if region.first > planes or region.last > planes:
        raise InputError(
            f"the region {region} names a plane that {name} does not have: it has {planes}, counted from 1."
        )

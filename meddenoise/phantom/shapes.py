"""Analytic shapes as signed distances in millimetres, negative inside, drawn with anti-aliased edges.

Distances combine by min (union), max (intersection) and minus (complement); `paint` turns one into pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Places, lengths in mm and images, float32 or float64, [Y, X]."""
Point = Sequence[float]


@dataclass(frozen=True)
class Plane:
    """Pixel centres of a square plane: `x` to the right, `y` down, mm from its middle, at height `z` (up)."""

    size: int
    pixel_mm: float
    z: float = 0.0

    @cached_property
    def axis(self) -> Array:
        """Places of the rows (and columns), mm."""
        return ((np.arange(self.size) - (self.size - 1) / 2) * self.pixel_mm).astype(np.float32)

    def grid(self) -> tuple[Array, Array]:
        """x and y of every pixel, each [Y, X]."""
        x, y = np.meshgrid(self.axis, self.axis)
        return x, y


class Waves:
    """A smooth random field: plane waves of one wavelength (mm) in random directions, variance 1.

    In three dimensions, so neighbouring planes fit; exact at any resolution.
    """

    def __init__(
        self, wavelength_mm: float, count: int, rng: np.random.Generator, spread: float = 0.2
    ) -> None:
        direction = rng.standard_normal((3, count))
        direction /= np.linalg.norm(direction, axis=0)
        length = 2 * np.pi / wavelength_mm * np.exp(spread * rng.uniform(-1, 1, count))
        self._k = direction * length
        self._phase = rng.uniform(0, 2 * np.pi, count)

    def on(self, plane: Plane) -> Array:
        """The field on a plane, [Y, X]."""
        return self._sum(plane, np.ones_like(self._phase)).real.astype(np.float32)

    def distance(self, plane: Plane) -> Array:
        """Approximate distance in mm to the surface on which the field is zero, at least 0, [Y, X]."""
        value = self._sum(plane, np.ones_like(self._phase)).real
        slope = np.sqrt(sum(self._sum(plane, 1j * k).real ** 2 for k in self._k))
        floor = 0.3 * np.sqrt(np.mean(slope**2))
        reach: Array = (np.abs(value) / np.maximum(slope, floor)).astype(np.float32)
        return reach

    def _sum(self, plane: Plane, weight: NDArray[np.generic]) -> NDArray[np.complex128]:
        kx, ky, kz = self._k
        axis = plane.axis.astype(np.float64)
        across = (
            np.exp(1j * np.outer(kx, axis)) * (weight * np.exp(1j * (kz * plane.z + self._phase)))[:, None]
        )
        total: NDArray[np.complex128] = np.exp(1j * np.outer(axis, ky)) @ across
        total *= np.sqrt(2 / len(self._phase))
        return total


def ellipsoid(x: Array, y: Array, centre: Point, radii: Point, angle: float = 0.0) -> Array:
    """Signed distance to an ellipse, or to the cut z = 0 of an ellipsoid, turned by `angle` degrees.

    `centre` and `radii` hold two or three numbers; the third centre is the ellipsoid's height over the plane.
    """
    turn = np.deg2rad(angle)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    u = dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))
    v = dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))
    terms = [(u, radii[0]), (v, radii[1])]
    if len(radii) == 3:
        terms.append((np.full_like(u, centre[2]), radii[2]))
    q = np.sqrt(sum((np.square(t) / np.float32(r * r) for t, r in terms), np.zeros_like(u)))
    slope = np.sqrt(sum((np.square(t) / np.float32(r**4) for t, r in terms), np.zeros_like(u)))
    smallest = np.float32(min(radii))
    depth: Array = np.where(q > 1e-3, (q - 1) * q / np.maximum(slope, 1e-9), -smallest)
    return depth


def capsule(x: Array, y: Array, start: Point, end: Point, radius: float) -> Array:
    """Signed distance to a straight rod with round ends."""
    ax, ay = np.float32(start[0]), np.float32(start[1])
    bx, by = np.float32(end[0]) - ax, np.float32(end[1]) - ay
    along = np.clip(((x - ax) * bx + (y - ay) * by) / max(float(bx * bx + by * by), 1e-9), 0, 1)
    return np.hypot(x - ax - along * bx, y - ay - along * by) - np.float32(radius)


def smooth_union(first: Array, second: Array, blend_mm: float) -> Array:
    """Signed distance to two shapes melted together over `blend_mm`."""
    part = np.clip(0.5 + 0.5 * (second - first) / np.float32(blend_mm), 0, 1)
    merged: Array = second + (first - second) * part - np.float32(blend_mm) * part * (1 - part)
    return merged


def coverage(distance: Array, pixel_mm: float, soft_mm: float = 0.0) -> Array:
    """Part of each pixel inside a shape, 0..1; `soft_mm` widens the edge."""
    inside: Array = np.clip(0.5 - distance / np.float32(pixel_mm + soft_mm), 0, 1)
    return inside


def paint(image: Array, inside: Array, value: float | Array) -> None:
    """Lay `value` over `image` in place, where and as far as a pixel is `inside` (0..1)."""
    image += inside * (np.asarray(value, np.float32) - image)


def chord(x: Array, y: Array, centre: Point, radii: Point, angle: float = 0.0) -> Array:
    """Length in mm of the rays through an ellipsoid seen along its third axis, [Y, X]."""
    turn = np.deg2rad(angle)
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    u = (dx * np.float32(np.cos(turn)) + dy * np.float32(np.sin(turn))) / np.float32(radii[0])
    v = (dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))) / np.float32(radii[1])
    length: Array = np.float32(2 * radii[2]) * np.sqrt(np.maximum(1 - u * u - v * v, 0))
    return length

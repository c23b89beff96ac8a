"""Branching vessels: a random tree of rods in space, cut by a plane or seen in projection."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meddenoise.phantom.shapes import Array, Plane


@dataclass(frozen=True, slots=True)
class Branching:
    """Growth of a tree: `generations` of forks, rods of `step_mm`, `steps` rods between forks.

    Daughters are turned by about `spread` degrees; `wander` degrees of turn at each rod make vessels wind.
    """

    generations: int = 7
    step_mm: float = 6.0
    steps: int = 4
    spread: float = 35.0
    wander: float = 9.0
    smallest_mm: float = 0.3


@dataclass(frozen=True, slots=True)
class Tree:
    """Rods from `start` to `end` [n, 3] of `radius` [n]; `path` [n] is the way from the root; all in mm."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]
    path: NDArray[np.float64]


def grow(
    root: tuple[float, float, float],
    heading: tuple[float, float, float],
    radius_mm: float,
    branching: Branching,
    rng: np.random.Generator,
) -> Tree:
    """A random tree that starts at `root` towards `heading`; radii shrink at forks by Murray's law."""
    rods: list[tuple[NDArray[np.float64], NDArray[np.float64], float, float]] = []
    tips = [(np.array(root), _unit(np.array(heading)), radius_mm, 0.0)]
    for _ in range(branching.generations):
        forks = []
        for place, direction, radius, path in tips:
            steps = max(2, round(branching.steps * rng.uniform(0.6, 1.4)))
            for _ in range(steps):
                direction = _turn(direction, branching.wander, rng)
                after = place + branching.step_mm * direction
                rods.append((place, after, radius, path))
                place, path = after, path + branching.step_mm
                radius *= 0.985
            forks += _fork(place, direction, radius, path, branching, rng)
        tips = [tip for tip in forks if tip[2] >= branching.smallest_mm]
    start, end, radius_all, path_all = zip(*rods, strict=True)
    return Tree(np.array(start), np.array(end), np.array(radius_all), np.array(path_all))


def cut(tree: Tree, plane: Plane, slab_mm: float) -> Array:
    """Part of each pixel inside the tree where a slab of the given thickness cuts it, 0..1, [Y, X]."""
    shown = np.zeros((plane.size, plane.size), np.float32)
    reach = tree.radius + slab_mm / 2 + plane.pixel_mm
    low = np.minimum(tree.start[:, 2], tree.end[:, 2]) - reach
    high = np.maximum(tree.start[:, 2], tree.end[:, 2]) + reach
    for index in np.flatnonzero((low < plane.z) & (plane.z < high)):
        _draw(shown, plane, tree, int(index), slab_mm)
    return shown


def thickness(tree: Tree, plane: Plane) -> Array:
    """Depth in mm of the tree along the rays perpendicular to the plane, anti-aliased, [Y, X]."""
    shown = np.zeros((plane.size, plane.size), np.float32)
    for index in range(len(tree.radius)):
        _draw(shown, plane, tree, index, None)
    return shown


def _draw(shown: Array, plane: Plane, tree: Tree, index: int, slab_mm: float | None) -> None:
    """Lay one rod over `shown` in place: the larger value wins, so that joints do not count twice."""
    a, b, radius = tree.start[index], tree.end[index], float(tree.radius[index])
    margin = radius + 2 * plane.pixel_mm
    low = np.searchsorted(plane.axis, np.minimum(a, b)[:2] - margin)
    high = np.searchsorted(plane.axis, np.maximum(a, b)[:2] + margin)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    if shown[window].size == 0:
        return
    away = plane.axis[None, window[1]] - a[0], plane.axis[window[0], None] - a[1]
    along = b - a
    height = 0.0 if slab_mm is None else plane.z - a[2]
    if slab_mm is None:
        along = np.array([along[0], along[1], 0.0])
    part = (away[0] * along[0] + away[1] * along[1] + height * along[2]) / max(float(along @ along), 1e-9)
    part = np.clip(part, 0, 1)
    square = (away[0] - part * along[0]) ** 2 + (away[1] - part * along[1]) ** 2
    square += (height - part * along[2]) ** 2
    if slab_mm is None:
        value = _soft_chord(np.sqrt(square), radius, plane.pixel_mm)
    else:
        edge = plane.pixel_mm + 0.5 * slab_mm
        value = np.clip(0.5 - (np.sqrt(square) - radius) / edge, 0, 1) * min(1.0, 2 * radius / edge)
    shown[window] = np.maximum(shown[window], value)


def _soft_chord(distance: NDArray[np.float64], radius: float, pixel_mm: float) -> NDArray[np.float64]:
    """Mean depth of a rod over a pixel, by three samples across it."""
    offsets = (np.arange(3) - 1) * pixel_mm / 3
    depth = [2 * np.sqrt(np.maximum(radius**2 - (distance + o) ** 2, 0)) for o in offsets]
    mean: NDArray[np.float64] = np.mean(depth, axis=0)
    return mean


def _fork(
    place: NDArray[np.float64],
    direction: NDArray[np.float64],
    radius: float,
    path: float,
    branching: Branching,
    rng: np.random.Generator,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], float, float]]:
    share = rng.uniform(0.35, 0.65)
    side = _unit(np.cross(direction, rng.standard_normal(3)))
    daughters = []
    for part, sign in ((share, 1.0), (1 - share, -1.0)):
        # Murray: the cubes of the radii add up; the thinner daughter turns further.
        angle = np.deg2rad(branching.spread * (1.3 - part))
        heading = _unit(np.cos(angle) * direction + sign * np.sin(angle) * side)
        daughters.append((place, heading, radius * part ** (1 / 3), path))
    return daughters


def _turn(direction: NDArray[np.float64], degrees: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return _unit(direction + np.deg2rad(degrees) * rng.standard_normal(3))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit

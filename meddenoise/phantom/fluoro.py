"""Fluoroscopy phantom: a coronary angiogram in motion, exposures on a linear scale, exact in every frame."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from meddenoise.phantom.shapes import Array, Plane, Waves, capsule, chord, coverage, ellipsoid
from meddenoise.phantom.vessels import Branching, Tree, grow, thickness
from meddenoise.phantom.xray import blur

FIELD_MM = 180.0
FRAME_MS = 1000 / 15
OPEN_BEAM = 10000.0
"""Value of the bare detector; behind the patient 300 to 3000 are left."""

_HEART_MM = (8.0, 12.0)
_BEAT_S, _BREATH_S = 0.86, 4.2
_MU_IODINE = 0.085
"""Attenuation of the contrast medium in a vessel beyond that of blood, per mm, at 80 kV."""
_FLOW_MM_S = 190.0
_OSTIUM = (-34.0, -40.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything random, drawn once for all frames."""

    tissue: Waves
    fine: Waves
    tree: Tree
    phase: float


def make_fluoro(size: int, planes: int, rng: np.random.Generator) -> Array:
    """Frames [T, Y, X] of linear exposure, FRAME_MS apart, blurred by the detector."""
    scene = _Scene(Waves(45, 40, rng), Waves(11, 60, rng), _coronaries(rng), rng.uniform(0, 2 * np.pi))
    plane = Plane(size, FIELD_MM / size)
    frames = [_frame(plane, scene, index * FRAME_MS / 1000) for index in range(planes)]
    return np.maximum(blur(np.stack(frames)), 0)


def _frame(plane: Plane, scene: _Scene, seconds: float) -> Array:
    breath = 5.0 * np.sin(2 * np.pi * seconds / _BREATH_S + scene.phase)
    path = _background(plane, scene, breath)
    path += _MU_IODINE * thickness(_filled(_moved(scene.tree, seconds, breath), seconds), plane)
    path += _catheter(plane, _moved_point(np.array(_OSTIUM), seconds, breath))
    exposures: Array = (OPEN_BEAM * np.exp(-path)).astype(np.float32)
    return exposures


def _background(plane: Plane, scene: _Scene, breath: float) -> Array:
    """Attenuation of the chest: spine and ribs stand, heart, lung and diaphragm follow the breath."""
    x, y = plane.grid()
    tissue, fine = scene.tissue.on(plane), scene.fine.on(plane)
    path = 2.05 + 0.05 * tissue + 0.012 * fine + 0.0012 * x
    heart = ellipsoid(x, y - breath, (_HEART_MM[0], _HEART_MM[1]), (76, 60), 32)
    path += 0.34 * np.sqrt(np.clip(-heart / 55, 0, 1))
    dome = ellipsoid(x, y - 1.6 * breath, (34, 126), (128, 62), 6)
    path += 0.75 * np.sqrt(np.clip(-dome / 42, 0, 1))
    lung = np.maximum(ellipsoid(x, y - breath, (92, -30), (62, 92)), -heart)
    path -= 0.6 * np.sqrt(np.clip(-lung / 40, 0, 1))
    spine = np.abs(x + 66 + 0.06 * y)
    phase = np.mod(y + 200, 27) / 27
    disc = 1 / (1 + np.exp(-(np.minimum(phase, 1 - phase) - 0.09) * 45))
    path += (0.16 + 0.16 * disc + 0.03 * fine) * coverage(spine - 22, plane.pixel_mm, 7.0)
    for index in range(6):
        rib = np.abs(y - (-118 + 36 * index + 0.0035 * (x + 60) ** 2 - 0.12 * x)) - 5.0
        edge = coverage(np.abs(rib + 1.2) - 1.2, plane.pixel_mm, 0.8)
        path += coverage(-58 - x, 9.0) * (0.05 * coverage(rib, plane.pixel_mm, 1.0) + 0.06 * edge)
    return path.astype(np.float32)


def _coronaries(rng: np.random.Generator) -> Tree:
    """Left main stem with its two arteries, and their branches over the heart."""
    branching = Branching(generations=6, step_mm=3.2, steps=7, spread=33, wander=7.5, smallest_mm=0.28)
    trees = [
        grow(_OSTIUM, heading, radius, branching, rng)
        for heading, radius in (((1, 0.35, 0.2), 1.9), ((0.45, 1, -0.2), 1.7), ((0.9, 0.75, 0.1), 1.2))
    ]
    return Tree(*(np.concatenate([getattr(t, name) for t in trees]) for name in Tree.__slots__))


def _moved_point(points: NDArray[np.float64], seconds: float, breath: float) -> NDArray[np.float64]:
    """Points [..., 3] at a time: the heart shrinks and turns with each beat and sinks with the breath."""
    beat = 2 * np.pi * seconds / _BEAT_S
    # Systole is quicker than diastole: a second harmonic sharpens the beat.
    squeeze = 0.5 - 0.5 * np.cos(beat + 0.5 * np.sin(beat))
    turn = 0.07 * squeeze
    centre = np.array([*_HEART_MM, 0.0])
    away = (points - centre) * (1 - 0.09 * squeeze)
    moved = away.copy()
    moved[..., 0] = np.cos(turn) * away[..., 0] - np.sin(turn) * away[..., 1]
    moved[..., 1] = np.sin(turn) * away[..., 0] + np.cos(turn) * away[..., 1]
    result: NDArray[np.float64] = moved + centre + np.array([0.0, breath, 0.0])
    return result


def _moved(tree: Tree, seconds: float, breath: float) -> Tree:
    start, end = (_moved_point(points, seconds, breath) for points in (tree.start, tree.end))
    return replace(tree, start=start, end=end)


def _filled(tree: Tree, seconds: float) -> Tree:
    """The vessels the contrast medium has reached: it fills them from the stem on, over the first second."""
    front = 60 + _FLOW_MM_S * seconds
    part = np.clip((front - tree.path) / 40, 0, 1)
    reached = part > 0.05
    radius = tree.radius * np.sqrt(part)
    return Tree(tree.start[reached], tree.end[reached], radius[reached], tree.path[reached])


def _catheter(plane: Plane, ostium: NDArray[np.float64]) -> Array:
    """Attenuation of a 6 French catheter from the aorta to the ostium: its wall is denser than its bore."""
    x, y = plane.grid()
    knots = [(-6.0, -110.0), (-3.0, -84.0), (-9.0, -66.0), (-20.0, -55.0), (ostium[0], ostium[1])]
    curve = _bezier(knots)
    distance = np.minimum.reduce([capsule(x, y, a, b, 0) for a, b in pairwise(curve)])
    outer = 2 * np.sqrt(np.maximum(1.0 - distance**2, 0))
    aorta = chord(x, y, (-10, -70), (17, 62, 14), 10)
    path: Array = 0.10 * outer + 0.0016 * aorta + 0.10 * coverage(distance - 0.9, plane.pixel_mm)
    return path


def _bezier(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of the Bézier curve of the knots."""
    points = []
    for t in np.linspace(0, 1, 25):
        level = np.array(knots)
        while len(level) > 1:
            level = (1 - t) * level[:-1] + t * level[1:]
        points.append((float(level[0, 0]), float(level[0, 1])))
    return points

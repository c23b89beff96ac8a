"""CT phantom: contrast-enhanced axial slices through the upper abdomen and the lung bases, in HU."""

from dataclasses import dataclass

import numpy as np

from meddenoise.phantom.shapes import (
    Array,
    Plane,
    Waves,
    capsule,
    coverage,
    ellipsoid,
    paint,
    smooth_union,
)
from meddenoise.phantom.vessels import Branching, Tree, cut, grow

FIELD_MM = 360.0
SLICE_MM = 3.0

AIR, LUNG, FAT, WATER, MUSCLE, LIVER, SPLEEN, BLOOD = -1000, -860, -100, 10, 58, 108, 122, 310
TRABECULAR, CORTICAL, METAL = 190, 780, 3000


@dataclass(frozen=True, slots=True)
class _BodyAnatomy:
    """Everything random, drawn once for all slices."""

    warp: tuple[Waves, Waves]
    texture: Waves
    grain: Waves
    lung_trees: tuple[Tree, ...]
    liver_trees: tuple[Tree, ...]
    lesions: tuple[tuple[tuple[float, float, float], float, float], ...]
    """Centre (mm), radius (mm), HU."""


def make_ct(size: int, planes: int, rng: np.random.Generator) -> Array:
    """Slices [N, Y, X] in HU, SLICE_MM apart, from the abdomen up into the chest."""
    anatomy = _draw_anatomy(rng)
    pixel = FIELD_MM / size
    heights = (np.arange(planes) - (planes - 1) / 2) * SLICE_MM
    return np.stack([_slice(Plane(size, pixel, float(z)), anatomy) for z in heights])


def _draw_anatomy(rng: np.random.Generator) -> _BodyAnatomy:
    liver = Branching(generations=6, step_mm=7, steps=3, spread=50, smallest_mm=0.8)
    lesions = []
    for radius, hu in ((10.0, 74.0), (6.0, 84.0), (13.0, 92.0), (4.5, 70.0), (8.0, 12.0), (6.0, 134.0)):
        place = (rng.uniform(-105, -45), rng.uniform(-45, 20), rng.uniform(-14, 10))
        lesions.append((place, radius * rng.uniform(0.85, 1.15), hu))
    return _BodyAnatomy(
        warp=(Waves(150, 24, rng), Waves(150, 24, rng)),
        texture=Waves(9, 60, rng),
        grain=Waves(4.5, 60, rng),
        lung_trees=tuple(_lung_tree(side, rng) for side in (-1, 1) for _ in range(9)),
        liver_trees=(
            grow((-28, 2, -14), (-1, -0.3, 0.2), 5.5, liver, rng),
            grow((-22, -8, -6), (-0.6, -0.9, 0.1), 4.5, liver, rng),
            grow((-25, 18, 6), (-1, -0.5, -0.1), 5, liver, rng),
        ),
        lesions=tuple(lesions),
    )


def _lung_tree(side: int, rng: np.random.Generator) -> Tree:
    branching = Branching(generations=8, step_mm=5.5, steps=3, spread=44, wander=7, smallest_mm=0.5)
    root = (side * 58.0, rng.uniform(-20, 45), rng.uniform(-5, 45))
    heading = (side * rng.uniform(0.2, 1), rng.uniform(-0.7, 0.9), rng.uniform(-0.9, 0.2))
    return grow(root, heading, rng.uniform(2.8, 4.2), branching, rng)


def _slice(plane: Plane, anatomy: _BodyAnatomy) -> Array:
    image = np.full((plane.size, plane.size), AIR, np.float32)
    straight = plane.grid()
    x, y = (place + 3.2 * wave.on(plane) for place, wave in zip(straight, anatomy.warp, strict=True))
    texture, grain = anatomy.texture.on(plane), anatomy.grain.on(plane)
    _paint_table(image, *straight, plane)
    cavity = _paint_wall(image, x, y, plane, texture)
    liver = _paint_organs(image, x, y, plane, cavity, texture + grain)
    _paint_liver(image, plane, anatomy, liver, (x, y))
    _paint_lungs(image, (x, y), plane, anatomy, cavity)
    _paint_vessels(image, x, y, plane)
    _paint_ribs(image, x, y, plane)
    _paint_spine(image, x, y, plane, grain)
    return image


def _paint_table(image: Array, x: Array, y: Array, plane: Plane) -> None:
    arc = ellipsoid(x, y, (0, -139), (330, 277))
    board = np.maximum(np.abs(arc + 6) - 6, np.abs(x) - 165)
    paint(image, coverage(board, plane.pixel_mm), -930)
    paint(image, coverage(np.abs(board) - 0.8, plane.pixel_mm), -250)


def _paint_wall(image: Array, x: Array, y: Array, plane: Plane, texture: Array) -> Array:
    """Skin, fat and muscle; returns the signed distance to the cavity inside."""
    pixel = plane.pixel_mm
    body = smooth_union(ellipsoid(x, y, (0, -2), (163, 110)), ellipsoid(x, y, (0, 30), (140, 88)), 30)
    paint(image, coverage(body, pixel), 20)
    paint(image, coverage(body + 2.2, pixel), FAT + 4 * texture)
    wall = smooth_union(ellipsoid(x, y, (0, -2), (145, 93)), ellipsoid(x, y, (0, 25), (126, 78)), 25)
    cavity = ellipsoid(x, y, (0, -4), (133, 80))
    paint(image, coverage(wall, pixel), MUSCLE + 4 * texture)
    seam = np.abs(wall + 6 + 1.5 * texture) - 0.7
    paint(image, 0.8 * coverage(seam, pixel), FAT)
    for side in (-1, 1):
        for place, radii, angle in (((24, 93), (19, 11), -8), ((48, 86), (15, 9), -25)):
            muscle = ellipsoid(x, y, (side * place[0], place[1]), radii, side * angle)
            paint(image, coverage(muscle - 1.5, pixel), FAT)
            paint(image, coverage(muscle, pixel), MUSCLE + 6 * texture)
    paint(image, coverage(cavity, pixel), FAT + 6 * texture)
    return cavity


def _paint_organs(image: Array, x: Array, y: Array, plane: Plane, cavity: Array, texture: Array) -> Array:
    """Spleen, stomach, kidneys, bowel and the liver's ground; returns the signed distance to the liver."""
    pixel, z = plane.pixel_mm, plane.z
    inner = cavity + 2.5
    for side in (-1, 1):
        kidney = ellipsoid(x, y, (side * 58, 48, -62 - z), (25, 30, 52), side * 25)
        paint(image, coverage(np.maximum(kidney, inner), pixel), 195 + 3 * texture)
        paint(image, coverage(np.maximum(kidney + 9, inner), pixel), 150 + 3 * texture)
        paint(image, coverage(kidney + 17, pixel), FAT + 30)
    spleen = ellipsoid(x, y, (98, 28, -14 - z), (29, 46, 52), 18)
    hilum = ellipsoid(x, y, (68, 22, -14 - z), (17, 24, 30), 18)
    paint(image, coverage(np.maximum(np.maximum(spleen, -hilum), inner), pixel), SPLEEN + 3 * texture)
    stomach = np.maximum(ellipsoid(x, y, (56, -30, -8 - z), (50, 34, 60), -12), inner)
    paint(image, coverage(stomach, pixel), 62 + 3 * texture)
    paint(image, coverage(stomach + 3.5, pixel), WATER + 6 * texture)
    gas = np.maximum(stomach + 3.5, y + 42)
    paint(image, coverage(gas, pixel), -980)
    colon = np.maximum(ellipsoid(x, y, (102, -22, -30 - z), (17, 20, 34), 20), inner)
    paint(image, coverage(colon, pixel), 50)
    paint(image, coverage(colon + 2.5, pixel), -60 + 45 * texture)
    paint(image, coverage(np.maximum(colon + 2.5, y + 26), pixel), -970)
    right = ellipsoid(x, y, (-66, -8, -24 - z), (82, 72, 100), -8)
    left = ellipsoid(x, y, (6, -50, -18 - z), (58, 24, 60), 10)
    liver = np.maximum(smooth_union(right, left, 14), inner)
    notch = ellipsoid(x, y, (-14, 8), (17, 30), 30)
    liver = np.maximum(liver, -notch)
    paint(image, coverage(liver, pixel), LIVER + 2.5 * texture)
    return liver


def _paint_liver(
    image: Array, plane: Plane, anatomy: _BodyAnatomy, liver: Array, warped: tuple[Array, Array]
) -> None:
    inside = coverage(liver + 1, plane.pixel_mm)
    for index, tree in enumerate(anatomy.liver_trees):
        paint(image, inside * cut(tree, plane, SLICE_MM), 168 if index < 2 else 150)
    for centre, radius, hu in anatomy.lesions:
        place = (centre[0], centre[1], centre[2] - plane.z)
        lesion = ellipsoid(*warped, place, (radius, 0.85 * radius, radius), 30)
        paint(image, inside * coverage(lesion, plane.pixel_mm, 1.5), hu)


def _paint_lungs(
    image: Array, warped: tuple[Array, Array], plane: Plane, anatomy: _BodyAnatomy, cavity: Array
) -> None:
    x, y = warped
    pixel, z = plane.pixel_mm, plane.z
    domes = np.minimum(
        ellipsoid(x, y, (-56, -18, -52 - z), (84, 71, 78)), ellipsoid(x, y, (58, -18, -58 - z), (80, 68, 80))
    )
    middle = smooth_union(ellipsoid(x, y, (0, -20), (48, 62)), ellipsoid(x, y, (0, 52), (31, 30)), 20)
    lung = np.maximum(np.maximum(cavity + 1, -(domes - 2)), -middle)
    inside = coverage(lung, pixel)
    paint(image, coverage(lung - 1.5, pixel) - inside, MUSCLE)
    # Gravity: the lung of a patient on the back is denser behind.
    density = LUNG + 70 * np.clip((y + 60) / 140, 0, 1) + 12 * anatomy.texture.on(plane)
    paint(image, inside, density.astype(np.float32))
    for tree in anatomy.lung_trees:
        paint(image, inside * cut(tree, plane, SLICE_MM), 45)
    fissure = np.abs(ellipsoid(x, y, (0, -70), (150, 112))) - 0.3
    paint(image, 0.35 * inside * coverage(fissure, pixel, 1.0), -500)


def _paint_vessels(image: Array, x: Array, y: Array, plane: Plane) -> None:
    pixel, z = plane.pixel_mm, plane.z
    heart = ellipsoid(x, y, (20, -46, 58 - z), (60, 36, 48), -15)
    paint(image, coverage(heart - 3, pixel), FAT)
    paint(image, coverage(heart, pixel), 125)
    paint(image, coverage(ellipsoid(x, y, (34, -42, 58 - z), (34, 18, 38), -15), pixel), 240)
    paint(image, coverage(ellipsoid(x, y, (-14, -44, 60 - z), (20, 22, 38), 10), pixel), 200)
    gullet = ellipsoid(x, y, (4, 14), (9, 6), 20)
    paint(image, coverage(gullet, pixel), 50)
    paint(image, coverage(ellipsoid(x, y, (5, 13), (2.2, 1.4)), pixel), -600)
    cava = ellipsoid(x, y, (-25, 20), (14, 10.5), -20)
    paint(image, coverage(cava, pixel), 165)
    aorta = ellipsoid(x, y, (17 + 0.02 * z, 30), (12, 11.5))
    paint(image, coverage(aorta - 1.6, pixel), 60)
    paint(image, coverage(aorta, pixel), BLOOD)
    plaque = np.maximum(np.abs(aorta - 0.4) - 0.9, ellipsoid(x, y, (27, 35), (7, 6)))
    paint(image, coverage(plaque, pixel), 900)


def _paint_ribs(image: Array, x: Array, y: Array, plane: Plane) -> None:
    for side in (-1, 1):
        for index, start in enumerate((-62, -38, -14, 10, 32, 53, 70)):
            # Ribs run downwards to the front: from slice to slice they wander along the wall.
            angle = np.deg2rad(start - 0.35 * plane.z)
            centre = (side * 137.5 * np.cos(angle), -4 + 85 * np.sin(angle))
            tangent = np.rad2deg(np.arctan2(85 * np.cos(angle), -side * 137.5 * np.sin(angle)))
            rib = ellipsoid(x, y, centre, (11.0 - 0.5 * index, 4.2), float(tangent))
            if start < -50:
                paint(image, coverage(rib, plane.pixel_mm), 105)
                continue
            paint(image, coverage(rib, plane.pixel_mm), CORTICAL)
            paint(image, coverage(rib + 1.5, plane.pixel_mm), TRABECULAR + 30)


def _paint_spine(image: Array, x: Array, y: Array, plane: Plane, grain: Array) -> None:
    pixel = plane.pixel_mm
    body = np.maximum(ellipsoid(x, y, (0, 54), (22, 18)), -ellipsoid(x, y, (0, 78), (11, 9)))
    arch = np.abs(ellipsoid(x, y, (0, 79), (13, 11))) - 2.6
    bones = smooth_union(arch, capsule(x, y, (0, 90), (0, 104), 2.6), 5)
    for side in (-1, 1):
        bones = smooth_union(bones, capsule(x, y, (side * 12, 80), (side * 34, 86), 3.4), 5)
        bones = smooth_union(bones, capsule(x, y, (side * 13, 64), (side * 14, 78), 3.4), 4)
    bones = smooth_union(bones, body, 3)
    canal = ellipsoid(x, y, (0, 79), (10, 8.2))
    paint(image, coverage(bones, pixel), CORTICAL)
    paint(image, coverage(bones + 1.7, pixel), TRABECULAR + 22 * grain)
    paint(image, coverage(canal, pixel), WATER)
    paint(image, coverage(ellipsoid(x, y, (0, 79), (5.5, 4.2)), pixel), 42)
    screw = capsule(x, y, (16, 82), (5, 50), 2.6)
    if abs(plane.z) < 5:
        paint(image, coverage(screw, pixel), METAL)

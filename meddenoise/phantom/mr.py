"""MR phantom: T1-weighted axial slices through a head, in arbitrary units with white matter near 1000."""

from dataclasses import dataclass

import numpy as np

from meddenoise.phantom.shapes import Array, Plane, Waves, capsule, coverage, ellipsoid, paint, smooth_union

FIELD_MM = 220.0
SLICE_MM = 3.0

AIR, BONE, MARROW, FLUID, GREY, WHITE, MUSCLE, FAT, SKIN = 6, 70, 420, 230, 640, 1000, 480, 1350, 600
DEEP_GREY = 760
_SULCUS_MM = 0.55
_CORTEX_MM = 2.9


@dataclass(frozen=True, slots=True)
class _HeadAnatomy:
    """Everything random, drawn once for all slices."""

    warp: tuple[Waves, Waves]
    folds: Waves
    depth: Waves
    texture: Waves
    shading: Waves
    lesions: tuple[tuple[tuple[float, float, float], float], ...]
    """Centre and radius, mm."""
    tumour: tuple[float, float, float]


def make_mr(size: int, planes: int, rng: np.random.Generator) -> Array:
    """Slices [N, Y, X], SLICE_MM apart from below upwards, smooth coil shading included."""
    anatomy = _draw_anatomy(rng)
    heights = (np.arange(planes) - (planes - 1) / 2) * SLICE_MM
    return np.stack([_slice(Plane(size, FIELD_MM / size, float(z)), anatomy) for z in heights])


def _draw_anatomy(rng: np.random.Generator) -> _HeadAnatomy:
    lesions = []
    for _ in range(9):
        side = rng.choice((-1, 1))
        place = (side * rng.uniform(17, 34), rng.uniform(-34, 38), rng.uniform(-12, 20))
        lesions.append((place, rng.uniform(1.3, 3.2)))
    return _HeadAnatomy(
        warp=(Waves(95, 24, rng), Waves(95, 24, rng)),
        folds=Waves(18, 160, rng, spread=0.22),
        depth=Waves(26, 60, rng),
        texture=Waves(7, 60, rng),
        shading=Waves(260, 12, rng),
        lesions=tuple(lesions),
        tumour=(float(rng.choice((-1, 1)) * rng.uniform(30, 38)), rng.uniform(18, 34), rng.uniform(-4, 8)),
    )


def _slice(plane: Plane, anatomy: _HeadAnatomy) -> Array:
    image = np.full((plane.size, plane.size), AIR, np.float32)
    x, y = (g + 1.4 * w.on(plane) for g, w in zip(plane.grid(), anatomy.warp, strict=True))
    texture = anatomy.texture.on(plane)
    head = ellipsoid(x, y - 2, (0, 0, -plane.z), (78, 98, 102))
    _paint_scalp(image, head, y, plane, texture)
    brain = ellipsoid(x, y - 2, (0, 0, -plane.z), (66, 85, 84))
    sulcus = _sulcus_distance(x, y, brain, plane, anatomy)
    _paint_brain(image, brain, sulcus, plane, texture)
    _paint_deep(image, x, y, plane, texture)
    _paint_ventricles(image, x, y, plane)
    _paint_lesions(image, x, y, plane, anatomy)
    shading = 1 + 0.12 * anatomy.shading.on(plane) + 0.10 * np.clip(np.hypot(x, y) / 95, 0, 1.2) ** 2
    return (image * shading).astype(np.float32)


def _paint_scalp(image: Array, head: Array, y: Array, plane: Plane, texture: Array) -> None:
    """Skin, fat, muscle, the bright marrow between the dark tables of the skull, and the fluid inside."""
    pixel = plane.pixel_mm
    paint(image, coverage(head, pixel), SKIN)
    paint(image, coverage(head + 1.6, pixel), FAT + 30 * texture)
    temple = 3.5 * np.clip(1 - np.abs(y + 15) / 40, 0, 1)
    paint(image, coverage(head + 5 - 0.4 * temple, pixel), MUSCLE + 20 * texture)
    paint(image, coverage(head + 5.2 + 0.6 * temple, pixel), BONE)
    marrow = np.abs(head + 8.6) - 1.1 - 0.12 * texture
    paint(image, coverage(marrow, pixel), MARROW + 60 * texture)
    paint(image, coverage(head + 11.4, pixel), FLUID)


def _sulcus_distance(x: Array, y: Array, brain: Array, plane: Plane, anatomy: _HeadAnatomy) -> Array:
    """Distance to the nearest fluid cleft: surface, fold, midline or Sylvian fissure, mm.

    Folds lie where a random wave field is zero; each ends at a random depth under the surface.
    """
    deep = 20 + 6 * anatomy.depth.on(plane)
    beyond = np.maximum(-brain - deep, 0)
    folds = np.hypot(anatomy.folds.distance(plane), beyond)
    wiggle = 0.7 * anatomy.texture.on(plane)
    core = np.maximum(ellipsoid(x, y, (0, 2), (30, 42)), 0)
    opening = np.where(np.abs(plane.z) < 45, np.maximum(4 - core, 0) * 3, 0)
    midline = np.hypot(np.abs(x + wiggle), opening)
    clefts = [np.maximum(-brain, 0), folds, midline]
    for side in (-1, 1):
        start, end = (side * 62, -18 - 0.3 * plane.z), (side * 44, 2 - 0.3 * plane.z)
        clefts.append(np.maximum(capsule(x, y, start, end, 0.8), 0) + 0.02 * plane.z**2)
        clefts.append(np.maximum(capsule(x, y, end, (side * 41, 18), 0.5), 0) + 0.02 * plane.z**2)
    nearest: Array = np.minimum.reduce(clefts).astype(np.float32)
    return nearest


def _paint_brain(image: Array, brain: Array, sulcus: Array, plane: Plane, texture: Array) -> None:
    pixel = plane.pixel_mm
    inside = coverage(brain, pixel)
    paint(image, inside * coverage(_SULCUS_MM - sulcus, pixel), GREY + 12 * texture)
    white = coverage(_SULCUS_MM + _CORTEX_MM + 0.35 * texture - sulcus, pixel, 0.5)
    paint(image, inside * white, WHITE + 10 * texture)


def _paint_deep(image: Array, x: Array, y: Array, plane: Plane, texture: Array) -> None:
    """Thalamus, caudate, putamen and the cortex of the insula."""
    pixel, z = plane.pixel_mm, plane.z
    for side in (-1, 1):
        nuclei = (
            ((side * 11, 10, 2 - z), (8.5, 14, 11), side * 20),
            ((side * 13, -20, 6 - z), (5.5, 11, 16), side * -12),
            ((side * 26, -5, -z), (5.5, 16, 13), side * -14),
            ((side * 19.5, -1, -2 - z), (4, 9, 8), side * -18),
        )
        for index, (centre, radii, angle) in enumerate(nuclei):
            value = DEEP_GREY + (90 if index == 3 else 0) - (60 if index == 1 else 0)
            nucleus = ellipsoid(x, y, centre, radii, angle)
            paint(image, coverage(nucleus, pixel, 0.8), value + 15 * texture)


def _paint_ventricles(image: Array, x: Array, y: Array, plane: Plane) -> None:
    pixel, z = plane.pixel_mm, plane.z
    height = 1.0 - min(abs(z - 8) / 26, 1.0)
    if height > 0:
        size = np.sqrt(height)
        for side in (-1, 1):
            horn = capsule(x, y, (side * 5, -14), (side * 11, -30), 4.2 * size)
            body = capsule(x, y, (side * 4.5, -14), (side * 8, 16), (1.2 + 0.18 * max(z, 0)) * size)
            trigone = capsule(x, y, (side * 15, 24), (side * 22, 38), 4.6 * size)
            back = capsule(x, y, (side * 22, 38), (side * 20, 52), 2.2 * size)
            link = capsule(x, y, (side * 8, 16), (side * 15, 24), 2.4 * size)
            front = smooth_union(smooth_union(horn, body, 6), link, 6)
            shape = smooth_union(front, smooth_union(trigone, back, 6), 6)
            paint(image, coverage(shape + 0.8, pixel), FLUID)
    third = ellipsoid(x, y, (0, 5, -z), (1.8, 13, 14))
    paint(image, coverage(third, pixel), FLUID)
    cistern = ellipsoid(x, y, (0, 34, -14 - z), (12, 6, 9))
    paint(image, coverage(cistern, pixel), FLUID)


def _paint_lesions(image: Array, x: Array, y: Array, plane: Plane, anatomy: _HeadAnatomy) -> None:
    """Small dark white-matter lesions, and an enhancing ring with a dark core and oedema."""
    pixel = plane.pixel_mm
    for centre, radius in anatomy.lesions:
        place = (centre[0], centre[1], centre[2] - plane.z)
        lesion = ellipsoid(x, y, place, (radius, 1.5 * radius, radius), 20)
        paint(image, 0.85 * coverage(lesion, pixel, 0.6), 600)
    cx, cy, cz = anatomy.tumour
    tumour = ellipsoid(x, y, (cx, cy, cz - plane.z), (8.5, 7, 8), 25)
    paint(image, 0.7 * coverage(tumour - 4, pixel, 5), 720)
    paint(image, coverage(tumour, pixel), 1280)
    paint(image, coverage(tumour + 2.4, pixel, 0.6), 430)

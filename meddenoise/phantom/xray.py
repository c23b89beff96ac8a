"""X-ray phantom: a frontal chest radiograph, line integrals of attenuation shown on a log scale."""

import numpy as np

from meddenoise.noise.spectrum import detector_mtf, filter_planes, radial_frequency
from meddenoise.phantom.shapes import Array, Plane, Waves, capsule, chord, coverage, ellipsoid, smooth_union
from meddenoise.phantom.vessels import Branching, grow, thickness

FIELD_MM = 380.0
MU_SOFT, MU_BONE, MU_LUNG = 0.0165, 0.036, 0.0040
"""Attenuation at the mean energy of a 120 kV beam behind a patient, per mm."""
SCALE, BARE = 2000.0, 500.0
"""Values are SCALE times the attenuation plus BARE, the value of the bare detector: room for its noise."""
MTF_NYQUIST = 0.3
_MARGIN = 24


def make_xray(size: int, planes: int, rng: np.random.Generator) -> Array:
    """Radiographs [N, Y, X] of SCALE x line integral + BARE, blurred by the detector; a patient each."""
    return np.stack([_radiograph(Plane(size, FIELD_MM / size), rng) for _ in range(planes)])


def exposure(values: Array) -> Array:
    """Relative exposure (0..1] of the detector behind a radiograph."""
    relative: Array = np.exp((np.float32(BARE) - values) / np.float32(SCALE))
    return relative


def attenuation(exposures: Array) -> Array:
    """Radiograph values of relative exposures; what is darker than the log can show is cut."""
    floor = np.float32(1e-5)
    values: Array = -np.log(np.maximum(exposures, floor)) * np.float32(SCALE) + np.float32(BARE)
    return values


def blur(planes: Array) -> Array:
    """Linear exposures as the scintillator passes them on."""
    edges = [(0, 0)] * (planes.ndim - 2) + [(_MARGIN, _MARGIN)] * 2
    wide = np.pad(planes, edges, mode="edge")
    spread = filter_planes(wide, detector_mtf(MTF_NYQUIST)(radial_frequency(*wide.shape[-2:])))
    return spread[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _radiograph(plane: Plane, rng: np.random.Generator) -> Array:
    warp = Waves(160, 24, rng), Waves(160, 24, rng)
    x, y = (g + 3.0 * w.on(plane) for g, w in zip(plane.grid(), warp, strict=True))
    texture = Waves(14, 60, rng).on(plane)
    path = MU_SOFT * _soft_tissue(x, y, texture)
    lungs = _lungs(x, y)
    path -= (MU_SOFT - MU_LUNG) * lungs
    path += MU_SOFT * _lung_vessels(plane, lungs, rng)
    path += _mediastinum(x, y, texture)
    path += (MU_BONE - MU_SOFT) * _bones(x, y, plane, texture)
    return attenuation(blur(np.exp(-np.maximum(path, 0)).astype(np.float32)))


def _soft_tissue(x: Array, y: Array, texture: Array) -> Array:
    """Depth of the body with its contents, mm: thick in the middle, thinner towards the shoulders."""
    trunk = smooth_union(ellipsoid(x, y, (0, 95), (178, 300)), ellipsoid(x, y, (0, -90), (235, 76)), 60)
    neck = ellipsoid(x, y, (0, -190), (50, 90))
    outline = smooth_union(trunk, neck, 50)
    slope = np.clip((np.abs(x) - 70) / 120, 0, 1) * np.clip((60 - y) / 120, 0, 1)
    body = 195 * np.sqrt(np.clip(-outline / 75, 0, 1)) * (1 - 0.5 * slope)
    chest_wall = chord(x, y, (-82, 55), (58, 52, 15), -15) + chord(x, y, (82, 55), (58, 52, 15), 15)
    depth: Array = body + chest_wall + 1.5 * texture * np.clip(body / 50, 0, 1)
    return depth


def _lungs(x: Array, y: Array) -> Array:
    """Depth of air-filled lung, mm: rounded above, hollowed by heart and diaphragm below."""
    total = np.zeros_like(x)
    for side in (-1, 1):
        shape = ellipsoid(x, y, (side * 72, 18), (56, 152), side * -6)
        dome = ellipsoid(x, y, (side * 74, 152 if side < 0 else 162), (92, 74))
        inner = ellipsoid(x, y, (0, 40), (24, 260))
        outline = np.maximum(np.maximum(shape, -dome), -inner)
        if side > 0:
            outline = np.maximum(outline, -ellipsoid(x, y, (26, 64), (62, 50), 32))
            outline = np.maximum(outline, -ellipsoid(x, y, (20, -32), (18, 17)))
        else:
            outline = np.maximum(outline, -ellipsoid(x, y, (-8, 66), (42, 50)))
        # Front and back recesses of the lung reach below the dome: its edge is soft in depth.
        total += 168 * np.sqrt(np.clip(-outline / 34, 0, 1))
        recess = np.maximum(shape + 4, -ellipsoid(x, y, (0, 70), (30, 120)))
        total += 16 * np.sqrt(np.clip(-recess / 30, 0, 1)) * (y < 150)
    return total


def _lung_vessels(plane: Plane, lungs: Array, rng: np.random.Generator) -> Array:
    """Depth of blood in the lung, mm, from the two hila."""
    branching = Branching(generations=7, step_mm=7, steps=3, spread=36, wander=6, smallest_mm=0.5)
    depth = np.zeros((plane.size, plane.size), np.float32)
    for side in (-1, 1):
        for angle in (-75, -45, -15, 15, 40, 65):
            turn = np.deg2rad(angle + rng.uniform(-8, 8))
            heading = (side * np.cos(turn), np.sin(turn), rng.uniform(-0.5, 0.5))
            root = (side * 36.0, 5.0 + 14 * np.sin(turn), 0.0)
            depth += thickness(grow(root, heading, 5.2, branching, rng), plane)
    hila = chord(*plane.grid(), (-40, 8), (11, 19, 9), 15) + chord(*plane.grid(), (40, 0), (11, 18, 9), -15)
    blood: Array = 1.5 * (depth + hila) * np.clip(lungs / 60, 0, 1)
    return blood


def _mediastinum(x: Array, y: Array, texture: Array) -> Array:
    """Attenuation beyond soft tissue: heart and great vessels less, the air of trachea and stomach."""
    heart = 0.22 * (chord(x, y, (26, 64), (62, 50, 50), 32) + chord(x, y, (-10, 62), (32, 44, 40)))
    vessels = 0.3 * (chord(x, y, (20, -32), (18, 17, 20)) + chord(x, y, (-14, -30), (12, 52, 16)))
    trachea = np.maximum(-capsule(x, y, (0, -190), (1, -42), 8.5), 0)
    bronchi = np.maximum(-capsule(x, y, (1, -42), (-28, -14), 6), 0) + np.maximum(
        -capsule(x, y, (1, -42), (30, -8), 5.5), 0
    )
    bubble = np.maximum(chord(x, y, (74, 128), (26, 16, 20), -10), 0)
    path: Array = MU_SOFT * (heart + vessels - 1.3 * (trachea + bronchi) - bubble) + 0.006 * texture
    return path


def _bones(x: Array, y: Array, plane: Plane, texture: Array) -> Array:
    """Equivalent depth of bone, mm."""
    depth = _spine(x, y, texture)
    for side in (-1, 1):
        for index in range(10):
            depth += _rib(x, y, plane, side, index)
        collar = np.minimum(
            capsule(x, y, (side * 14, -122), (side * 70, -138), 5.5),
            capsule(x, y, (side * 70, -138), (side * 150, -150), 6.0),
        )
        depth += _tube(collar, 6.0, 20.0, plane.pixel_mm)
        scapula = np.maximum(
            ellipsoid(x, y, (side * 136, -70), (24, 66), side * 12),
            -ellipsoid(x, y, (side * 116, -84), (12, 60)),
        )
        depth += 5.0 * coverage(scapula, plane.pixel_mm, 1.5)
        depth += 6.0 * coverage(np.abs(scapula) - 1.2, plane.pixel_mm, 1.0)
    return depth


def _rib(x: Array, y: Array, plane: Plane, side: int, index: int) -> Array:
    """One rib: its steep hind part and its fainter front part, as arcs of one flattened ring."""
    top, reach = -128 + 25.0 * index, 66 + 62 * np.sqrt(min(index + 1, 6) / 6)
    across = side * x / reach
    inside = np.clip(across, 0, 1)
    bend = np.sqrt(np.maximum(1 - inside**2, 0))
    hind = np.abs(y - (top + 30 * (1 - bend) + 10 * inside - 16 * np.sin(np.pi * inside))) - 5.0
    front = np.abs(y - (top + 64 + 26 * (1 - inside) - 36 * (1 - bend))) - 5.5
    slope = 1 + 1.3 * np.clip(inside, 0, 0.9) ** 4
    ends = np.maximum(across - 1, 0.14 - across) * reach
    depth = _tube(np.maximum(hind / slope, ends), 5.0, 21.0, plane.pixel_mm)
    if index < 7:
        gap = np.maximum(across - 1, 0.42 - across) * reach
        depth += 0.75 * _tube(np.maximum(front / slope, gap), 5.5, 17.0, plane.pixel_mm)
    return depth


def _spine(x: Array, y: Array, texture: Array) -> Array:
    """Vertebrae with their discs, pedicles and spinous processes."""
    height = 21 + 0.02 * y
    phase = np.mod(y + 300, height) / height
    disc = 1 / (1 + np.exp(-(np.minimum(phase, 1 - phase) - 0.10) * 40))
    edge = np.sqrt(np.clip(1 - (x / (17 + 0.015 * y)) ** 2, 0, 1))
    depth: Array = (10 + 7 * disc + 1.2 * texture) * edge
    for side in (-1, 1):
        ring = np.hypot((x - side * 10) / 4, (phase - 0.42) * height / 5.5)
        depth += 4 * np.exp(-((ring - 1) ** 2) * 5)
    depth += 5 * np.exp(-((x / 3) ** 2) - ((phase - 0.8) * height / 7) ** 2)
    return depth


def _tube(distance: Array, radius: float, wall: float, pixel_mm: float) -> Array:
    """Depth of a hollow bone from the signed distance to its outline: dense at the rims, thin between."""
    middle = np.clip(-distance / radius, 0, 1)
    outer = np.sqrt(np.clip(1 - (1 - middle) ** 2, 0, 1))
    inner = np.sqrt(np.clip(1 - ((1 - middle) / 0.78) ** 2, 0, 1))
    depth: Array = coverage(distance, pixel_mm) * wall * (outer - 0.62 * inner)
    return depth

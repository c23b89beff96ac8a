"""Random scenes with exact truth, drawn anew for every patch: shapes, textures, shading, vessels, discs.

A dead-leaves image (opaque shapes that hide each other, sizes by a power law) has the edges and the scale
statistics of real images and no noise at all, so that a network trained on it learns what an edge is and
nothing about leaving noise. Source: Lee, Mumford, Huang 2001, IJCV 41 (dead leaves); Achddou, Gousseau,
Ladjal 2021 (as training images for restoration).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.spectrum import filter_planes, radial_frequency
from meddenoise.series import Image

SUPERSAMPLED = 2
"""Shapes are drawn on a finer grid and averaged, so that their edges are anti-aliased."""
SMALLEST_LEAF = 2.0
"""Least radius of a shape in pixels."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """Coordinates [N, N] in pixels of the finer grid."""

    y: Image
    x: Image

    @classmethod
    def of(cls, side: int) -> "_Grid":
        t = np.arange(side, dtype=np.float32)
        return cls(np.repeat(t[:, None], side, 1), np.repeat(t[None], side, 0))


def draw_scene(side: int, rng: np.random.Generator) -> Image:
    """A scene [side, side] without noise, about 0..255: a few large parts up to many small ones."""
    fine = side * SUPERSAMPLED
    grid = _Grid.of(fine)
    palette = rng.uniform(0, 255, int(rng.integers(3, 9))).astype(np.float32)
    image = np.full((fine, fine), rng.choice(palette), np.float32)
    if rng.random() < 0.5:
        image += _texture(fine, rng)
    for _ in range(int(np.exp(rng.uniform(np.log(2), np.log(50))))):
        _add_leaf(image, grid, palette, rng)
    if rng.random() < 0.4:
        image *= _shading(grid, fine, rng)
    image = image.reshape(side, SUPERSAMPLED, side, SUPERSAMPLED).mean(axis=(1, 3))
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.4 else 0):
        _add_vessel(image, rng)
    for _ in range(int(rng.integers(1, 5)) if rng.random() < 0.4 else 0):
        _add_disc(image, rng)
    if rng.random() < 0.6:  # the point spread of a scanner
        image = _blurred(image, float(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.3:  # a magnitude image, or air: nothing outside
        image = np.maximum(image - np.float32(rng.uniform(10, 80)), 0)
    return image.astype(np.float32)


def _add_leaf(image: Image, grid: _Grid, palette: Image, rng: np.random.Generator) -> None:
    """An opaque ellipse, polygon or half plane; its own grey, gradient and texture."""
    side = len(image)
    least, most = SMALLEST_LEAF * SUPERSAMPLED, side / 1.5
    u = rng.random()
    radius = (least**-1 * (1 - u) + most**-1 * u) ** -1  # density as r^-2: between large parts and detail
    cy, cx = rng.uniform(0, side, 2)
    reach = int(np.ceil(2 * radius))
    rows = slice(max(0, int(cy) - reach), min(side, int(cy) + reach + 1))
    columns = slice(max(0, int(cx) - reach), min(side, int(cx) + reach + 1))
    y, x = grid.y[rows, columns] - np.float32(cy), grid.x[rows, columns] - np.float32(cx)
    inside = _shape(y, x, radius, rng)
    value = np.float32(rng.choice(palette) + rng.normal(0, 6))
    leaf = np.full(y.shape, value, np.float32)
    if rng.random() < 0.3:
        a, b = rng.normal(0, 25 / radius, 2)
        leaf += np.float32(a) * y + np.float32(b) * x
    if rng.random() < 0.35 and min(y.shape) > 8:
        leaf += _texture(side, rng)[rows, columns]
    image[rows, columns] = np.where(inside, leaf, image[rows, columns])


def _shape(y: Image, x: Image, radius: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    angle, flat = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = c * x + s * y, (c * y - s * x) / np.float32(flat)
    if rng.random() < 0.5:
        inside: NDArray[np.bool_] = u * u + v * v < radius**2
        return inside
    # A convex polygon: the common part of some half planes around the centre.
    corners = int(rng.integers(3, 8))
    turns = 2 * np.pi * (np.arange(corners) + rng.uniform(0, 0.6, corners)) / corners
    inside = np.ones(u.shape, bool)
    for turn in turns:
        inside &= np.float32(np.cos(turn)) * u + np.float32(np.sin(turn)) * v < 0.7 * radius
    return inside


def _texture(side: int, rng: np.random.Generator) -> Image:
    """A random field: fractal, or of one scale and direction as trabeculae and fibres are."""
    white = rng.standard_normal((side, side), np.float32)
    f = radial_frequency(side, side)
    if rng.random() < 0.5:
        gain = (f + np.float32(1 / side)) ** np.float32(-rng.uniform(1.2, 2.2))
    else:
        fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
        angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 6)
        u, v = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
        centre = rng.uniform(0.02, 0.14)
        gain = np.exp(-(((np.hypot(u, stretch * v) - centre) / (0.4 * centre)) ** 2)).astype(np.float32)
    field = filter_planes(white, gain.astype(np.float32))
    amplitude = np.exp(rng.uniform(np.log(1.5), np.log(25)))
    scaled: Image = (field * np.float32(amplitude / max(float(field.std()), 1e-6))).astype(np.float32)
    return scaled


def _shading(grid: _Grid, side: int, rng: np.random.Generator) -> Image:
    """Coil sensitivity, heel effect: a slow factor about 1."""
    y, x = 2 * grid.y / side - 1, 2 * grid.x / side - 1
    a, b, c, d = rng.normal(0, 0.2, 4)
    shading: Image = np.exp(a * x + b * y + c * x * y + d * (x * x + y * y - 0.67)).astype(np.float32)
    return shading


def _add_vessel(image: Image, rng: np.random.Generator) -> None:
    """A smooth tube across the scene, darker or brighter, as absorption adds up."""
    side = len(image)
    count = 2 * side
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(np.cumsum(rng.normal(0, 0.004, count)))
    path = np.cumsum(np.stack([np.sin(heading), np.cos(heading)]), axis=1)
    path += rng.uniform(0, side, 2)[:, None] - path[:, count // 2, None]
    points = path[:, ::2]
    points = points[:, (points > -8).all(axis=0) & (points < side + 8).all(axis=0)].astype(np.float32)
    if points.shape[1] == 0:
        return
    t = np.arange(side, dtype=np.float32)
    squares = (t[:, None] - points[0]) ** 2  # [side, points]
    across = (t[:, None] - points[1]) ** 2
    least = np.full((side, side), np.inf, np.float32)
    for k in range(points.shape[1]):
        np.minimum(least, squares[:, k, None] + across[None, :, k], out=least)
    radius = np.exp(rng.uniform(np.log(0.7), np.log(6)))
    depth = np.sqrt(np.maximum(radius**2 - least, 0)) / radius
    image += np.float32(rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(4), np.log(80)))) * depth


def _add_disc(image: Image, rng: np.random.Generator) -> None:
    """A faint disc with a soft edge: the low contrast that must survive."""
    side = len(image)
    t = np.arange(side, dtype=np.float32)
    cy, cx = rng.uniform(0, side, 2).astype(np.float32)
    distance = np.sqrt((t[:, None] - cy) ** 2 + (t[None] - cx) ** 2)
    radius, soft = rng.uniform(2, 14), rng.uniform(0.3, 1.5)
    contrast = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(1), np.log(20)))
    image += np.float32(contrast) / (1 + np.exp(np.clip((distance - np.float32(radius)) / soft, -30, 30)))


def _blurred(image: Image, kernel_px: float) -> Image:
    pad = 8
    padded = np.pad(image, pad, mode="reflect")
    gain = np.exp(-2 * (np.pi * kernel_px * radial_frequency(*padded.shape)) ** 2).astype(np.float32)
    blurred: Image = filter_planes(padded.astype(np.float32), gain)[pad:-pad, pad:-pad]
    return blurred

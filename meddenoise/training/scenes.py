"""Scenes with exact truth, drawn at random: shapes, edges, lines and textures without any noise."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.noise.spectrum import coloured_noise
from meddenoise.phantom import PHANTOMS, make_phantom

Image = NDArray[np.float32]

FIRST_SEED = 100_000
"""Phantoms to learn from have seeds from here on, which no benchmark uses."""
PHANTOM_SIZES = 144, 192, 256


def draw_scene(size: int, rng: np.random.Generator) -> Image:
    """A plane [size, size] of values from 0 to 255: a shaded ground with shapes, some of them textured."""
    image = _shading(size, rng) * np.float32(rng.uniform(0, 40)) + np.float32(rng.uniform(0, 160))
    for _ in range(int(rng.integers(2, 24))):
        inside = _shape(size, rng)
        value = np.float32(rng.uniform(0, 255)) + _texture(size, rng)
        image += inside * (value - image)
    if rng.random() < 0.5:
        image = gaussian_filter(image, rng.uniform(0.3, 1.2))
    scene: Image = np.clip(image, 0, 255).astype(np.float32)
    return scene


def draw_phantom(index: int) -> tuple[Image, str]:
    """A plane of a phantom, its range from 0 to 255, and its modality; the same for the same index."""
    rng = np.random.default_rng(FIRST_SEED + index)
    name = list(PHANTOMS)[index % len(PHANTOMS)]
    size = int(rng.choice(PHANTOM_SIZES))
    phantom = make_phantom(name, size=size, planes=1, seed=FIRST_SEED + index)
    plane = phantom.truth[0]
    low = -1000.0 if name == "ct" else 0.0
    span = 2000.0 if name == "ct" else float(np.percentile(plane, 99.9))
    return ((plane - np.float32(low)) * np.float32(255 / span)).astype(np.float32), phantom.kind.modality


def _shading(size: int, rng: np.random.Generator) -> Image:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    a, b, c = rng.normal(size=3).astype(np.float32)
    shading: Image = a * x + b * y + c * x * y
    return shading


def _shape(size: int, rng: np.random.Generator) -> Image:
    """How far each pixel is inside an ellipse, a polygon or a line, 0 to 1, its edge a pixel wide."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    centre, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
    u = np.cos(angle) * (x - centre[0]) + np.sin(angle) * (y - centre[1])
    v = np.cos(angle) * (y - centre[1]) - np.sin(angle) * (x - centre[0])
    kind = rng.random()
    if kind < 0.45:
        a, b = np.exp(rng.uniform(np.log(1.5), np.log(size / 2), 2))
        depth = (1 - np.hypot(u / a, v / b)) * min(a, b)
    elif kind < 0.75:
        depth = np.full_like(u, np.inf)
        for _ in range(int(rng.integers(3, 7))):
            turn, reach = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(2), np.log(size / 2)))
            depth = np.minimum(depth, reach - np.cos(turn) * u - np.sin(turn) * v)
    else:
        bend, width = rng.normal(0, 1 / size), np.exp(rng.uniform(np.log(0.4), np.log(6)))
        depth = width - np.abs(v + bend * u * u)
    inside: Image = np.clip(depth + 0.5, 0, 1).astype(np.float32)
    return inside * np.float32(rng.uniform(0.3, 1))


def _texture(size: int, rng: np.random.Generator) -> Image:
    """Nothing, waves of one length, or a field whose power falls steeply with the frequency."""
    kind, height = rng.random(), np.float32(np.exp(rng.uniform(np.log(0.5), np.log(40))))
    if kind < 0.4:
        return np.zeros((size, size), np.float32)
    if kind < 0.6:
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        angle, length = rng.uniform(0, np.pi), rng.uniform(2.5, 20)
        waves: Image = np.sin(2 * np.pi / length * (np.cos(angle) * x + np.sin(angle) * y))
        return height * waves
    slope, soft = rng.uniform(1.2, 2.5), rng.uniform(0.05, 0.3)

    def amplitude(f: Image) -> Image:
        falling: Image = (np.maximum(f, 0.01) ** -slope * np.exp(-((f / soft) ** 2))).astype(np.float32)
        return falling

    return height * coloured_noise((size, size), amplitude, rng)

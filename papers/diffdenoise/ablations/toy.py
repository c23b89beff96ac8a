"""Small synthetic images: ellipses, thin lines and gradients, with one noise realisation each."""

from dataclasses import dataclass

import numpy as np

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.spectrum import coloured_noise, gaussian_amplitude, mean_power, radial_frequency
from meddenoise.series import Image
from meddenoise.training.data.noisy import NoisyImage
from meddenoise.training.spectra import bands_of

GREYS = 127.5
"""Half of the 255 units of an image, which stand for -1..1."""
SOURCE = "images"
GRID = 128


@dataclass(frozen=True)
class ToyImages:
    """Planes [N, H, W] with one noise realisation each, in 255ths; `clean` is for evaluation alone."""

    clean: Image
    noisy: Image
    noise: NoiseEstimate

    def images(self, rho: int = 0) -> list[NoisyImage]:
        """The images that training may see."""
        return [
            NoisyImage(plane, self.noise, "", SOURCE, str(number), rho)
            for number, plane in enumerate(self.noisy)
        ]


def draw_images(count: int, side: int, seed: int) -> Image:
    """Clean planes [count, side, side] in 0..255: a gradient, two to five ellipses, one to three lines."""
    rng = np.random.default_rng((seed, side))
    return np.stack([_draw(side, rng) for _ in range(count)])


def add_noise(clean: Image, sigma: float, kernel: float, seed: int) -> ToyImages:
    """Normal noise of `sigma` 255ths, white or blurred by a Gaussian of `kernel` pixels."""
    rng = np.random.default_rng((seed, 7))
    amplitude = gaussian_amplitude(kernel)
    noise = np.float32(sigma) * coloured_noise(clean.shape, amplitude, rng)
    bands = WHITE
    if kernel:
        spectrum = amplitude(radial_frequency(GRID, GRID))
        bands = bands_of(spectrum / np.sqrt(mean_power(spectrum, GRID)))
    return ToyImages(clean, clean + noise, NoiseEstimate(sigma, bands))


def _draw(side: int, rng: np.random.Generator) -> Image:
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    slope = rng.uniform(-0.4, 0.4, 2)
    plane = rng.uniform(-0.4, 0.2) + slope[0] * x + slope[1] * y
    for _ in range(rng.integers(2, 6)):
        plane = plane + rng.uniform(-0.7, 0.7) * _ellipse(x, y, side, rng)
    for _ in range(rng.integers(1, 4)):
        plane = plane + rng.uniform(-0.8, 0.8) * _line(x, y, side, rng)
    greys: Image = (GREYS * (1 + np.clip(plane, -1, 1))).astype(np.float32)
    return greys


def _ellipse(x: Image, y: Image, side: int, rng: np.random.Generator) -> Image:
    """1 inside, 0 outside, an edge of one pixel."""
    a, b, angle = rng.uniform(0.15, 0.7), rng.uniform(0.15, 0.7), rng.uniform(0, np.pi)
    dx, dy = x - rng.uniform(-0.7, 0.7), y - rng.uniform(-0.7, 0.7)
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    inside = (1 - np.hypot(u / a, v / b)) * min(a, b)
    edge: Image = np.clip(0.5 + inside * side / 2, 0, 1)
    return edge


def _line(x: Image, y: Image, side: int, rng: np.random.Generator) -> Image:
    """A line across the plane, one to two pixels wide."""
    angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.7, 0.7)
    distance = np.abs(x * np.cos(angle) + y * np.sin(angle) - offset) * side / 2
    line: Image = np.clip(0.5 + rng.uniform(0.5, 1.0) - distance, 0, 1)
    return line

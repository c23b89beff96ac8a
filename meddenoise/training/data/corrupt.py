"""Degraded patches for Med-cDiff: noise and impulses, a coarser grid, or a hole, with its description.

Patches are clean in network units, [-1, 1] for the window of their image: [H, W] float32. What comes back is
the condition [C, H, W] of `methods.medcdiff`. The patch's own noise and its modality change only noise.
"""

import math

import numpy as np
import torch
from torch.nn import functional

from meddenoise.methods.medcdiff import LEAST_BAND
from meddenoise.noise import WHITE
from meddenoise.noise.models import ImpulseNoise
from meddenoise.noise.simulate import simulate
from meddenoise.noise.spectrum import filter_planes, white_noise
from meddenoise.series import Image
from meddenoise.training.spectra import bands_of, draw_amplitude

NOISE = (0.02, 0.15)
"""Standard deviations of the Gaussian noise, relative to the range; half of all patches."""
WEAK = 0.004
"""From here on, log-uniform, those of the other half: a network that never saw weak noise invents it."""
NOISELESS = 0.1
"""Share of patches that have no Gaussian noise: where there are impulses, there may be nothing else."""
IMPULSES = 0.05
"""Largest share of pixels that are impulses, dark or bright; half of the patches have some."""
TOLD_ERROR = 0.2
"""Standard deviation of log(told level / true level)."""
CORRELATED = 0.5
"""Share of patches whose noise is correlated."""
UNTOLD, BAND_ERROR = 0.15, 0.15
"""Share of these whose spectrum is told as white, which may be all that is known; and the standard deviation
of log(told band / true band) of the others."""
FACTORS = tuple(2 ** (k / 2) for k in range(2, 9))
"""2 to 16: the paper's factors of super-resolution, 2 sqrt(2) to 16, and 2."""
FINEST = math.log2(FACTORS[-1])
PLAIN = 0.1
"""Share of patches drawn by `draw_plain` in place of anatomy."""
DENSEST = 3.1
"""Largest value of plain patches: 3,100 HU in the window of CT, past which scanners store nothing."""
COVERED = (0.05, 0.25)
"""Share of a patch that a hole covers."""


def draw_plain(side: int, rng: np.random.Generator) -> tuple[Image, float]:
    """An even patch of any level [side, side], mostly with an even disc; and the noise level given for it.

    A network that has never seen even fields, air, contrast medium, metal, invents a pattern in them. That
    noise is given where there is none, it has to learn too: images come with dark borders and burnt fields.
    """
    levels = np.where(rng.random(2) < 0.7, rng.uniform(-1.1, 1.1, 2), rng.uniform(1.0, DENSEST, 2))
    faint = levels[0] + rng.normal(0, 0.1)
    rows, columns = np.ogrid[:side, :side]
    disc = np.hypot(rows - rng.uniform(0, side), columns - rng.uniform(0, side)) < side * rng.uniform(0, 0.5)
    plain = np.where(disc, faint if rng.random() < 0.5 else levels[1], levels[0]).astype(np.float32)
    return plain, 2 * _draw_level(rng) if rng.random() < 0.3 else 0.0


def degrade_noisy(clean: Image, rng: np.random.Generator, own: float = 0.0, modality: str = "") -> Image:
    """Gaussian noise, white or with a spectrum of the modality, then impulses; [2 + 4, H, W].

    Told are the level of the Gaussian noise, with the clean patch's `own`, and log2 of its amplitude in each
    radial band relative to white noise, 0 where it is white.
    Source: Hung et al. 2023 (Med-cDiff), section 3, which gives no levels.
    """
    level, bands = 2 * _draw_level(rng), np.zeros(len(WHITE))
    noise = white_noise(clean.shape, rng)
    if rng.random() < CORRELATED:
        amplitude = draw_amplitude(clean.shape, modality, rng)
        noise = filter_planes(noise, amplitude)
        if rng.random() >= UNTOLD:
            bands = np.log2(np.maximum(bands_of(amplitude), LEAST_BAND)) + rng.normal(
                0, BAND_ERROR / math.log(2), len(WHITE)
            )
    noisy = clean + np.float32(level) * noise
    if rng.random() < 0.5:
        noisy, _ = simulate(noisy, [ImpulseNoise(rng.uniform(0, IMPULSES), low=-1, high=1)], rng)
    told = math.hypot(level, own) * math.exp(rng.normal(0, TOLD_ERROR))
    planes = [np.full_like(clean, value) for value in (told, *bands)]
    return np.stack([noisy, *planes]).astype(np.float32)


def _draw_level(rng: np.random.Generator) -> float:
    if (kind := rng.random()) < 0.5:
        return float(rng.uniform(*NOISE))
    return 0.0 if kind > 1 - NOISELESS else math.exp(rng.uniform(math.log(WEAK), math.log(NOISE[1])))


def degrade_coarse(clean: Image, rng: np.random.Generator, own: float = 0.0, modality: str = "") -> Image:
    """Area-averaged onto a coarser grid and back by a bicubic spline; conditioned on log2 of the factor.

    Source: Hung et al. 2023 (Med-cDiff), section 3.
    """
    side = max(2, round(clean.shape[0] / float(rng.choice(FACTORS))))
    image = torch.from_numpy(clean)[None, None]
    coarse = functional.interpolate(image, size=(side, side), mode="area")
    again = functional.interpolate(coarse, size=clean.shape, mode="bicubic", align_corners=False)
    told = np.full_like(clean, math.log2(clean.shape[0] / side) / FINEST)
    return np.stack([again[0, 0].numpy(), told])


def degrade_holed(clean: Image, rng: np.random.Generator, own: float = 0.0, modality: str = "") -> Image:
    """One to three rectangles, or brush strokes, cut out; conditioned on their mask.

    Source: Hung et al. 2023 (Med-cDiff), section 3, which gives no shapes.
    """
    wanted = rng.uniform(*COVERED)
    hole = np.zeros(clean.shape, np.float32)
    draw = _rectangle if rng.random() < 0.5 else _stroke
    for left in range(int(rng.integers(1, 4)), 0, -1):
        draw(hole, (wanted - float(hole.mean())) * (rng.uniform(0.4, 0.8) if left > 1 else 1.0), rng)
    return np.stack([clean * (1 - hole), hole])


def _rectangle(hole: Image, share: float, rng: np.random.Generator) -> None:
    """A rectangle of that share of the pixels, or less where it meets another."""
    area = max(share, 0.0) * hole.size
    stretch = math.exp(rng.uniform(-0.7, 0.7))
    sides = [
        min(length - 2, max(4, round(math.sqrt(area) * factor)))
        for length, factor in zip(hole.shape, (stretch, 1 / stretch), strict=True)
    ]
    y, x = (int(rng.integers(length - side + 1)) for length, side in zip(hole.shape, sides, strict=True))
    hole[y : y + sides[0], x : x + sides[1]] = 1


def _stroke(hole: Image, share: float, rng: np.random.Generator) -> None:
    """A walk of a round brush that turns slowly, until that share of the pixels is added."""
    height, width = hole.shape
    rows, columns = np.ogrid[:height, :width]
    radius = rng.uniform(0.02, 0.06) * height
    y, x, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, 2 * np.pi)
    covered = hole.mean() + share
    for _ in range(200):
        hole[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 1
        if hole.mean() >= covered:
            return
        angle += rng.normal(0, 0.5)
        y, x = (y + radius * np.sin(angle)) % height, (x + radius * np.cos(angle)) % width

"""Lesion survival: small discs put into the input, just above its noise, and what a method leaves of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter

from meddenoise.engine.planes import MiddlePlane
from meddenoise.metrics import UndefinedError
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import unit_noise
from meddenoise.series import Image

Denoise = Callable[[Image], Image]
"""A noisy plane [Y, X] -> the clean one; every call draws the same noise."""

DETECTABILITY = 8.0
"""Contrast over the standard deviation that noise gives the mean of such a disc. Rose (1948) found 5 to be
the least that eyes find with certainty."""
RADII_PX = (2.5, 4.0)
APART_PX = 24
FEWEST = 4
"""Discs below which nothing is told."""
MOST = 24
QUIET = 0.5
"""Share of the places, the smoothest ones, that discs are put into."""
BACKGROUND = 0.2
"""Share of the range of brightness that counts as background."""
SEED = 0
_DRAWS = 4


@dataclass(frozen=True, slots=True)
class Survival:
    """Median share of their contrast that the discs keep, their number and mean contrast in the unit."""

    share: float
    discs: int
    contrast: float


def survival(denoise: Denoise, scene: MiddlePlane, clean: Image, noise: NoiseEstimate) -> Survival:
    """Share that `denoise` leaves of discs of known contrast and size; `clean` is its result without them.

    The noise is the same in both runs, so that one run with all discs suffices. Bright and dark discs and
    both radii alternate. Raises UndefinedError where too few fit into smooth parts of the image.
    """
    places = _places(scene, clean, 4 * noise.sigma if noise.model == "rician" else -np.inf)
    if len(places) < FEWEST:
        raise UndefinedError("too few smooth places for discs in the image")
    discs = _draw(scene, places, noise)
    change = denoise(scene.plane + sum(contrast * shape for contrast, shape in discs)) - clean
    kept = [float(_contrast(change, disc) / (size * _contrast(disc, disc))) for size, disc in discs]
    contrast = float(np.mean([abs(contrast) for contrast, _ in discs]))
    return Survival(float(np.median(kept)), len(discs), contrast)


def _places(scene: MiddlePlane, clean: Image, least: float) -> list[tuple[int, int]]:
    """Centres on a grid, APART_PX apart, away from the borders and from edges of the result."""
    if min(clean.shape) < 2 * APART_PX:
        return []
    margin, sigma, valid = APART_PX // 2, scene.sigma[0], scene.valid[0]
    usable = binary_erosion(valid & (sigma > 0), iterations=margin)
    low, high = np.quantile(clean[valid], (0.01, 0.99)) if valid.any() else (0.0, 0.0)
    # in the air around a patient are no lesions, and magnitudes near 0 hide dark ones
    usable &= (clean > low + BACKGROUND * (high - low)) & (clean > least)
    slope = gaussian_filter(np.hypot(*np.gradient(gaussian_filter(clean, 1.5))), margin / 2)
    relative = np.divide(slope, sigma, out=np.full_like(slope, np.inf), where=sigma > 0)
    rows, columns = (range(margin, size - margin, APART_PX) for size in clean.shape)
    grid = [(y, x) for y in rows for x in columns if usable[y, x]]
    ranked = sorted(grid, key=lambda place: float(relative[place]))
    chosen = ranked[: max(FEWEST, round(QUIET * len(ranked)))]
    step = max(1, len(chosen) // MOST)
    return sorted(chosen[::step][:MOST])


def _draw(
    scene: MiddlePlane, places: list[tuple[int, int]], noise: NoiseEstimate
) -> list[tuple[float, Image]]:
    """Contrast and shape [Y, X] of every disc, soft at its border."""
    rows, columns = np.indices(scene.plane.shape, np.float32)
    rng = np.random.default_rng(SEED)
    discs = []
    spreads = {radius: disc_spread(noise, radius, rng) for radius in RADII_PX}
    for number, (y, x) in enumerate(places):
        radius = RADII_PX[number // 2 % 2]
        shape = np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0, 1).astype(np.float32)
        contrast = (-1) ** number * DETECTABILITY * spreads[radius] * float(scene.sigma[0, y, x])
        discs.append((contrast, shape))
    return discs


def disc_spread(noise: NoiseEstimate, radius: float, rng: np.random.Generator) -> float:
    """Standard deviation of the mean over a disc less the mean around it, in noise of level 1."""
    side = APART_PX + 1
    rows, columns = np.indices((side, side), np.float32) - side // 2
    shape = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return float(np.std(_contrast(unit_noise(noise, (_DRAWS * 32, side, side), rng), shape)))


def _contrast(planes: Image, shape: Image) -> NDArray[np.floating]:
    """Mean of planes [..., Y, X] under a disc less the mean of the ring around it."""
    inner = shape > 0.5
    radius = np.sqrt(np.count_nonzero(inner) / np.pi)
    rows, columns = np.nonzero(shape > 0)
    y, x = rows.mean(), columns.mean()
    top, left = (max(0, round(centre - APART_PX / 2)) for centre in (y, x))
    part = (slice(top, top + APART_PX + 1), slice(left, left + APART_PX + 1))
    grid = np.hypot(
        *np.meshgrid(
            np.arange(part[0].start, min(part[0].stop, shape.shape[0])) - y,
            np.arange(part[1].start, min(part[1].stop, shape.shape[1])) - x,
            indexing="ij",
        )
    )
    ring = (grid > radius + 2) & (grid < radius + 5)
    cut = planes[..., *part]
    contrast: NDArray[np.floating] = cut[..., inner[part]].mean(axis=-1) - cut[..., ring].mean(axis=-1)
    return contrast

"""Spots and edges in what was removed, held against simulated noise."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates

from meddenoise.metrics.flat import Places, find_places
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import unit_noise
from meddenoise.noise.spectrum import filter_planes, radial_frequency
from meddenoise.series import Image, Mask

SCALES = (1.5, 3.0)
"""Widths of the spots that are looked for, in pixels; discs of 5 to 12 pixels answer to them."""
SURROUND = 3.0
"""A spot is what stands out from a surround this many times as wide."""
EDGE_SHARE = 0.1
"""The steepest tenth of the pixels counts as edges."""
REACH = 4
"""Pixels to either side along an edge."""
DRAWS = 8
"""Simulated noise fields."""
SEED = 0


@dataclass(frozen=True, slots=True)
class FoundSpots:
    """Scores of one plane, each over what noise alone gives: CHECKS of these names."""

    structure_lost: float
    structure_invented: float
    edges_lost: float


@dataclass(frozen=True, slots=True)
class Null:
    """Noise of level 1 as simulated, [DRAWS, Y, X], and its spots, the same for each of SCALES."""

    noises: Image
    spots: tuple[Image, ...]


def simulate_null(noise: NoiseEstimate, shape: tuple[int, ...]) -> Null:
    """Statistics of planes [Y, X] of `shape` if nothing but noise with this spectrum was removed."""
    noises = unit_noise(noise, (DRAWS, *shape), np.random.default_rng(SEED))
    frequency = radial_frequency(shape[0], shape[1])
    return Null(noises, tuple(filter_planes(noises, _transfer(frequency, scale)) for scale in SCALES))


def find_structure(before: Image, removed: Image, inside: Mask, null: Null) -> FoundSpots:
    """Structure of the plane `before` [Y, X] in `removed`; all in units of the local noise.

    Only pixels `inside` count, away from the border of their area.
    """
    lost, invented = strongest_spots(before, removed, inside, null)
    excess = _excess(removed, null.noises, find_places(before, inside))
    return FoundSpots(lost, invented, _edges(before - removed, removed, inside, null) / excess**2)


def strongest_spots(
    before: Image, removed: Image, inside: Mask, null: Null, known: Image | None = None
) -> tuple[float, float]:
    """Strongest spots of `before` [Y, X] lost and invented in `removed`, over the strongest that noise makes.

    A spot that the result shows more strongly than `before` is invented, any other one lost. `known` is what
    the input lacks of a reference `before`: what of a spot lies between the reference and the input is noise
    that was left, and does not count. Noise is as strong as simulated, or as in what was removed from the
    flat places of the plane (or is known) where that is more: some estimates lack its coarse part.
    """
    lost, invented = [], []
    places = find_places(before, inside)
    for scale, spots in zip(SCALES, null.spots, strict=True):
        seen = see_spots(inside, scale)
        spot, source = (find_spots(plane, scale) for plane in (removed, before))
        noise = spot if known is None else find_spots(known, scale)
        limit = _excess(noise, spots, places) * float(np.abs(spots[:, seen]).max(axis=1).mean())
        more = np.abs(source - spot) > np.abs(source)
        beyond = spot if known is None else spot - np.clip(spot, np.minimum(noise, 0), np.maximum(noise, 0))
        strength = np.abs(beyond) / limit
        invented.append(float(strength[seen & more].max(initial=0)))
        lost.append(float(strength[seen & ~more].max(initial=0)))
    return max(lost), max(invented)


def _excess(plane: Image, simulated: Image, places: Places | None) -> float:
    """Ratio of a plane to simulated noise in its flat places, at least 1."""
    if places is None:
        return 1.0
    seen = np.median(places.cut(plane).std(axis=(1, 2)))
    expected = np.mean([places.cut(one).std() for one in simulated[: DRAWS // 2]])
    return float(max(1.0, seen / expected)) if expected > 0 else 1.0


def find_spots(plane: Image, scale: float) -> Image:
    """The plane seen by a difference of Gaussians."""
    spots: Image = gaussian_filter(plane, scale) - gaussian_filter(plane, SURROUND * scale)
    return spots


def _transfer(frequency: Image, scale: float) -> Image:
    """`find_spots` in the frequency domain."""
    exponent = -2 * np.pi**2 * scale**2 * np.square(frequency)
    transfer: Image = (np.exp(exponent) - np.exp(SURROUND**2 * exponent)).astype(np.float32)
    return transfer


def see_spots(inside: Mask, scale: float) -> Mask:
    """Pixels whose filter sees no hole and no mirrored border; all of them where none is left."""
    smaller: Mask = binary_erosion(inside, iterations=round(2 * scale))
    return smaller if smaller.any() else inside


def _edges(result: Image, removed: Image, inside: Mask, null: Null) -> float:
    """Power of `removed` averaged along the edges of `result`, over that of noise on the same edges."""
    down, right = np.gradient(gaussian_filter(result, SCALES[0]))
    slope = np.hypot(down, right)
    edges = inside & (slope >= np.quantile(slope[inside], 1 - EDGE_SHARE)) & (slope > 0)
    if not edges.any():
        return 0.0
    rows, columns = np.nonzero(edges)
    step = right[edges] / slope[edges], -down[edges] / slope[edges]
    steps = np.arange(-REACH, REACH + 1)[:, None]
    path = (rows + steps * step[0], columns + steps * step[1])

    def power(plane: Image) -> float:
        along = map_coordinates(plane, path, order=1, mode="nearest").mean(axis=0)
        return float(np.square(along, dtype=np.float64).mean())

    return power(removed) / float(np.mean([power(noise) for noise in null.noises[: DRAWS // 2]]))

"""Dependence of the noise on brightness or place: the surface under which only the flattest blocks lie."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter, zoom

from meddenoise.noise import SignalVariance
from meddenoise.noise.blocks import Blocks, ring_areas
from meddenoise.series import Floats, Plane

LOW_SHARE = 0.1
"""Share of the blocks below the surface: those taken as free of anatomy."""
FIRST_RING, FIRST_RING_SMOOTH = 3, 1
"""Frequencies from 0.25 on: those below hold most of the anatomy, which also follows brightness; but
from 0.125 on where smooth noise has hardly anything higher up."""
SMOOTH_SHARE = 0.15
"""Share of the upper rings in the noise power below which noise counts as smooth."""
LEAST_CHANGE = 1.6
"""Ratio of variances over the blocks below which the noise counts as constant."""
LEAST_LOG = 1e-3
"""Smallest power of a block, relative to the median, whose logarithm is taken."""
LEAST_GAIN = 0.05
"""Least relative fall of the loss against a constant for a dependence to be believed."""
FIELD_BLOCKS = 150
"""Blocks without overlap below which a field would follow the anatomy of the few flat places."""
GRID = 16
"""Points a side of a noise field."""
SMOOTH = 9
"""Width in pixels of the mean that stands for the signal under the noise."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """Relative noise variance of each block [n], and over a plane by its signal or as a map [GRID, GRID]."""

    blocks: Floats
    variance: SignalVariance | None = None
    field: Plane | None = None

    def over(self, plane: Plane) -> Plane:
        """Relative variance at each pixel of a plane [Y, X]."""
        if self.variance is not None:
            signal = uniform_filter(np.nan_to_num(plane, posinf=0, neginf=0), SMOOTH)
            return self.variance.at(signal).astype(np.float32)
        if self.field is not None:
            return stretch_field(self.field, plane.shape)
        return np.ones(plane.shape, np.float32)


def fit_dependence(blocks: Blocks, shape: tuple[int, int], modality: str) -> Dependence:
    """Dependence of the noise on brightness or, in CT, on place: the one that flat blocks follow better."""
    power = _noise_power(blocks)
    even = Dependence(np.ones(len(blocks)))
    if np.quantile(power, LOW_SHARE) <= 0:
        return even
    mean = blocks.mean.astype(np.float64)
    projection = modality not in ("CT", "MR")
    candidates = [_fit_brightness(power, mean, projection)]
    if projection:
        candidates.append(_fit_exponential(power, mean))
    if modality == "CT" and blocks.independent >= FIELD_BLOCKS:
        candidates.append(_fit_place(power, blocks, shape))
    constant = np.full(len(blocks), np.quantile(power, LOW_SHARE))
    best, least = even, (1 - LEAST_GAIN) * _loss(power, constant)
    for candidate in candidates:
        low, high = np.quantile(candidate.blocks, (0.05, 0.95))
        loss = _loss(power, candidate.blocks)
        if high >= LEAST_CHANGE * low and loss < least:
            best, least = candidate, loss
    return best


def stretch_field(field: Plane, shape: tuple[int, ...]) -> Plane:
    """A coarse map laid over a plane, linear between its points."""
    factors = [n / f for n, f in zip(shape, field.shape, strict=True)]
    return np.asarray(zoom(field, factors, order=1, mode="nearest", grid_mode=True), np.float32)


def low_surface(columns: Floats, target: Floats) -> Floats:
    """Coefficients [k] of the combination of `columns` [n, k] with LOW_SHARE of `target` [n] below it.

    The first column is constant. Source: quantile regression, Koenker and Bassett 1978, solved by
    reweighted least squares.
    """
    scale = float(np.median(np.abs(target))) or 1.0
    goal = target / scale
    weights: Floats = np.zeros(columns.shape[1])
    weights[0] = np.quantile(goal, LOW_SHARE)
    for _ in range(40):
        rest = goal - columns @ weights
        pull = np.where(rest > 0, LOW_SHARE, 1 - LOW_SHARE) / np.maximum(np.abs(rest), 1e-3)
        pulled = columns * pull[:, None]
        solved = np.linalg.lstsq(pulled.T @ columns, pulled.T @ goal, rcond=None)[0]
        weights = np.asarray(solved, np.float64)
    return weights * scale


def _noise_power(blocks: Blocks) -> Floats:
    """Power [n] of each block at the frequencies where noise stands out best."""
    powers: Floats = blocks.power * ring_areas()
    lowest = np.quantile(powers, LOW_SHARE, axis=0)
    smooth = lowest[FIRST_RING:].sum() < SMOOTH_SHARE * lowest[FIRST_RING_SMOOTH:].sum()
    return np.asarray(powers[:, FIRST_RING_SMOOTH if smooth else FIRST_RING :].sum(axis=1))


def _fit_brightness(power: Floats, mean: Floats, falling: bool) -> Dependence:
    """Noise falls with brightness only in inverted radiographs; elsewhere that is anatomy in dark tissue."""
    centre, width = float(mean.mean()), float(mean.std())
    if width == 0:
        return Dependence(np.ones(len(power)))
    offset, slope = low_surface(np.stack([np.ones_like(mean), (mean - centre) / width], axis=1), power)
    if slope <= 0 and not falling:
        return Dependence(np.ones(len(power)))
    line = SignalVariance(float(slope / width), float(offset - slope * centre / width))
    return Dependence(line.at(mean), line)


def _fit_exponential(power: Floats, mean: Floats) -> Dependence:
    """Counts of quanta on a logarithmic scale, as radiographs are stored."""
    centre, width, level = float(mean.mean()), float(mean.std()), float(np.median(power))
    if width == 0 or level <= 0:
        return Dependence(np.ones(len(power)))
    columns = np.stack([np.ones_like(mean), (mean - centre) / width], axis=1)
    offset, slope = low_surface(columns, np.log(np.maximum(power, LEAST_LOG * level) / level))
    law = SignalVariance(
        float(slope / width), float(offset - slope * centre / width + np.log(level)), exponential=True
    )
    return Dependence(law.at(mean), law)


def _fit_place(power: Floats, blocks: Blocks, shape: tuple[int, int]) -> Dependence:
    """A quadratic of the logarithm: low towards the skin, high in the middle of the body or the reverse."""
    y, x = (2 * blocks.y / shape[0] - 1).astype(np.float64), (2 * blocks.x / shape[1] - 1).astype(np.float64)
    level = float(np.median(power))
    weights = low_surface(_quadratic(y, x), np.log(np.maximum(power, LEAST_LOG * level) / level))
    fitted = _quadratic(y, x) @ weights
    t = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    # Corners without blocks would be pure extrapolation.
    grid = np.clip(_quadratic(np.repeat(t, GRID), np.tile(t, GRID)) @ weights, fitted.min(), fitted.max())
    return Dependence(
        level * np.exp(fitted), field=(level * np.exp(grid)).reshape(GRID, GRID).astype(np.float32)
    )


def _quadratic(y: Floats, x: Floats) -> Floats:
    return np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=1)


def _loss(power: Floats, fitted: Floats) -> float:
    """Quantile loss of the logarithms: how far the powers lie from what should have LOW_SHARE below it.

    The logarithm keeps a few edges from outweighing all flat blocks.
    """
    rest = np.log(np.maximum(power, 1e-6 * fitted) / fitted)
    return float(np.where(rest > 0, LOW_SHARE * rest, (LOW_SHARE - 1) * rest).sum())

"""Dependence of the noise on brightness or place: the surface under which only the flattest blocks lie."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter, zoom

from meddenoise.noise import SignalVariance
from meddenoise.noise.blocks import Blocks, ring_areas
from meddenoise.noise.ct import attenuation_variance
from meddenoise.series import Floats, Image

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
    field: Image | None = None

    def over(self, plane: Image) -> Image:
        """Relative variance at each pixel of a plane [Y, X]."""
        if self.variance is not None:
            signal = uniform_filter(np.nan_to_num(plane, posinf=0, neginf=0), SMOOTH)
            return self.variance.at(signal).astype(np.float32)
        if self.field is not None:
            return stretch_field(self.field, plane.shape)
        return np.ones(plane.shape, np.float32)


def fit_dependence(blocks: Blocks, plane: Image, modality: str) -> Dependence:
    """Dependence of the noise of a plane [Y, X] on brightness or, in CT, on place, by its flat blocks.

    In CT the place rules wherever noise depends on it: what seems to follow the brightness there is that
    tissue has more texture than air.
    """
    power = _noise_power(blocks)
    even = Dependence(np.ones(len(blocks)))
    if np.quantile(power, LOW_SHARE) <= 0:
        return even
    mean = blocks.mean.astype(np.float64)
    projection = modality not in ("CT", "MR")
    candidates = [_fit_brightness(power, mean, projection)]
    if projection:
        candidates.append(_fit_exponential(power, mean))
    limit = (1 - LEAST_GAIN) * _loss(power, np.full(len(blocks), np.quantile(power, LOW_SHARE)))
    places = _fit_places(power, blocks, plane) if modality == "CT" else []
    believed = [place for place in places if _varies(place) and _loss(power, place.blocks) < limit]
    if believed:
        return _mean_place(believed)
    losses = [_loss(power, one.blocks) if _varies(one) else np.inf for one in candidates]
    best = int(np.argmin(losses))
    return candidates[best] if losses[best] < limit else even


def stretch_field(field: Image, shape: tuple[int, ...]) -> Image:
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


def _fit_places(power: Floats, blocks: Blocks, plane: Image) -> list[Dependence]:
    """By a quadratic of the logarithm, and by what the rays lose in the body."""
    y, x = (
        2 * where.astype(np.float64) / side - 1
        for where, side in zip((blocks.y, blocks.x), plane.shape, strict=True)
    )
    t = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    on_grid = np.repeat(t, GRID), np.tile(t, GRID)
    found = []
    if blocks.independent >= FIELD_BLOCKS:
        found.append(_fit_columns(power, _quadratic(y, x), _quadratic(*on_grid)))
    lost = attenuation_variance(plane, GRID)
    if lost is not None and lost.min() < lost.max():
        logarithm = np.log(lost.astype(np.float64))
        at_blocks = map_coordinates(
            logarithm, [((one + 1) * GRID - 1) / 2 for one in (y, x)], order=1, mode="nearest"
        )
        found.append(_fit_columns(power, _line(at_blocks), _line(logarithm.ravel())))
    return found


def _fit_columns(power: Floats, columns: Floats, on_grid: Floats) -> Dependence:
    """A combination of the columns [n, k] for the logarithm of the power [n], and over a grid [GRID², k]."""
    level = float(np.median(power))
    weights = low_surface(columns, np.log(np.maximum(power, LEAST_LOG * level) / level))
    fitted = columns @ weights
    # Corners without blocks would be pure extrapolation.
    grid = np.clip(on_grid @ weights, fitted.min(), fitted.max())
    field = (level * np.exp(grid)).reshape(GRID, GRID).astype(np.float32)
    return Dependence(level * np.exp(fitted), field=field)


def _mean_place(places: list[Dependence]) -> Dependence:
    """The geometric mean of maps."""
    fields = [place.field for place in places if place.field is not None]
    return Dependence(
        np.exp(np.mean([np.log(place.blocks) for place in places], axis=0)),
        field=np.exp(np.mean(np.log(fields), axis=0)).astype(np.float32),
    )


def _varies(candidate: Dependence) -> bool:
    low, high = np.quantile(candidate.blocks, (0.05, 0.95))
    return bool(high >= LEAST_CHANGE * low)


def _line(values: Floats) -> Floats:
    return np.stack([np.ones_like(values), values], axis=1)


def _quadratic(y: Floats, x: Floats) -> Floats:
    return np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=1)


def _loss(power: Floats, fitted: Floats) -> float:
    """Quantile loss of the logarithms: how far the powers lie from what should have LOW_SHARE below it.

    The logarithm keeps a few edges from outweighing all flat blocks.
    """
    rest = np.log(np.maximum(power, 1e-6 * fitted) / fitted)
    return float(np.where(rest > 0, LOW_SHARE * rest, (LOW_SHARE - 1) * rest).sum())

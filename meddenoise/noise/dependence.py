"""How the noise follows the signal: the line under which only the flattest blocks of every brightness lie."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise.blocks import Blocks, ring_areas

LOW_SHARE = 0.1
"""Share of the blocks below the line: those taken as free of anatomy."""
LEAST_CHANGE = 1.6
"""Ratio of variances over the brightness range below which noise counts as independent of the signal."""
LEAST_GAIN = 0.05
"""Least relative fall of the loss against a constant for the line to be believed."""
QUIET = 0.02
"""Smallest local variance relative to the largest: no part of an image is taken as free of noise."""

Floats = NDArray[np.float64]


def fit_variance(blocks: Blocks) -> tuple[float, float] | None:
    """(a, b) of variance = a m + b up to a factor; None where the noise does not follow the signal."""
    # Without the lowest ring, where most of the anatomy lies.
    power = (blocks.power * ring_areas())[:, 1:].sum(axis=1).astype(np.float64)
    mean = blocks.mean.astype(np.float64)
    if len(blocks) < 30 or np.ptp(mean) == 0 or power.max() <= 0:
        return None
    a, b = low_line(mean, power)
    ends = a * np.quantile(mean, (0.05, 0.95)) + b
    if ends.max() < LEAST_CHANGE * max(ends.min(), 0):
        return None
    constant = np.full(len(mean), np.quantile(power, LOW_SHARE))
    gain = 1 - _loss(power, a * mean + b) / _loss(power, constant)
    return (a, b) if gain > LEAST_GAIN else None


def variance_at(mean: NDArray[np.floating], a: float, b: float) -> Floats:
    """a m + b, nowhere below QUIET of its largest value."""
    variance = a * mean.astype(np.float64) + b
    return np.maximum(variance, QUIET * max(float(variance.max(initial=0)), 1e-30))


def low_line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and offset of the line with LOW_SHARE of the points below it (quantile regression).

    Source: Koenker and Bassett 1978; solved by reweighted least squares.
    """
    scale = float(np.median(y)) or 1.0
    centre, width = float(x.mean()), float(x.std())
    columns = np.stack([(x - centre) / width, np.ones_like(x)], axis=1)
    target = y / scale
    slope, offset = 0.0, float(np.quantile(target, LOW_SHARE))
    for _ in range(40):
        rest = target - slope * columns[:, 0] - offset
        weight = np.where(rest > 0, LOW_SHARE, 1 - LOW_SHARE) / np.maximum(np.abs(rest), 1e-3)
        weighted = columns * weight[:, None]
        slope, offset = np.linalg.lstsq(weighted.T @ columns, weighted.T @ target, rcond=None)[0]
    return float(slope * scale / width), float((offset - slope * centre / width) * scale)


def _loss(y: Floats, line: Floats) -> float:
    rest = y - line
    return float(np.where(rest > 0, LOW_SHARE * rest, (LOW_SHARE - 1) * rest).sum())

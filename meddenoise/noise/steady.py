"""The noise of planes in a row, steadied by neighbours that agree; abrupt changes stay as measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import WHITE, NoiseEstimate, SignalVariance
from meddenoise.noise.dependence import GRID
from meddenoise.series import Floats

REACH = 3
"""Planes on either side that are looked at."""
WIDTH = 2.0
"""Standard deviation in planes of the weights along the series."""
AGREE = 0.2
"""Logarithm of the ratio of levels from which two planes no longer agree."""
ERROR_PX = 4.5
"""Relative error of a plane's level, times the root of its pixels: of 64² planes 7 %, of 128² 3 %, as
measured on drawn anatomy."""
MOST_AGREE = 0.5
"""AGREE grows with the error of small planes, to this at most."""


def steady(
    planes: Sequence[NoiseEstimate], pixels: int, predicted: Sequence[float] | None = None
) -> tuple[NoiseEstimate, ...]:
    """The estimates of planes of so many `pixels`, each drawn towards neighbours with nearly its own level.

    Levels are fitted by a line in the logarithm, so that a level that rises evenly is not flattened.
    `predicted` are the levels, in any unit, that the exposure of each plane leads to: where the measured ones
    follow them it is the difference that is steadied. Planes without noise stay so and tell others nothing.
    All planes of a series share one model, that of most of them: one scanner makes one kind of image.
    """
    noisy = [k for k, plane in enumerate(planes) if plane.sigma > 0]
    if not noisy:
        return tuple(planes)
    rician = 2 * sum(planes[k].model == "rician" for k in noisy) >= len(noisy)
    known = [_as_model(planes[k], rician) for k in noisy]
    levels = np.log([plane.sigma for plane in known])
    offset = _offset(levels, predicted, noisy)
    agree = float(np.clip(3 * np.sqrt(2) * ERROR_PX / np.sqrt(pixels), AGREE, MOST_AGREE))
    steadied = list(planes)
    for place, k in enumerate(noisy):
        near = _near(np.array(noisy), levels - offset, place, agree)
        sigma = float(np.exp(near.level + offset[place]))
        steadied[k] = _mix([known[n] for n in near.index], near.weight, replace(known[place], sigma=sigma))
    return tuple(steadied)


@dataclass(frozen=True, slots=True)
class _Near:
    """The planes that steady one, itself among them, their weights (sum 1) and the logarithm of its level."""

    index: list[int]
    weight: Floats
    level: float


def _near(where: NDArray[np.intp], levels: Floats, place: int, agree: float) -> _Near:
    step = where - where[place]
    difference = levels - levels[place]
    inside = np.flatnonzero((np.abs(step) <= REACH) & (np.abs(difference) < agree))
    step, difference = step[inside], difference[inside]
    # Distance: a Gaussian; disagreement: Tukey's biweight.
    weight = np.exp(-0.5 * np.square(step / WIDTH)) * np.square(1 - np.square(difference / agree))
    weight /= weight.sum()
    mean = float(weight @ difference)
    centre = float(weight @ step)
    spread = float(weight @ np.square(step - centre))
    # The slope of a plane that is alone is 0, not undefined.
    slope = float(weight @ ((step - centre) * (difference - mean))) / (spread + 0.1)
    return _Near(inside.tolist(), weight, float(levels[place] + mean - slope * centre))


def _offset(levels: Floats, predicted: Sequence[float] | None, noisy: Sequence[int]) -> Floats:
    """Logarithm of the predicted levels, where taking it off leaves less change from plane to plane."""
    none = np.zeros(len(levels))
    if predicted is None or min(predicted[k] for k in noisy) <= 0:
        return none
    offset = np.log([predicted[k] for k in noisy])
    rest, whole = (float(np.abs(np.diff(part)).sum()) for part in (levels - offset, levels))
    return offset if rest < whole else none


def _as_model(plane: NoiseEstimate, rician: bool) -> NoiseEstimate:
    if (plane.model == "rician") == rician:
        return plane
    return replace(plane, model="rician" if rician else "gaussian", variance=None, field=None)


def _mix(near: Sequence[NoiseEstimate], weight: Floats, own: NoiseEstimate) -> NoiseEstimate:
    """`own` with the mean spectrum and the mean dependence on signal and place."""
    power = weight @ np.square([plane.bands for plane in near])
    bands = tuple(np.sqrt(power).tolist())
    field = own.field
    fine = [plane.spectrum for plane in near if plane.spectrum is not None]
    spectrum = tuple(np.sqrt(weight @ np.square(fine)).tolist()) if len(fine) == len(near) else None
    if any(plane.field is not None for plane in near):
        even = np.ones((GRID, GRID), np.float32)
        fields = [np.square(even if plane.field is None else plane.field) for plane in near]
        field = np.sqrt(np.tensordot(weight.astype(np.float32), np.stack(fields), 1))
    bands = WHITE if bands == WHITE else bands
    return replace(
        own, bands=bands, variance=_mix_variance(near, weight, own), field=field, spectrum=spectrum
    )


def _mix_variance(near: Sequence[NoiseEstimate], weight: Floats, own: NoiseEstimate) -> SignalVariance | None:
    """The mean dependence on the signal of those of one kind: the plane's own, else the first there is."""
    kinds = [plane.variance.exponential for plane in (own, *near) if plane.variance is not None]
    if not kinds:
        return None
    even = SignalVariance(0.0, 0.0 if kinds[0] else 1.0, exponential=kinds[0])
    relative = [plane.variance.times(plane.sigma**-2) if plane.variance else even for plane in near]
    alike = np.array([one.exponential == kinds[0] for one in relative])
    share = weight * alike / (weight * alike).sum()
    slope, constant = share @ np.array([(one.slope, one.constant) for one in relative])
    return replace(even, slope=float(slope), constant=float(constant)).times(own.sigma**2)

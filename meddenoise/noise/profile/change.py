"""Changes between the planes of a scene, by pixel: where something moved, the rest by brightness."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from meddenoise.noise.dependence import SMOOTH
from meddenoise.noise.profile.curve import KEPT_SHARE, KEPT_SIGMAS, Curve
from meddenoise.noise.profile.lag import covariance, differences
from meddenoise.noise.profile.radial import RadialSpectrum
from meddenoise.series import Floats, Image, Mask

MOVED, MOVED_SIDE = 3.0, 5
"""A pixel moved where the mean |e| of 5 x 5 around it is 3 times the median of the plane's."""
RESTLESS, RESTLESS_SIDE = 2.0, 21
"""A place is left out of all planes where their mean e², over 21 x 21 pixels, is further above the middle
one than chance alone puts 1 in 40. Chosen on simulated angiograms, where vessels that beat raised the
variance by up to a tenth."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`count` planes of one scene; `load` gives one of them [Y, X] and where it can be used."""

    count: int
    load: Callable[[int], tuple[Image, Mask]]

    @classmethod
    def of(cls, planes: Image, valid: Mask | None = None) -> "Scene":
        """A scene of planes [N, Y, X] at hand, `valid` where they are image, None for everywhere."""
        mask = np.ones(planes.shape, bool) if valid is None else valid
        return cls(len(planes), lambda index: (planes[index], mask[index]))


@dataclass(frozen=True, slots=True)
class Measure:
    """Scale of differences: units of a guessed noise, of a certain order."""

    guess: Curve
    order: int

    def changes(self, scene: Scene, run: slice) -> Iterator[tuple[Image, Image, Mask]]:
        """Differences of planes in succession, their local means, and where both can be used."""
        weights = differences(self.order).astype(np.float32)
        window: deque[tuple[Image, Mask, Image]] = deque(maxlen=self.order + 1)
        for k in range(run.start, run.stop):
            plane, usable = scene.load(k)
            window.append((plane, usable, local_mean(plane, usable)))
            if len(window) <= self.order:
                continue
            planes, usables, means = (np.stack(part) for part in zip(*window, strict=True))
            mean = np.asarray(means.mean(axis=0), np.float32)
            usable = np.asarray(usables.all(axis=0))
            unit = np.tensordot(weights, planes, 1) / np.sqrt(self.guess.at(mean))
            if usable.any():
                yield np.asarray(unit - np.median(unit[usable]), np.float32), mean, usable


def still_place(measure: Measure, scene: Scene, run: slice) -> Mask:
    """True where a scene [Y, X] does not change more than its noise, over a run of its planes."""
    shape = scene.load(run.start)[0].shape
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for unit, _, usable in measure.changes(scene, run):
        total += np.where(usable, np.minimum(np.square(unit), KEPT_SIGMAS**2), 0)
        count += usable
    if not count.any():
        return np.ones(shape, bool)
    weight = np.maximum(uniform_filter(count, RESTLESS_SIDE), 1e-3)
    mean = uniform_filter(total, RESTLESS_SIDE) / weight
    seen = mean[count > 0]
    middle = float(np.median(seen))
    chance = float(np.median(middle - seen[seen <= middle])) / 0.6745
    return np.asarray(mean <= middle + RESTLESS * chance)


class ChangeSums:
    """Sums over differences of planes in succession."""

    def __init__(self, measure: Measure, edges: Floats) -> None:
        self.spectrum = RadialSpectrum()
        self._measure, self._edges = measure, edges
        bins = len(edges) - 1
        self._count, self._mean, self._square = np.zeros(bins), np.zeros(bins), np.zeros(bins)

    def add(self, scene: Scene, run: slice) -> None:
        """All differences within a run of planes."""
        for unit, mean, usable in self._measure.changes(scene, run):
            still = usable & _unmoved(unit, usable)
            self.spectrum.add(unit, still)
            counted = still & (np.abs(unit) < KEPT_SIGMAS)
            bins = len(self._count)
            index = np.clip(np.searchsorted(self._edges, mean[counted], "right") - 1, 0, bins - 1)
            self._count += np.bincount(index, minlength=bins)
            self._mean += np.bincount(index, mean[counted], bins)
            self._square += np.bincount(index, np.square(unit[counted]), bins)

    def curve(self, rho: float) -> Curve:
        """The variance of the noise by brightness, where frames share the part rho of it."""
        filled = self._count > 0
        count, mean = self._count[filled], self._mean[filled] / self._count[filled]
        weights = differences(self._measure.order)
        share = self._square[filled] / count / KEPT_SHARE / covariance(weights, weights, rho)
        return Curve(mean, share * self._measure.guess.at(mean), count)


def local_mean(plane: Image, usable: Mask) -> Image:
    """Mean of the usable pixels around each pixel: the signal that its noise follows."""
    weight = uniform_filter(usable.astype(np.float32), SMOOTH)
    total = uniform_filter(np.where(usable, plane, np.float32(0)), SMOOTH)
    return np.asarray(total / np.maximum(weight, np.float32(1e-3)), np.float32)


def _unmoved(unit: Image, usable: Mask) -> Mask:
    size = uniform_filter(np.where(usable, np.abs(unit), np.float32(0)), MOVED_SIDE)
    return np.asarray(size <= MOVED * np.median(size[usable]))

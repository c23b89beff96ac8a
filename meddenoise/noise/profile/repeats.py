"""Noise from planes that show one scene again and again: frames of a cine, or repeated scans.

What differs between them is noise, apart from what moved: with z = signal + noise, two planes in succession
give e = (z' - z) / sqrt(2) of the noise's own variance where they share no noise. Three planes give
(z - 2 z' + z'') / sqrt(6), in which even motion cancels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from meddenoise.noise.profile.change import ChangeSums, Measure, Scene, local_mean, still_place
from meddenoise.noise.profile.curve import Curve, bin_edges, robust_variance, rough_curve
from meddenoise.noise.profile.lag import covariance, differences, lag_of, predictions
from meddenoise.series import Image, Mask

MAX_FRAMES = 64
"""Frames in the middle of a long cine whose every pixel counts."""
SAMPLES, FEWEST_SAMPLES = 1 << 20, 1 << 14
"""Values looked at for the first guess, of all frames together and at least of each."""
SETTLED = 1.15
"""Frames whose noise differs by more than this factor from the usual are a run-up or a change of dose."""
LEAST_OWN = 0.4
"""Part of a frame's variance that no other shares, below which it is too small to divide by: then the frame
is taken to be as noisy as those beside it."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Noise of some scenes from their planes, in their unit.

    `curve` is the variance by brightness; `frequency` and `power` the radial spectrum, mean 1; `rho` the part
    of the noise that a frame shares with the one before; `sigmas` the root mean square noise of each plane of
    each scene; `settled` how many planes the others are from, `moved` the share of the pixels left out
    because something moved there.
    """

    curve: Curve
    frequency: tuple[float, ...]
    power: tuple[float, ...]
    rho: float
    sigmas: tuple[tuple[float, ...], ...]
    settled: int
    moved: float

    @property
    def sigma(self) -> float:
        """Root mean square noise over pixels and settled planes."""
        return float(np.sqrt(self.curve.mean_variance()))


def measure_repeats(scenes: Sequence[Scene], independent: bool = False) -> Repeated | None:
    """The noise of scenes of one shape and at least two planes each; None where nothing differs.

    `independent` planes are separate scans, which share no noise. Only pixels usable in all planes of a
    difference count. Source: the noise profile of BeFOI (Hu, Huang 2024).
    """
    samples = [_sample(scene) for scene in scenes]
    runs = [slice(0, s.count) if independent else _settled(s) for s in samples]
    order = min(2, *(run.stop - run.start - 1 for run in runs))
    kept = [pair for s, run in zip(samples, runs, strict=True) for pair in s.pairs(run, order)]
    edges = bin_edges(np.concatenate([mean for mean, _ in kept]))
    guess = rough_curve(edges, kept)
    if not guess.mean_variance() > 0:
        return None
    measure = Measure(guess, order)
    stills = [still_place(measure, scene, run) for scene, run in zip(scenes, runs, strict=True)]
    samples = [s.within(still) for s, still in zip(samples, stills, strict=True)]
    sums = ChangeSums(measure, edges)
    for scene, run, still in zip(scenes, runs, stills, strict=True):
        sums.add(_within(scene, still), run)
    rho = 0.0 if independent else _lag(samples, runs, order)
    curve = sums.curve(rho)
    frequency, power = sums.spectrum.mean()
    return Repeated(
        curve=curve,
        frequency=frequency,
        power=power,
        rho=rho,
        sigmas=tuple(s.sigmas(curve, rho, run) for s, run in zip(samples, runs, strict=True)),
        settled=sum(run.stop - run.start for run in runs),
        moved=1 - float(np.mean(stills)),
    )


def _within(scene: Scene, still: Mask) -> Scene:
    def load(index: int) -> tuple[Image, Mask]:
        plane, usable = scene.load(index)
        return plane, usable & still

    return Scene(scene.count, load)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some pixels of all planes of a scene: values, local means and where usable, each [T, n]."""

    values: Image
    mean: Image
    usable: Mask
    cut: tuple[slice, slice]

    @property
    def count(self) -> int:
        """Number of planes."""
        return len(self.values)

    def within(self, still: Mask) -> "_Sample":
        """The sample with only the pixels of a mask [Y, X] usable."""
        return replace(self, usable=self.usable & still[self.cut].ravel())

    def changes(self, run: slice, order: int) -> Iterator[tuple[Image, Mask]]:
        """Differences of planes in succession, and where they can be used."""
        weights = differences(order).astype(np.float32)
        for k in range(run.start, run.stop - order):
            part = slice(k, k + order + 1)
            yield weights @ self.values[part], np.all(self.usable[part], axis=0)

    def pairs(self, run: slice, order: int) -> Iterator[tuple[Image, Image]]:
        """Local means and differences of the usable pixels, for planes in succession."""
        for k, (change, usable) in enumerate(self.changes(run, order), start=run.start):
            yield self.mean[k : k + order + 1].mean(axis=0)[usable], change[usable]

    def sigmas(self, curve: Curve, rho: float, run: slice) -> tuple[float, ...]:
        """Root mean square noise of every plane; those outside of `run` may share no noise."""
        level = np.sqrt(curve.at(np.median(self.mean, axis=0))).astype(np.float32)
        overall = float(np.sqrt(curve.mean_variance()))
        rhos = [rho if run.start <= k < run.stop else 0.0 for k in range(self.count)]
        return tuple(overall * sigma for sigma in self.relative_sigmas(rhos, level))

    def relative_sigmas(self, rhos: Sequence[float], level: Image | np.float32) -> list[float]:
        """Noise of every plane in units of `level`; 1 where what differs is no noise of its own."""
        sigmas = []
        for k, rho in enumerate(rhos):
            first, second = predictions(k, self.count)
            if covariance(first, second, rho) < LEAST_OWN:
                second = first
            needed = np.flatnonzero((first != 0) | (second != 0))
            usable = self.usable[needed].all(axis=0)
            values = (self.values[needed] / level)[:, usable]
            rest, other = (w[needed].astype(np.float32) @ values for w in (first, second))
            variance = (_spread(rest + other) - _spread(rest - other)) / 4 / covariance(first, second, rho)
            sigmas.append(float(np.sqrt(variance)) if variance > 0 else 1.0)
        return sigmas


def _lag(samples: Sequence[_Sample], runs: Sequence[slice], order: int) -> float:
    """Part of the noise that a frame shares with the one before; 0 where no two differences can tell."""
    together, apart = [], []
    for sample, run in zip(samples, runs, strict=True):
        changes = sample.changes(run, order)
        for (first, usable), (second, usable_too) in pairwise(changes):
            both = usable & usable_too
            together.append(_spread((first + second)[both]))
            apart.append(_spread((first - second)[both]))
    total = sum(together) + sum(apart)
    return lag_of((sum(together) - sum(apart)) / total, order) if total > 0 else 0.0


def _spread(values: Image) -> float:
    return robust_variance(values - np.median(values)) if values.size else 0.0


def _sample(scene: Scene) -> _Sample:
    step = max(1, int(np.sqrt(scene.load(0)[0].size / max(SAMPLES / scene.count, FEWEST_SAMPLES))))
    cut = (slice(step // 2, None, step), slice(step // 2, None, step))
    parts = []
    for index in range(scene.count):
        plane, usable = scene.load(index)
        parts.append([part[cut].ravel() for part in (plane, local_mean(plane, usable), usable)])
    values, mean, usables = (np.stack(part) for part in zip(*parts, strict=True))
    return _Sample(values, mean, usables, cut)


def _settled(sample: _Sample) -> slice:
    """The longest run of planes whose differences are at the middle level, of which the middle MAX_FRAMES."""
    changes = np.array(
        [_spread(change[usable]) for change, usable in sample.changes(slice(0, sample.count), 1)]
    )
    level = changes / max(float(np.median(changes)), 1e-30)
    good = (level < SETTLED**2) & (level > SETTLED**-2)
    turns = np.flatnonzero(np.diff([0, *good.astype(int), 0]))
    runs = [slice(int(start), int(stop) + 1) for start, stop in zip(turns[::2], turns[1::2], strict=True)]
    longest = max(runs, key=lambda run: run.stop - run.start, default=slice(0, sample.count))
    spare = max(longest.stop - longest.start - MAX_FRAMES, 0)
    return slice(longest.start + spare // 2, longest.stop - (spare - spare // 2))

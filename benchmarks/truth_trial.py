"""A trial of the truth benchmark: noisy series, what is true of them, and how a result is judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.cases import NoisyCase
from benchmarks.peers import as_series
from meddenoise.series import Image, Series

Box = tuple[slice, slice]
WHOLE: Box = (slice(None), slice(None))
BEST_DB = 20.0
"""Gains stop here: where less than a hundredth of the noise power is left, chance rules the measurement."""


@dataclass(frozen=True)
class TruthOutcome:
    """Noise left in one part of a trial (a frame, a pair), or the share of contrast kept.

    `noise_ms` and `left_ms` are mean squares of the error before and after, in units²; None where the part
    is judged by contrast. `peak` is what 255 grey levels stand for.
    """

    part: str
    peak: float
    noise_ms: float | None = None
    left_ms: float | None = None
    share: float | None = None

    @property
    def gain_db(self) -> float | None:
        """Gain towards the truth, dB; at most BEST_DB; None if there was no noise."""
        if not self.noise_ms or self.left_ms is None:
            return None
        left = max(self.left_ms, self.noise_ms * 10 ** (-BEST_DB / 10))
        return float(10 * np.log10(self.noise_ms / left))


Judge = Callable[[Sequence[Image]], list[TruthOutcome]]
"""The judged planes of a result, in order -> what is left in them."""


@dataclass(frozen=True)
class TruthTrial:
    """Noisy `series`, run whole and each for itself; the planes `judged` (series, plane) of their results.

    `cases` are the judged planes as the peers get them, each with all that is true of its noise: `box` cut
    out of the plane, so that slow peers see no more than is judged. `judge` gets planes cut to `box`.
    """

    group: str
    row: str
    modality: str
    image: str
    series: tuple[Series, ...]
    judged: tuple[tuple[int, int], ...]
    cases: tuple[NoisyCase, ...]
    judge: Judge = field(repr=False)
    box: Box = WHOLE
    note: str = ""

    @property
    def noisy(self) -> list[Image]:
        """The judged planes as they came."""
        return [case.noisy for case in self.cases]

    @property
    def sigma(self) -> float:
        """Root mean square of the true noise levels of the judged planes."""
        return float(np.sqrt(np.mean([case.sigma**2 for case in self.cases])))


def plane_trial(case: NoisyCase, group: str, row: str, note: str = "") -> TruthTrial:
    """A trial of one plane whose truth is known."""
    series = (as_series(case.noisy, case.modality),)
    kind = case.modality or "photo"
    judge = against([case.clean], case.peak)
    return TruthTrial(group, row, kind, case.picture, series, ((0, 0),), (case,), judge, note=note)


def against(truths: Sequence[Image], peak: float) -> Judge:
    """The judge of planes whose truth is known: their common mean square error."""

    def judge(planes: Sequence[Image]) -> list[TruthOutcome]:
        return [TruthOutcome("", peak, None, mean_square(planes, truths))]

    return judge


def mean_square(planes: Sequence[Image], truths: Sequence[Image]) -> float:
    """Mean square difference over all planes."""
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(planes, truths, strict=True)]
    return float(np.mean(errors))


def outcomes(trial: TruthTrial, planes: Sequence[Image]) -> list[TruthOutcome]:
    """The judged planes of one result as outcomes that know the noise before."""
    before = trial.judge(trial.noisy)
    after = trial.judge(planes)
    return [replace(new, noise_ms=old.left_ms) for old, new in zip(before, after, strict=True)]

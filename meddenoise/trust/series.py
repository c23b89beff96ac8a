"""The verdict on a denoised series, from some of its planes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from meddenoise.engine import Engine
from meddenoise.engine.planes import middle, middle_plane
from meddenoise.metrics import UndefinedError
from meddenoise.metrics.measure import Measurement
from meddenoise.noise import Noise, SeriesNoise
from meddenoise.series import Image, Series, fill_holes
from meddenoise.trust import Trust, Values, judge
from meddenoise.trust.advice import Tried
from meddenoise.trust.examine import PlanePair, examine
from meddenoise.trust.lesions import survival
from meddenoise.trust.removal import Removal, measure_removal
from meddenoise.trust.selfcheck import MEASURES, check_method

MOST_PLANES = 3
MOST_SIDE = 512
"""The middle of larger planes is looked at."""
LESION_SIDE = 256
"""Discs are put into the middle of one plane, this much of it."""
NOT_SAMPLED = "lesion survival was not measured: samplers are slow; `meddenoise eval --lesions` measures it."
UNCHANGED = "the pixels are those of the input: nothing was removed."


@dataclass(frozen=True, slots=True)
class Run:
    """The run that made the result: the engine with its method, given `noise`, and what was asked for."""

    engine: Engine
    noise: Noise
    tried: Tried

    @property
    def share(self) -> float:
        """The share of the change that was made."""
        return min(self.tried.strength, 1.0)


@dataclass(frozen=True, slots=True)
class Change:
    """A series, what was made of it, and how: all that there is to judge.

    `noise` is what the noisy series shows: a level that a user gave may be wrong. `run` is
    None where nothing was done. `self_checked` methods are measured without a reference too.
    """

    noisy: Series
    result: Series
    noise: SeriesNoise
    run: Run | None
    self_checked: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """The noise before and after, what the method shows without a reference, and the verdict."""

    removal: Removal
    checks: Measurement
    trust: Trust


def judge_change(change: Change) -> Judgement:
    """Trust in a result, by comparison with the series that it was made from.

    Lesion survival takes two passes over the middle of one plane, and is left out for samplers.
    """
    removal = measure_removal(change.noisy, change.result, change.noise)
    return Judgement(removal.of_noise(), _check(change), _conclude(change, removal))


def _check(change: Change) -> Measurement:
    """Self-checks of a self-supervised method in the middle plane; nothing for other methods."""
    run = change.run
    if not change.self_checked:
        return Measurement({}, ())
    if run is None:
        why = "nothing was removed: leak, residual and risk are not measured."
        return Measurement(dict.fromkeys(MEASURES), (why,))
    plane = middle_plane(change.noisy, run.noise, run.engine.context)
    return check_method(run.engine, plane, run.noise.plane(plane.index), run.share)


def _conclude(change: Change, removal: Removal) -> Trust:
    run, noisy, noise = change.run, change.noisy, change.noise
    if run is None:
        return Trust("no effect", notes=(UNCHANGED,))
    measured = with_removal(examine_series(noisy, change.result, noise), removal)
    if run.engine.samples:
        return judge(replace(measured, notes=(*measured.notes, NOT_SAMPLED)), run.tried)
    return judge(with_lesions(measured, noisy, noise, run), run.tried)


def examine_series(noisy: Series, result: Series, noise: Noise) -> Values:
    """`examine` of some planes of a series and of those it was made from, which are in the same order."""
    return examine(list(some_pairs(noisy, result, noise)))


def with_removal(measured: Values, removal: Removal) -> Values:
    """The same with how much noise is left and how coarse it is, where there are flat places."""
    known = {} if removal.left is None else {"noise_left": removal.left}
    return replace(measured, values=measured.values | known | {"grain_coarser": removal.coarser})


def with_lesions(measured: Values, noisy: Series, noise: Noise, run: Run) -> Values:
    """The same with lesion survival in the middle plane."""
    try:
        kept: float | None = _survival(noisy, noise, run)
        notes = measured.notes
    except UndefinedError as error:
        kept, notes = None, (*measured.notes, f"lesion survival was not measured: {error}.")
    return replace(measured, values=measured.values | {"lesion_survival": kept}, notes=notes)


def _survival(noisy: Series, noise: Noise, run: Run) -> float:
    given = middle_plane(noisy, run.noise, run.engine.context).crop(LESION_SIDE)
    seen = middle_plane(noisy, noise, 0).crop(LESION_SIDE)

    def denoise(plane: Image) -> Image:
        # the neighbours of a frame show the same place: a lesion is in them too
        planes = given.noisy + (plane - seen.plane)
        clean: Image = run.engine.run(planes, given.sigma, given.index).clean[0]
        return plane + np.float32(run.share) * (clean - plane)

    return survival(denoise, seen, denoise(seen.plane), noise.plane(seen.index)).share


def some_pairs(noisy: Series, result: Series, noise: Noise) -> Iterator[PlanePair]:
    """The middle of some planes, evenly spread: of six or more neither the first nor the last."""
    count = min(len(result), MOST_PLANES)
    for n in ((np.arange(count) + 0.5) * len(result) / count).astype(int).tolist():
        valid = result.valid(n, n + 1) & noisy.valid(n, n + 1)
        before = fill_holes(noisy.values(n, n + 1), valid)
        after = fill_holes(result.values(n, n + 1), valid)
        magnitude = noisy.modality in ("MR", "") and bool(before.min() >= 0)
        planes = [middle(part[0], MOST_SIDE) for part in (before, after, valid)]
        yield PlanePair(planes[0], planes[1], planes[2], noise.plane(n), magnitude)

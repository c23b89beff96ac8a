"""The verdict on a denoised series, from some of its planes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine import Engine
from meddenoise.engine.planes import load_planes
from meddenoise.metrics import UndefinedError
from meddenoise.noise import Noise
from meddenoise.series import Series, fill_holes
from meddenoise.trust import Trust, Values, judge
from meddenoise.trust.examine import Pair, examine
from meddenoise.trust.lesions import Scene, survival
from meddenoise.trust.removal import Removal

MOST_PLANES = 3
MOST_SIDE = 512
"""The middle of larger planes is looked at."""
LESION_SIDE = 256
"""Discs are put into the middle of one plane, this much of it."""
NOT_SAMPLED = (
    "lesion survival was not measured: a sampler takes its time; `meddenoise eval --lesions` measures it."
)
UNCHANGED = "the pixels are those of the input: nothing was removed."


@dataclass(frozen=True, slots=True)
class Run:
    """How the result was made: the engine with its method, told `noise`, at `strength`."""

    engine: Engine
    noise: Noise
    strength: float


@dataclass(frozen=True, slots=True)
class Change:
    """A series, what was made of it, and the noise before and after."""

    noisy: Series
    result: Series
    removal: Removal


def check_trust(change: Change, noise: Noise, run: Run | None) -> Trust:
    """The verdict on a result; `noise` is what the noisy series shows, `run` None where nothing was done.

    Lesion survival takes two passes over the middle of one plane, and is left out for samplers.
    """
    if run is None:
        return Trust("no effect", notes=(UNCHANGED,))
    noisy, result = change.noisy, change.result
    measured = with_removal(examine_series(noisy, result, noise), change.removal)
    method = run.engine.name
    if run.engine.samples:
        return judge(replace(measured, notes=(*measured.notes, NOT_SAMPLED)), method)
    return judge(with_lesions(measured, noisy, noise, run), method)


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
    index = len(noisy) // 2
    planes, sigma = (
        _middle(part, LESION_SIDE)
        for part in load_planes(noisy, index, index + 1, run.noise, run.engine.context)
    )
    valid = _middle(noisy.valid(index, index + 1), LESION_SIDE)
    centre = planes.shape[1] // 2

    def denoise(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        # the neighbours of a frame show the same place: a lesion is in them too
        given = planes + (plane - planes[0, centre])
        clean: NDArray[np.float32] = run.engine.run(given, sigma, index).clean[0]
        return plane + np.float32(run.strength) * (clean - plane)

    before: NDArray[np.float32] = planes[0, centre]
    _, local = load_planes(noisy, index, index + 1, noise, 0)
    scene = Scene(before, _middle(local, LESION_SIDE)[0], valid[0])
    return survival(denoise, scene, denoise(before), noise.plane(index)).share


def some_pairs(noisy: Series, result: Series, noise: Noise) -> Iterator[Pair]:
    """The middle of some planes; first and last are left out where there are more."""
    count = min(len(result), MOST_PLANES)
    for n in ((np.arange(count) + 0.5) * len(result) / count).astype(int).tolist():
        valid = result.valid(n, n + 1) & noisy.valid(n, n + 1)
        before = fill_holes(noisy.values(n, n + 1), valid)
        after = fill_holes(result.values(n, n + 1), valid)
        magnitude = noisy.modality in ("MR", "") and bool(before.min() >= 0)
        planes = [_middle(part[0], MOST_SIDE) for part in (before, after, valid)]
        yield Pair(planes[0], planes[1], planes[2], noise.plane(n), magnitude)


def _middle(part: NDArray[Any], side: int) -> NDArray[Any]:
    """The middle of planes [..., Y, X], at most `side` pixels a side, contiguous."""
    top, left = (max(0, (size - side) // 2) for size in part.shape[-2:])
    return np.ascontiguousarray(part[..., top : top + side, left : left + side])

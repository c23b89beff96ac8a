"""Structure lost and invented, measured against a reference where there is one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import maximum_filter

from meddenoise.io.pairing import follow
from meddenoise.noise import Noise
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Image, Mask, Series
from meddenoise.trust import Trust, Values, judge
from meddenoise.trust.advice import Tried
from meddenoise.trust.examine import SMALLEST_SIDE, TOO_FEW, PlanePair, why_unfit
from meddenoise.trust.series import some_pairs
from meddenoise.trust.spots import SCALES, Null, find_spots, see_spots, simulate_null, strongest_spots

FAINT = (2.0, 8.0)
"""A spot of the reference is faint where it is so many times as strong as what noise does to such a spot:
seen in the input with an effort, or weakly."""
SURE = 5.0
"""And at least so many times what the noise of the reference itself does."""
FEWEST = 5
"""Faint spots below which nothing is said of them."""
ROUND = 0.4
"""A spot curves at least so much along as across."""
HALF = 0.5
"""A faint spot is lost where less of its contrast is left."""
SUPERSEDED = ("structure_lost", "structure_invented", "edges_lost")
"""Checks against the input that those against the reference replace."""
MEASURED = ("reference_lost", "reference_invented", "faint_lost")


def judge_by_reference(trust: Trust, found: Values, tried: Tried | None = None) -> Trust:
    """The verdict with what the reference shows in place of what the input lets one suspect."""
    if not any(value is not None for value in found.values.values()):
        return replace(trust, notes=(*trust.notes, *found.notes))
    kept = {name: value for name, value in trust.values.items() if name not in SUPERSEDED}
    return judge(Values(kept | found.values, trust.bins, (*trust.notes, *found.notes)), tried)


def examine_reference(noisy: Series, result: Series, reference: Series, noise: Noise) -> Values:
    """MEASURED for the worst of some planes of a result.

    `noisy` is the series that it was made from, its planes in the same order, `noise` the noise of that.
    Raises InputError where planes of result and reference do not agree.
    """
    pairs = list(some_pairs(follow(result, reference), result, noise))
    why = why_unfit(pairs)
    scored = [
        _examine(pair, before, simulate_null(pair.noise, pair.before.shape))
        for pair, before in zip(pairs, some_pairs(noisy, result, noise), strict=True)
        if not why and pair.noise.sigma > 0 and np.count_nonzero(pair.valid & before.valid) > SMALLEST_SIDE**2
    ]
    if not scored:
        note = f"the result was not checked against the reference: {why or TOO_FEW}."
        return Values(dict.fromkeys(MEASURED), notes=(note,))
    kept = [share for _, _, shares in scored for share in shares]
    return Values(
        {
            "reference_lost": max(lost for lost, _, _ in scored),
            "reference_invented": max(invented for _, invented, _ in scored),
            "faint_lost": float(np.mean(np.asarray(kept) < HALF)) if len(kept) >= FEWEST else None,
        }
    )


def _examine(pair: PlanePair, made_from: PlanePair, null: Null) -> tuple[float, float, Sequence[float]]:
    """Strongest spot lost and invented, and what is left of every faint spot.

    `pair` has the reference before the result, `made_from` the noisy plane before it.
    """
    truth, sigma = pair.before, sigma_map(pair.noise, pair.before)
    inside = pair.valid & made_from.valid & (sigma > 0)
    unit = np.divide(1, sigma, out=np.zeros_like(sigma), where=inside)
    missing, known = (
        np.where(inside, (truth - plane) * unit, 0).astype(np.float32)
        for plane in (pair.after, made_from.before)
    )
    lost, invented = strongest_spots(truth * unit, missing, inside, null, known)
    images, own = (truth * unit, pair.after * unit), _own_noise(truth * unit, inside)
    shares: list[float] = []
    for scale, spots in zip(SCALES, null.spots, strict=True):
        shares += _faint(images, inside, scale, max(FAINT[0], SURE * own) * float(spots.std()))
    return lost, invented, shares


def _faint(images: tuple[Image, Image], inside: Mask, scale: float, least: float) -> list[float]:
    """Contrast left of the faint spots of the reference, the first of the images, in the second."""
    seen = see_spots(inside, scale)
    wanted, left = (find_spots(image, scale) for image in images)
    size = np.abs(wanted)
    peaks = seen & (size == maximum_filter(size, 2 * round(2 * scale) + 1))
    peaks &= (size >= least) & (size <= FAINT[1] / FAINT[0] * least) & _is_round(wanted)
    shares: list[float] = (left[peaks] / wanted[peaks]).tolist()
    return shares


def _is_round(plane: Image) -> Mask:
    """True where a plane curves the same way along and across: on spots, not on edges."""
    down, right = np.gradient(plane)
    (yy, yx), xx = np.gradient(down), np.gradient(right, axis=1)
    return np.asarray(yy * xx - yx * yx > ROUND / (1 + ROUND) ** 2 * np.square(yy + xx))


def _own_noise(plane: Image, inside: Mask) -> float:
    """Noise of the reference over that of the input, from its finest diagonal detail; 0 where it has none."""
    rows, columns = (size // 2 * 2 for size in plane.shape)
    corners = [plane[y:rows:2, x:columns:2] for y in (0, 1) for x in (0, 1)]
    fine = (corners[0] - corners[1] - corners[2] + corners[3]) / 2
    kept = np.abs(fine[inside[:rows:2, :columns:2]])
    return float(np.median(kept)) / 0.6745 if kept.size else 0.0

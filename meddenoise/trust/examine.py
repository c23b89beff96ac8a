"""Comparison of the pixels of a result with those of the image it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.blocks import usable_pixels
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.rician import mean_magnitude
from meddenoise.series import Image, Mask
from meddenoise.trust import Bin, Values
from meddenoise.trust.spots import Null, find_structure, simulate_null

SMALLEST_SIDE = 48
"""Below this, filters of the larger scale see the borders everywhere."""
TOO_FEW = "too few pixels are image"
BINS = 8
BIN_SHARE = 0.02
"""Smallest share of the pixels that makes a tissue."""
BLOCK = 16
"""Side of the blocks, in pixels, whose means say how uncertain a mean is."""
SURE = 4.0
"""A shift counts where it is this many times what noise alone makes of it."""
EXAMINED = ("structure_lost", "structure_invented", "edges_lost", "mean_shift", "noise_left")


@dataclass(frozen=True, slots=True)
class PlanePair:
    """One plane [Y, X] before and after, in the unit of the image; `valid` is False where it is no image.

    `noise` is that of the plane before.
    `magnitude` says that it may be one of MR, even where the noise was not recognised as Rician.
    """

    before: Image
    after: Image
    valid: Mask
    noise: NoiseEstimate
    magnitude: bool = False


def examine(pairs: Sequence[PlanePair]) -> Values:
    """The checks that need no method, of the worst of some planes of one shape."""
    why = why_unfit(pairs)
    if why:
        return nothing(why)
    scored = [
        _examine(pair, simulate_null(pair.noise, pair.before.shape))
        for pair in pairs
        if pair.noise.sigma > 0 and np.count_nonzero(pair.valid) > SMALLEST_SIDE**2
    ]
    if not scored:
        return nothing(TOO_FEW)
    worst = {name: max(values[name] for values, _ in scored) for name in EXAMINED}
    return Values(dict(worst), max(scored, key=lambda one: one[0]["mean_shift"])[1])


def nothing(why: str) -> Values:
    """No value for any check."""
    return Values(dict.fromkeys(EXAMINED), notes=(f"the change was not checked: {why}.",))


def why_unfit(pairs: Sequence[PlanePair]) -> str:
    """Reason why nothing can be judged; empty if it can."""
    if not pairs or min(pairs[0].before.shape) < SMALLEST_SIDE:
        return f"it takes planes of {SMALLEST_SIDE} pixels a side"
    if not any(pair.noise.sigma > 0 for pair in pairs):
        return "no noise is seen in the input to hold it against"
    return ""


def _examine(pair: PlanePair, null: Null) -> tuple[dict[str, float], tuple[Bin, ...]]:
    """The checks of one plane, and its ranges of brightness."""
    sigma = sigma_map(pair.noise, pair.before)
    inside = pair.valid & (sigma > 0)
    unit = np.divide(1, sigma, out=np.zeros_like(sigma), where=inside)
    removed = np.where(inside, _removed(pair, inside), 0).astype(np.float32)
    found = find_structure(pair.before * unit, removed * unit, inside, null)
    shift, bins = _shift(pair.after, removed, _Level(sigma, inside, null))
    values = {name: float(getattr(found, name)) for name in EXAMINED[:3]}
    # What was removed from everywhere: for images without a flat place, where `removal` has no value. A
    # background of one value has no noise that could be left.
    noisy = usable_pixels(pair.before, inside)
    left = max(0.0, 1 - float((removed * unit)[noisy if noisy.any() else inside].std()))
    return values | {"mean_shift": shift, "noise_left": left}, bins


def _removed(pair: PlanePair, inside: Mask) -> Image:
    """Before minus after; of magnitude images minus the mean magnitude, where that is nearer.

    Rician noise lifts dark places, and a method may take that back.
    """
    plain, noise = pair.before - pair.after, pair.noise
    dark = inside & (pair.after < 2 * noise.sigma)
    if not (pair.magnitude or noise.model == "rician") or not dark.any():
        return plain
    lifted = pair.before - mean_magnitude(pair.after, noise.sigma)
    return lifted if abs(lifted[dark].mean()) < abs(plain[dark].mean()) else plain


@dataclass(frozen=True, slots=True)
class _Level:
    """The local noise level [Y, X], where it is known, and what noise of level 1 looks like."""

    sigma: Image
    inside: Mask
    null: Null


def _uncertainty(removed: Image, mine: Mask) -> float:
    """Standard error of the mean of `removed` over a range of brightness, from the means of blocks of it.

    Where noise is coarser than estimated, as in maps of low signal, they say how sure a mean is.
    """
    rows, columns = (size - size % BLOCK for size in mine.shape)
    blocks = (rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    cut = (slice(rows), slice(columns))
    counts = mine[cut].reshape(blocks).sum(axis=(1, 3)).ravel().astype(np.float64)
    sums = np.where(mine, removed, 0)[cut].reshape(blocks).sum(axis=(1, 3), dtype=np.float64).ravel()
    total = counts.sum()
    if np.count_nonzero(counts) < 2:
        return 0.0
    # blocks that are independent: the variance of a ratio of sums
    off = sums - counts * sums.sum() / total
    return float(np.sqrt(np.square(off).sum()) / total)


def _shift(after: Image, removed: Image, level: _Level) -> tuple[float, tuple[Bin, ...]]:
    """Largest shift of a range of brightness in noise levels, 0 where noise explains it; and all ranges."""
    smooth = gaussian_filter(after, 1.0)
    low, high = np.quantile(smooth[level.inside], (0.005, 0.995))
    edges = np.linspace(float(low), float(high), BINS + 1)
    place = np.where(level.inside, np.digitize(smooth, edges[1:-1]), -1)
    least = BIN_SHARE * np.count_nonzero(level.inside)
    largest, table = 0.0, []
    for number in range(BINS):
        mine = place == number
        if np.count_nonzero(mine) < least:
            continue
        sigma = float(np.sqrt(np.mean(np.square(level.sigma[mine], dtype=np.float64))))
        shift = float(removed[mine].mean(dtype=np.float64))
        chance = sigma * float(np.sqrt(np.square(level.null.noises[:, mine].mean(axis=1)).mean()))
        chance = max(chance, _uncertainty(removed, mine))
        table.append(Bin(float(edges[number]), float(edges[number + 1]), -shift))
        if abs(shift) > SURE * chance:
            largest = max(largest, abs(shift) / sigma)
    return largest, tuple(table)

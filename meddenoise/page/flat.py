"""The noise that can be seen in the flattest parts of an image: its values and its power spectrum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from meddenoise.metrics.nps import detrend

SIDES = (64, 32, 16)
"""Sides of a patch that are tried, in pixels, the largest first."""
MOST, FEWEST = 24, 4
"""Patches that are kept; a smaller side is tried where there are fewer."""
FLAT = 0.5
"""A patch is flat where the result varies by less than this share of what was removed from it."""
DEAD = 0.25
"""A patch with less noise than this share of the usual was masked or clipped: it tells nothing."""

Patches = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flat:
    """The same flat patches [N, S, S] before and after, each without its own plane."""

    before: Patches
    after: Patches

    def __len__(self) -> int:
        return len(self.before)


def find_flat(before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_]) -> Flat:
    """The flattest patches of a plane [Y, X], judged where the noise is gone; none where none is usable.

    Of an image with a dark surrounding the bright part alone: air has another noise than what is looked at.
    """
    found = Flat(np.zeros((0, SIDES[-1], SIDES[-1])), np.zeros((0, SIDES[-1], SIDES[-1])))
    for side in SIDES:
        if side > min(after.shape):
            continue
        usable = _patches(valid, side).all(axis=(1, 2))
        noisy, clean = _patches(before, side)[usable], _patches(after, side)[usable]
        if len(clean) < FEWEST:
            continue
        chosen = _flattest(noisy, clean)
        found = Flat(detrend(noisy[chosen]), detrend(clean[chosen]))
        flat = found.after.std(axis=(1, 2)) < FLAT * (found.before - found.after).std(axis=(1, 2))
        if flat.sum() >= FEWEST:
            return Flat(found.before[flat], found.after[flat])
    return found


def join_flat(parts: list[Flat]) -> Flat:
    """The flattest of several planes; those of the size of patch that most of them have."""
    sides = [part.after.shape[-1] for part in parts if len(part)] or [SIDES[-1]]
    alike = [part for part in parts if part.after.shape[-1] == max(set(sides), key=sides.count)]
    before, after = (np.concatenate([getattr(part, name) for part in alike]) for name in ("before", "after"))
    order = np.argsort(after.std(axis=(1, 2)), kind="stable")[:MOST]
    return Flat(before[order], after[order])


def _flattest(noisy: Patches, clean: Patches) -> NDArray[np.intp]:
    removed = (noisy - clean).std(axis=(1, 2))
    level = clean.mean(axis=(1, 2))
    alive = removed >= DEAD * np.median(removed)
    # darker than this is what surrounds the patient
    dark = float(threshold_otsu(level[alive] if alive.any() else level))  # type: ignore[no-untyped-call]
    bright = alive & (level > dark)
    chosen = np.flatnonzero(bright if bright.sum() >= FEWEST else alive)
    order = np.argsort(detrend(clean[chosen]).std(axis=(1, 2)), kind="stable")
    return chosen[order[:MOST]]


def _patches(plane: NDArray[np.generic], side: int) -> Patches:
    """Patches that overlap by half, [N, S, S]."""
    view = np.lib.stride_tricks.sliding_window_view(plane, (side, side))[:: side // 2, :: side // 2]
    return view.reshape(-1, side, side).astype(np.float64)

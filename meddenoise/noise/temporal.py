"""Noise of every frame of a cine from its difference to other frames, where nothing but noise changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.blocks import measure_blocks
from meddenoise.noise.estimate import block_size, estimate_blocks
from meddenoise.noise.profile.change import Scene

APART = 3
"""Frames from a frame to those it is compared with: the machine's recursive filter makes near ones alike."""
PARTNERS = 4
"""Frames that a frame is compared with, their mean."""
LOUDER = 1.4
"""Ratio of levels from which a frame is too noisy to compare another with it."""
MOST_SHARE = 0.55
"""Part of a difference that is noise of the partners, above which the rest does not tell a frame's own."""
SHARED = 0.6
"""Frames that differ from near ones by more than this share of their spatial noise may share the rest with
them, through a recursive filter: it is then taken for noise rather than for texture."""
FIXED_SHARE = 0.2
"""Frames differing by less than this share of their spatial noise repeat one noise pattern."""
MOVED = 1.3
"""Frames differing by more than this factor of their spatial noise show motion."""
CELL = 16
"""Side in pixels of the means by which the contrast of two frames is compared."""
LEAST_GAIN, MOST_GAIN = 0.5, 2.0
"""Contrasts further apart are not those of one scene."""
ROUNDS = 20
"""Passes in which the partners' share is taken off; each leaves a quarter of the error at most."""

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


def estimate_frames(scene: Scene, spatial: Sequence[NoiseEstimate], modality: str) -> list[NoiseEstimate]:
    """The noise of every frame of a scene; `spatial` is what each frame shows by itself.

    The difference of a frame to the mean of others holds its own noise and a known share of theirs. Where
    frames hardly differ, or by more than noise (motion), the spatial estimate stays; if all others are
    noisier, as in a run that ends before it has settled, it is scaled as those of the other frames are.
    """
    seen = [_compare(scene, k, spatial, modality) for k in range(scene.count)]
    total = np.square([one.total.sigma if one else own.sigma for one, own in zip(seen, spatial, strict=True)])
    power, shares = total / 2, np.zeros(len(total))
    for _ in range(ROUNDS):
        shares = np.array([one.share(power) if one else 0.0 for one in seen])
        # an estimate of the partners' share may be too high: what is left is not nothing
        power = np.maximum(total - shares, 0.1 * total)
    clear = [
        one is not None and share <= MOST_SHARE * whole
        for one, share, whole in zip(seen, shares, total, strict=True)
    ]
    ratios = [np.sqrt(power[k]) / own.sigma for k, own in enumerate(spatial) if clear[k]]
    usual = float(np.median(ratios)) if ratios else 1.0
    found = []
    for k, (one, own) in enumerate(zip(seen, spatial, strict=True)):
        ratio = float(np.sqrt(power[k])) / own.sigma if clear[k] else usual
        highest = SHARED if one is not None and clear[k] and one.is_near(k) else MOVED
        if one is None or not FIXED_SHARE < ratio < highest:
            found.append(own)
        else:
            found.append(_with_level(one.total if clear[k] else own, ratio * own.sigma))
    return found


def _with_level(noise: NoiseEstimate, sigma: float) -> NoiseEstimate:
    """The same noise at another level."""
    scale, follows = (sigma / noise.sigma) ** 2, noise.variance
    return replace(noise, sigma=sigma, variance=follows and (scale * follows[0], scale * follows[1]))


@dataclass(frozen=True, slots=True)
class _Compared:
    """A frame less `gain` times the mean of its partners: what noise that shows."""

    total: NoiseEstimate
    partners: list[int]
    gain: float

    def is_near(self, index: int) -> bool:
        """True where a frame is compared with its neighbours."""
        return any(abs(partner - index) < APART for partner in self.partners)

    def share(self, power: NDArray[np.float64]) -> float:
        """The variance that the partners have in the difference, by the variance of every frame."""
        return float(self.gain**2 * power[self.partners].mean()) / len(self.partners)


def _compare(scene: Scene, index: int, spatial: Sequence[NoiseEstimate], modality: str) -> _Compared | None:
    """None for frames without noise, and where no other shows the same scene."""
    partners = _partners(index, spatial)
    if not spatial[index].sigma > 0 or not partners:
        return None
    plane, usable = scene.load(index)
    mean = np.zeros(plane.shape, np.float32)
    for partner in partners:
        other, usable_too = scene.load(partner)
        usable = usable & usable_too
        mean += other / np.float32(len(partners))
    gain = _gain(plane, mean, usable, spatial[index].sigma)
    if gain is None:
        return None
    change = np.where(usable, plane - np.float32(gain) * mean, np.float32(0))
    size = block_size(plane.shape)
    blocks = measure_blocks(change, usable, size, brightness=np.where(usable, plane, np.float32(0)))
    if not len(blocks):
        return None
    return _Compared(estimate_blocks(blocks, plane, usable, modality), partners, gain)


def _partners(index: int, spatial: Sequence[NoiseEstimate]) -> list[int]:
    """The frames to compare one with: if possible no noisier, far from it and from each other."""
    own = spatial[index].sigma

    def is_louder(other: int) -> bool:
        return spatial[other].sigma > LOUDER * own

    def fit(other: int) -> tuple[bool, bool, bool, int]:
        distance = abs(other - index)
        return is_louder(other), distance < APART, distance % APART > 0, distance

    others = [k for k in range(len(spatial)) if k != index and spatial[k].sigma > 0] if own > 0 else []
    chosen = sorted(others, key=fit)[:PARTNERS]
    quiet = [k for k in chosen if not is_louder(k)]
    far = [k for k in quiet if abs(k - index) >= APART]
    return next((part for part in (far, quiet) if len(part) > 1), chosen)


def _gain(plane: Plane, other: Plane, usable: Mask, sigma: float) -> float | None:
    """Contrast of a plane relative to another of the scene, 1 where neither shows any; None for other scenes.

    An exposure that changes mid-run may change the contrast with it.
    """
    height, width = (side // CELL * CELL for side in plane.shape)
    shape = (height // CELL, CELL, width // CELL, CELL)
    whole = usable[:height, :width].reshape(shape).all(axis=(1, 3))
    if np.count_nonzero(whole) < 2:
        return 1.0
    own, others = (
        part[:height, :width].reshape(shape).mean(axis=(1, 3), dtype=np.float64)[whole]
        for part in (plane, other)
    )
    own, others = own - own.mean(), others - others.mean()
    # Correlated noise leaves more in a cell's mean than sigma / CELL.
    if np.mean(others**2) < (4 * sigma / CELL) ** 2:
        return 1.0
    gain = float((own * others).sum() / (others**2).sum())
    return gain if LEAST_GAIN < gain < MOST_GAIN else None

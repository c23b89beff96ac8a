"""Noise of every frame of a cine from its difference to other frames, where nothing but noise changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.blocks import measure_blocks
from meddenoise.noise.change import Scene
from meddenoise.noise.estimate import block_size, estimate_blocks

APART = 3
"""Frames from a frame to those it is compared with: the machine's recursive filter makes near ones alike."""
PARTNERS = 4
"""Frames that a frame is compared with, their mean."""
ALIKE = 1.4
"""Ratio of levels up to which two frames are taken to be of the same dose."""
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
    frames hardly differ, or by more than noise (motion), the spatial estimate stays.
    """
    seen = [_compare(scene, k, spatial, modality) for k in range(scene.count)]
    levels = np.array([one.total.sigma if one else own.sigma for one, own in zip(seen, spatial, strict=True)])
    total = np.square(levels)
    power = total / 2
    for _ in range(ROUNDS):
        shares = np.array([one.share(power) if one else 0.0 for one in seen])
        # an estimate of the partners' share may be too high: what is left is not nothing
        power = np.maximum(total - shares, 0.1 * total)
    found = []
    for one, own, variance, difference in zip(seen, spatial, power, total, strict=True):
        sigma = float(np.sqrt(variance))
        if one is None or not FIXED_SHARE * own.sigma < sigma < MOVED * own.sigma:
            found.append(own)
            continue
        share, follows = float(variance / difference), one.total.variance
        scaled = follows and (share * follows[0], share * follows[1])
        found.append(replace(one.total, sigma=sigma, variance=scaled))
    return found


@dataclass(frozen=True, slots=True)
class _Compared:
    """A frame less `gain` times the mean of its partners: what noise that shows."""

    total: NoiseEstimate
    partners: list[int]
    gain: float

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
    """The frames to compare one with: if possible of its own dose, far from it and from each other."""
    own = spatial[index].sigma

    def fit(other: int) -> tuple[bool, bool, bool, int]:
        ratio, distance = spatial[other].sigma / own, abs(other - index)
        return not 1 / ALIKE < ratio < ALIKE, distance < APART, distance % APART > 0, distance

    others = [k for k in range(len(spatial)) if k != index and spatial[k].sigma > 0] if own > 0 else []
    return sorted(others, key=fit)[:PARTNERS]


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

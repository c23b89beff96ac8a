"""Estimate the noise of a plane from its own pixels: level, spectrum, dependence on signal and place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.blocks import Blocks, measure_blocks, ring_areas, usable_pixels
from meddenoise.noise.dependence import Dependence, fit_dependence, stretch_field
from meddenoise.noise.floor import estimate_tiny, ring_floors, total_variance
from meddenoise.noise.profile.change import Scene
from meddenoise.noise.rician import find_coils, find_rayleigh, has_negatives, magnitude_floors
from meddenoise.series import Image, Mask

LARGE_BLOCK, SMALL_BLOCK = 32, 16
"""Sides of a block in pixels: the larger resolves low frequencies, the smaller fits into small images."""
MIN_BRIGHT = 30
"""Blocks, all or those of the noisier part, below which their spectrum is too uncertain."""


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
EMPTY = 0.1
"""Amplitude of the highest band, relative to white, below which noise has no fine part."""
CELL = 16
"""Side in pixels of the means by which the contrast of two frames is compared."""
LEAST_GAIN, MOST_GAIN = 0.5, 2.0
"""Contrasts further apart are not those of one scene."""
ROUNDS = 20
"""Passes in which the partners' share is taken off; each leaves a quarter of the error at most."""


def estimate_plane(plane: Image, valid: Mask | None = None, modality: str = "") -> NoiseEstimate:
    """The noise of one plane [Y, X] from its own pixels, in their unit; sigma 0 where none can be seen.

    `valid` [Y, X] is False where pixels are no image, None where all are. `modality` is a DICOM code: CT
    noise may follow the place, MR noise (and that of an empty code) may be Rician, other noise the signal.

    >>> import numpy as np
    >>> plane = 100 + 5 * np.random.default_rng(0).standard_normal((128, 128), np.float32)
    >>> round(estimate_plane(plane).sigma)
    5
    """
    valid = np.ones(plane.shape, bool) if valid is None else valid
    if min(plane.shape, default=0) < SMALL_BLOCK:
        return NoiseEstimate(estimate_tiny(plane[None], valid[None]))
    plane = np.ascontiguousarray(plane, np.float32)
    usable = usable_pixels(plane, valid)
    blocks = measure_blocks(plane, usable, block_size(plane.shape))
    if blocks.size > SMALL_BLOCK and len(blocks) < MIN_BRIGHT:
        blocks = measure_blocks(plane, usable, SMALL_BLOCK)
    if not len(blocks):
        return NoiseEstimate(estimate_tiny(plane[None], usable[None]))
    return estimate_blocks(blocks, plane, usable, modality)


def estimate_blocks(blocks: Blocks, plane: Image, usable: Mask, modality: str) -> NoiseEstimate:
    """The noise that the blocks of a plane [Y, X] show; `usable` [Y, X] is where it can carry noise."""
    if len(blocks) == 0:
        return NoiseEstimate(0.0)
    rician = find_rayleigh(blocks) if modality in ("MR", "") else None
    if rician is not None and not has_negatives(plane[usable], rician):
        return NoiseEstimate(rician, _bands(magnitude_floors(blocks, rician)), model="rician")
    coils = find_coils(blocks, plane) if modality == "MR" else None
    if coils is not None and has_negatives(plane[usable], coils):
        coils = None
    local = fit_dependence(blocks, plane, modality)
    level = local.blocks
    # The spectrum is that of the noisier part, which holds most of the noise: quiet parts may have another.
    least = np.partition(level, -min(MIN_BRIGHT, len(level)))[-min(MIN_BRIGHT, len(level))]
    even = replace(blocks, power=(blocks.power / level[:, None]).astype(np.float32))
    noisier = even.pick(level >= min(float(level.mean()), float(least)))
    floors = ring_floors(noisier, modality)
    share = total_variance(floors)
    mean = float(local.over(plane)[usable].mean(dtype=np.float64))
    variance = local.variance and local.variance.times(share)
    field = None if local.field is None else np.sqrt(local.field / np.float32(mean))
    return NoiseEstimate(float(np.sqrt(share * mean)), _bands(floors), variance, field, coils=coils)


def sigma_map(estimate: NoiseEstimate, plane: Image) -> Image:
    """Local noise standard deviation of a plane [Y, X]: the map given, else of RMS `estimate.sigma`."""
    if estimate.given is not None:
        return np.ascontiguousarray(estimate.given, np.float32)
    local = Dependence(np.ones(0), estimate.variance).over(plane)
    if estimate.field is not None:
        local *= np.square(stretch_field(estimate.field, plane.shape))
    mean = float(local.mean(dtype=np.float64)) if local.size else 0.0
    return np.asarray(np.sqrt(local / mean) * estimate.sigma if mean > 0 else local * 0, np.float32)


def block_size(shape: tuple[int, ...]) -> int:
    """32 where two blocks fit side by side, else 16."""
    return LARGE_BLOCK if min(shape) >= 2 * LARGE_BLOCK else SMALL_BLOCK


def _bands(floors: NDArray[np.float64]) -> tuple[float, ...]:
    """Relative amplitude in BAND_EDGES of ring powers [rings]."""
    total = total_variance(floors)
    if total <= 0:
        return WHITE
    areas = ring_areas()
    pairs = (slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7))
    powers = [float((floors * areas)[pair].sum() / areas[pair].sum()) for pair in pairs]
    return tuple(float(np.sqrt(power / total)) for power in powers)


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
    follows = noise.variance and noise.variance.times((sigma / noise.sigma) ** 2)
    return replace(noise, sigma=sigma, variance=follows)


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
    total = estimate_blocks(blocks, plane, usable, modality)
    if spatial[index].bands[-1] < EMPTY:
        # Anatomy that stays is not in a difference: its coarse part is noise, however little is fine.
        floors = ring_floors(blocks, modality, steepest=())
        total = replace(spatial[index], sigma=float(np.sqrt(total_variance(floors))))
    return _Compared(total, partners, gain)


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


def _gain(plane: Image, other: Image, usable: Mask, sigma: float) -> float | None:
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

"""Estimate the noise of a plane from its own pixels: level, spectrum, dependence on signal and place."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.blocks import Blocks, measure_blocks, ring_areas, usable_pixels
from meddenoise.noise.dependence import Dependence, fit_dependence, stretch_field
from meddenoise.noise.floor import estimate_tiny, ring_floors, total_variance
from meddenoise.noise.rician import find_rayleigh, has_negatives, magnitude_floors

LARGE_BLOCK, SMALL_BLOCK = 32, 16
"""Sides of a block in pixels: the larger resolves low frequencies, the smaller fits into small images."""
MIN_BRIGHT = 30
"""Blocks, all or those of the noisier part, below which their spectrum is too uncertain."""

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


def estimate_plane(plane: Plane, valid: Mask | None = None, modality: str = "") -> NoiseEstimate:
    """The noise of one plane [Y, X] from its own pixels, in their unit; sigma 0 where none can be seen.

    `valid` [Y, X] is False where pixels are no image, None where all are. `modality` is a DICOM code: CT
    noise may follow the place, MR noise (and that of an empty code) may be Rician, other noise the signal.
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


def estimate_blocks(blocks: Blocks, plane: Plane, usable: Mask, modality: str) -> NoiseEstimate:
    """The noise that the blocks of a plane [Y, X] show; `usable` [Y, X] is where it can carry noise."""
    if len(blocks) == 0:
        return NoiseEstimate(0.0)
    rician = find_rayleigh(blocks) if modality in ("MR", "") else None
    if rician is not None and not has_negatives(plane[usable], rician):
        return NoiseEstimate(rician, _bands(magnitude_floors(blocks, rician)), model="rician")
    local = fit_dependence(blocks, (plane.shape[0], plane.shape[1]), modality)
    level = local.blocks
    # The spectrum is that of the noisier part, which holds most of the noise: quiet parts may have another.
    least = np.partition(level, -min(MIN_BRIGHT, len(level)))[-min(MIN_BRIGHT, len(level))]
    even = replace(blocks, power=(blocks.power / level[:, None]).astype(np.float32))
    noisier = even.pick(level >= min(float(level.mean()), float(least)))
    floors = ring_floors(noisier, modality)
    share = total_variance(floors)
    mean = float(local.over(plane)[usable].mean(dtype=np.float64))
    variance = local.variance and (share * local.variance[0], share * local.variance[1])
    field = None if local.field is None else np.sqrt(local.field / np.float32(mean))
    return NoiseEstimate(float(np.sqrt(share * mean)), _bands(floors), variance, field)


def sigma_map(estimate: NoiseEstimate, plane: Plane) -> Plane:
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

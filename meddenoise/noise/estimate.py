"""Estimate the noise of a series from its own pixels: level, spectrum, dependence on signal and place."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.blocks import Blocks, join_blocks, measure_blocks, ring_areas, usable_pixels
from meddenoise.noise.dependence import Dependence, fit_dependence, stretch_field
from meddenoise.noise.floor import estimate_tiny, ring_floors, total_variance
from meddenoise.noise.rician import find_rayleigh, has_negatives, magnitude_floors
from meddenoise.noise.temporal import difference_blocks

MAX_PLANES = 8
"""Planes of a long series that are looked at, evenly spread."""
LARGE_BLOCK, SMALL_BLOCK = 32, 16
"""Sides of a block in pixels: the larger resolves low frequencies, the smaller fits into small images."""
FEW_BLOCKS = 150
"""Planes with fewer blocks than this are estimated together."""
MIN_BRIGHT = 30
"""Blocks of the noisier part below which its spectrum is too uncertain."""
FIXED_SHARE = 0.2
"""Frames differing by less than this share of their spatial noise repeat one noise pattern."""

Planes = NDArray[np.float32]
Mask = NDArray[np.bool_]


def estimate_noise(
    planes: Planes,
    *,
    modality: str = "",
    valid: Mask | None = None,
    frame_time_ms: float | None = None,
) -> NoiseEstimate:
    """The noise of planes [N, Y, X] in their own units; sigma 0 where none can be seen.

    `modality` is a DICOM code: CT noise may follow the place, MR noise (and that of an empty code) may be
    Rician, other noise the signal. `valid` [N, Y, X] is False where pixels are no image. `frame_time_ms`
    tells that planes are frames of one scene, whose differences show the noise alone.
    """
    size = _block_size(planes.shape[1:])
    mask = np.ones(planes.shape, bool) if valid is None else valid
    if size == 0 or len(planes) == 0:
        return NoiseEstimate(estimate_tiny(planes, mask))
    spatial = _estimate_planes(planes, mask, size, modality)
    if frame_time_ms is None or len(planes) < 3:
        return spatial
    return _estimate_frames(planes, mask, size, modality, spatial)


def estimate_plane(plane: Planes, valid: Mask, modality: str = "") -> NoiseEstimate:
    """The noise of one plane [Y, X] from its own pixels, in their unit; sigma 0 where none can be seen.

    `valid` [Y, X] is False where pixels are no image. `modality` is a DICOM code: CT noise may follow the
    place, MR noise (and that of an empty code) may be Rician, other noise the signal.
    """
    return estimate_noise(plane[None], modality=modality, valid=valid[None])


def sigma_map(estimate: NoiseEstimate, plane: Planes) -> Planes:
    """Local noise standard deviation of a plane [Y, X], its root mean square `estimate.sigma`."""
    local = Dependence(np.ones(0), estimate.variance).over(plane)
    if estimate.field is not None:
        local *= np.square(stretch_field(estimate.field, plane.shape))
    mean = float(local.mean(dtype=np.float64)) if local.size else 0.0
    return np.asarray(np.sqrt(local / mean) * estimate.sigma if mean > 0 else local * 0, np.float32)


def _estimate_planes(planes: Planes, valid: Mask, size: int, modality: str) -> NoiseEstimate:
    """The middle one of the estimates of some planes, or one of all where planes are small."""
    chosen = np.unique(np.linspace(0, len(planes) - 1, min(len(planes), MAX_PLANES)).astype(int))
    picked = [np.ascontiguousarray(planes[i], np.float32) for i in chosen]
    masks = [usable_pixels(plane, valid[i]) for plane, i in zip(picked, chosen, strict=True)]
    tables = [measure_blocks(plane, mask, size) for plane, mask in zip(picked, masks, strict=True)]
    if size > SMALL_BLOCK and sum(len(table) for table in tables) < MIN_BRIGHT:
        return _estimate_planes(planes, valid, SMALL_BLOCK, modality)
    if np.median([len(table) for table in tables]) < FEW_BLOCKS:
        return _estimate(join_blocks(tables), picked, masks, modality)
    single = [
        _estimate(table, [plane], [mask], modality)
        for table, plane, mask in zip(tables, picked, masks, strict=True)
        if len(table) >= FEW_BLOCKS // 2
    ]
    return _middle(single)


def _estimate_frames(
    planes: Planes, valid: Mask, size: int, modality: str, spatial: NoiseEstimate
) -> NoiseEstimate:
    """The estimate from frame differences; the spatial one where frames hardly differ.

    Of several lags the largest noise counts: near frames share part of it through the machine's
    temporal filter.
    """
    middle = [planes[len(planes) // 2].astype(np.float32)]
    mask = [usable_pixels(middle[0], valid[len(planes) // 2])]
    lagged = [_estimate(b, middle, mask, modality) for b in difference_blocks(planes, valid, size) if len(b)]
    if not lagged:
        return spatial
    temporal = max(lagged, key=lambda estimate: estimate.sigma)
    return temporal if temporal.sigma > FIXED_SHARE * spatial.sigma else spatial


def _estimate(blocks: Blocks, planes: list[Planes], masks: list[Mask], modality: str) -> NoiseEstimate:
    """One estimate for the blocks of some planes of one shape."""
    if len(blocks) == 0:
        return NoiseEstimate(0.0)
    rician = find_rayleigh(blocks) if modality in ("MR", "") else None
    if rician is not None and not any(
        has_negatives(plane[mask], rician) for plane, mask in zip(planes, masks, strict=True)
    ):
        return NoiseEstimate(rician, _bands(magnitude_floors(blocks, rician)), model="rician")
    shape = planes[0].shape
    local = fit_dependence(blocks, (shape[0], shape[1]), modality)
    level = local.blocks
    # The spectrum is that of the noisier part, which holds most of the noise: quiet parts may have another.
    least = np.partition(level, -min(MIN_BRIGHT, len(level)))[-min(MIN_BRIGHT, len(level))]
    even = replace(blocks, power=(blocks.power / level[:, None]).astype(np.float32))
    noisier = even.pick(level >= min(float(level.mean()), float(least)))
    floors = ring_floors(noisier, modality)
    share = total_variance(floors)
    inside = [local.over(plane)[mask] for plane, mask in zip(planes, masks, strict=True)]
    mean = float(np.concatenate(inside).mean(dtype=np.float64))
    variance = local.variance and (share * local.variance[0], share * local.variance[1])
    field = None if local.field is None else np.sqrt(local.field / np.float32(mean))
    return NoiseEstimate(float(np.sqrt(share * mean)), _bands(floors), variance, field)


def _bands(floors: NDArray[np.float64]) -> tuple[float, ...]:
    """Relative amplitude in BAND_EDGES of ring powers [rings]."""
    total = total_variance(floors)
    if total <= 0:
        return WHITE
    areas = ring_areas()
    pairs = (slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7))
    powers = [float((floors * areas)[pair].sum() / areas[pair].sum()) for pair in pairs]
    return tuple(float(np.sqrt(power / total)) for power in powers)


def _middle(estimates: list[NoiseEstimate]) -> NoiseEstimate:
    """The median level and mean bands of plane estimates; the rest from the plane of middle level."""
    if not estimates:
        return NoiseEstimate(0.0)
    middle = sorted(estimates, key=lambda estimate: estimate.sigma)[len(estimates) // 2]
    if middle.sigma == 0:
        return middle
    sigma = float(np.median([estimate.sigma for estimate in estimates]))
    bands = np.sqrt(np.mean(np.square([e.bands for e in estimates if e.sigma > 0]), axis=0))
    scale = (sigma / middle.sigma) ** 2
    variance = middle.variance and (middle.variance[0] * scale, middle.variance[1] * scale)
    return replace(middle, sigma=sigma, bands=tuple(float(band) for band in bands), variance=variance)


def _block_size(shape: tuple[int, ...]) -> int:
    """32 where two blocks fit side by side, else 16; 0 where not even one fits."""
    least = min(shape, default=0)
    return LARGE_BLOCK if least >= 2 * LARGE_BLOCK else SMALL_BLOCK if least >= SMALL_BLOCK else 0

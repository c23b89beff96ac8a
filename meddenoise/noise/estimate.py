"""Estimate the noise of a series from its own pixels: level, spectrum, dependence on signal and place."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter, zoom

from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.noise.blocks import Blocks, join_blocks, measure_blocks, ring_areas, usable_pixels
from meddenoise.noise.dependence import fit_variance, variance_at
from meddenoise.noise.floor import ring_floors, total_variance
from meddenoise.noise.rician import find_rayleigh, magnitude_floors

MAX_PLANES = 8
"""Planes of a long series that are looked at, evenly spread."""
FEW_BLOCKS = 150
"""Planes with fewer blocks than this are estimated together."""
MIN_BRIGHT = 30
SMOOTH = 9
"""Width in pixels of the mean that stands for the signal under the noise."""

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

    `modality` is a DICOM code (MR allows Rician noise). `valid` [N, Y, X] is False where pixels are no
    image. `frame_time_ms` tells that planes are frames of one scene, whose differences show the noise.
    """
    chosen = np.unique(np.linspace(0, len(planes) - 1, min(len(planes), MAX_PLANES)).astype(int))
    picked = [np.ascontiguousarray(planes[i], np.float32) for i in chosen]
    masks = [usable_pixels(p, _valid_plane(valid, i, p)) for i, p in zip(chosen, picked, strict=True)]
    size = _block_size(planes.shape[1:])
    if size == 0:
        return NoiseEstimate(0.0)
    tables = [measure_blocks(p, m, size) for p, m in zip(picked, masks, strict=True)]
    if np.median([len(table) for table in tables]) < FEW_BLOCKS:
        return _estimate(join_blocks(tables), picked, masks, modality)
    single = [
        _estimate(table, [p], [m], modality)
        for table, p, m in zip(tables, picked, masks, strict=True)
        if len(table) >= FEW_BLOCKS // 2
    ]
    return _middle(single)


def sigma_map(estimate: NoiseEstimate, plane: Planes) -> Planes:
    """Local noise standard deviation of a plane [Y, X], its root mean square `estimate.sigma`."""
    local = np.ones(plane.shape, np.float32)
    if estimate.variance is not None:
        a, b = estimate.variance
        signal = uniform_filter(np.nan_to_num(plane.astype(np.float32)), SMOOTH)
        variance = np.maximum(a * signal + b, 0)
        local *= np.sqrt(np.maximum(variance, 0.01 * variance.max(initial=0)))
    if estimate.field is not None:
        local *= _stretch(estimate.field, plane.shape)
    scale = float(np.sqrt(np.mean(np.square(local, dtype=np.float64)))) if local.size else 0.0
    return np.asarray(local * (estimate.sigma / scale if scale > 0 else 0.0), np.float32)


def _estimate(blocks: Blocks, planes: list[Planes], masks: list[Mask], modality: str) -> NoiseEstimate:
    """One estimate for the blocks of some planes."""
    if len(blocks) == 0:
        return NoiseEstimate(0.0)
    rician = find_rayleigh(blocks) if modality == "MR" else None
    if rician is not None:
        return NoiseEstimate(rician, _bands(magnitude_floors(blocks, rician)), model="rician")
    variance = fit_variance(blocks)
    if variance is None:
        floors = ring_floors(blocks)
        return NoiseEstimate(float(np.sqrt(total_variance(floors))), _bands(floors))
    a, b = variance
    level = variance_at(blocks.mean, a, b)
    # The spectrum is that of the brighter part, which holds most of the noise: dark parts may have another.
    bright = level >= min(float(level.mean()), float(np.partition(level, -MIN_BRIGHT)[-MIN_BRIGHT]))
    even = replace(blocks, power=blocks.power / level[:, None].astype(np.float32)).pick(bright)
    floors = ring_floors(even)
    share = total_variance(floors)
    inside = [np.maximum(a * uniform_filter(p, SMOOTH) + b, 0)[m] for p, m in zip(planes, masks, strict=True)]
    sigma = float(np.sqrt(share * np.concatenate(inside).mean(dtype=np.float64)))
    return NoiseEstimate(sigma, _bands(floors), (share * a, share * b))


def _bands(floors: NDArray[np.float64]) -> tuple[float, ...]:
    """Relative amplitude in BAND_EDGES of ring powers [rings]."""
    total = total_variance(floors)
    if total <= 0:
        return WHITE
    areas = ring_areas()
    pairs = (slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 7))
    powers = [float((floors * areas)[p].sum() / areas[p].sum()) for p in pairs]
    return tuple(float(np.sqrt(power / total)) for power in powers)


def _middle(estimates: list[NoiseEstimate]) -> NoiseEstimate:
    """The median of plane estimates: everything else from the plane of middle level, bands averaged."""
    if not estimates:
        return NoiseEstimate(0.0)
    order = sorted(estimates, key=lambda e: e.sigma)
    middle = order[len(order) // 2]
    sigma = float(np.median([e.sigma for e in estimates]))
    bands = np.sqrt(np.mean(np.square([e.bands for e in estimates if e.sigma > 0] or [WHITE]), axis=0))
    scale = (sigma / middle.sigma) ** 2 if middle.sigma > 0 else 0.0
    variance = None if middle.variance is None else (middle.variance[0] * scale, middle.variance[1] * scale)
    return replace(middle, sigma=sigma, bands=tuple(float(v) for v in bands), variance=variance)


def _block_size(shape: tuple[int, ...]) -> int:
    """32 where two blocks fit side by side, else 16; 0 where not even one fits."""
    least = min(shape, default=0)
    return 32 if least >= 64 else 16 if least >= 16 else 0


def _valid_plane(valid: Mask | None, index: int, plane: Planes) -> Mask:
    return np.ones(plane.shape, bool) if valid is None else valid[index]


def _stretch(field: Planes, shape: tuple[int, ...]) -> Planes:
    """A coarse map laid over a plane, linear between its points."""
    factors = [n / f for n, f in zip(shape, field.shape, strict=True)]
    return np.asarray(zoom(field, factors, order=1, mode="nearest", grid_mode=True), np.float32)

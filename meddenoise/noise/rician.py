"""Recognise the background of magnitude MR images: the noise of one coil (Rayleigh) or of several."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from meddenoise.noise.blocks import Blocks, ring_areas
from meddenoise.noise.floor import ring_floors
from meddenoise.series import Image, Mask

Real = TypeVar("Real", bound=np.floating)

RAYLEIGH_RATIO = float(np.sqrt(np.pi / (4 - np.pi)))
"""Mean over standard deviation of a Rayleigh distribution, 1.913; multi-coil backgrounds have more."""
SPREAD = 0.15
"""Relative deviation from it of a background that counts as Rayleigh."""
COIL_RATIOS = (1.913, 2.756, 3.402, 3.943, 5.617, 7.975)
"""Mean over standard deviation of noise alone in 1, 2, 3, 4, 8 and 16 coils."""
COIL_SPREADS = (0.655, 0.682, 0.691, 0.695, 0.701, 0.704)
"""Its standard deviation there, in units of sigma."""
SKEW = 0.15
"""Least skewness of it: 0.41 of 2 coils, 0.27 of 4, 0.19 of 8; of normal noise it is 0."""
NEAR, RIM_SHARE = 1.5, 0.5
"""Share of the outermost blocks that are no brighter than so many times the background of coils."""
LEAST_SHARE = 0.03
"""A background smaller than this share of the blocks is no evidence."""
RESAMPLED = 0.1
"""Depth below 0, in sigmas, that interpolation between magnitudes may reach."""
NEGATIVE_SHARE = 1e-3
"""Share of pixels that lie further below in an image whose values are no magnitudes."""
FEWEST_BRIGHT = 30
"""Bright blocks below which their spectrum is too uncertain."""


def find_rayleigh(blocks: Blocks) -> float | None:
    """Sigma of the two channels of a magnitude image, from its empty background; None where there is none.

    Source: Gudbjartsson and Patz 1995, M = sigma sqrt(pi / 2) where there is no signal.
    """
    empty = _empty(blocks, (RAYLEIGH_RATIO * (1 - SPREAD), RAYLEIGH_RATIO * (1 + SPREAD)))
    return None if empty is None else float(np.median(blocks.mean[empty]) / np.sqrt(np.pi / 2))


def find_coils(blocks: Blocks, plane: Image) -> float | None:
    """Sigma where there is signal in a plane [Y, X] that several coils made, from its background, if any.

    Source: Constantinides et al., Magn Reson Med 1997: mean and standard deviation of the noise alone.
    """
    empty = _empty(blocks, (RAYLEIGH_RATIO * (1 + SPREAD), COIL_RATIOS[-1]))
    if empty is None:
        return None
    mean, spread = (float(np.median(part[empty])) for part in (blocks.mean, blocks.std))
    # Dark tissue may have that ratio too, but air surrounds the patient, and its noise is skewed.
    if (
        np.mean(blocks.mean[_rim(blocks)] < NEAR * mean) < RIM_SHARE
        or _skewness(blocks.pick(empty), plane) < SKEW
    ):
        return None
    return spread / float(np.interp(mean / spread, COIL_RATIOS, COIL_SPREADS))


def _rim(blocks: Blocks) -> Mask:
    """The outermost blocks [n]."""
    rim = np.zeros(len(blocks), bool)
    for place in (blocks.y, blocks.x):
        rim |= (place < place.min() + blocks.size / 2) | (place > place.max() - blocks.size / 2)
    return rim


def _skewness(blocks: Blocks, plane: Image) -> float:
    """Third moment of the pixels of these blocks about the mean of each, in units of their spread."""
    half = blocks.size // 2
    corners = zip(blocks.y.astype(int) - half, blocks.x.astype(int) - half, strict=True)
    cuts = np.stack([plane[y : y + blocks.size, x : x + blocks.size] for y, x in corners]).astype(np.float64)
    cuts -= cuts.mean(axis=(1, 2), keepdims=True)
    return float(np.mean(cuts**3) / np.mean(cuts**2) ** 1.5)


def _empty(blocks: Blocks, ratios: tuple[float, float]) -> Mask | None:
    """Blocks [n] of noise alone, whose mean over standard deviation lies between `ratios`.

    None where fewer than half of the dark blocks are.
    """
    if len(blocks) == 0 or blocks.mean.min() <= 0:
        return None
    ratio = blocks.mean / np.maximum(blocks.std, 1e-6 * blocks.mean)
    detrended = (blocks.power * ring_areas()).sum(axis=1)
    # Noise has most of its variance inside the block; an edge or shading has it across the block.
    like = (ratio > ratios[0]) & (ratio < ratios[1]) & (detrended > 0.7 * blocks.std**2)
    dark = blocks.mean < 1.3 * np.quantile(blocks.mean, LEAST_SHARE)
    empty: Mask = like & dark
    return empty if np.count_nonzero(empty) >= max(0.5 * np.count_nonzero(dark), 4) else None


def has_negatives(values: NDArray[np.float32], sigma: float) -> bool:
    """True for values that no magnitude image with this noise holds; resampling leaves a few just below 0."""
    return bool(np.mean(values < -RESAMPLED * sigma) > NEGATIVE_SHARE)


def magnitude_floors(blocks: Blocks, sigma: float) -> NDArray[np.float64]:
    """Relative noise power in each ring: of the background where it is white, else of the bright blocks.

    The magnitude of white noise is white; that of correlated noise is correlated less far, so that the
    background shows correlation but not its reach. Above 3 sigma Rician noise is Gaussian to within 5 %.
    """
    empty = ring_floors(blocks.pick(blocks.mean < 1.5 * sigma))
    bright = blocks.mean > 3 * sigma
    white = empty[:3].mean() < 1.5 * empty[-2:].mean()
    if white or np.count_nonzero(bright) < FEWEST_BRIGHT:
        return empty
    return ring_floors(blocks.pick(bright))


def mean_magnitude(signal: NDArray[Real], sigma: float) -> NDArray[Real]:
    """The mean of Rician magnitudes over a signal of 0 or more, with noise `sigma` in each channel.

    Source: Gudbjartsson and Patz 1995, Magnetic Resonance in Medicine 34(6).
    """
    half = np.square(np.maximum(signal, 0) / sigma, dtype=np.float64) / 4
    mean = sigma * np.sqrt(np.pi / 2) * ((1 + 2 * half) * i0e(half) + 2 * half * i1e(half))
    return np.asarray(mean, signal.dtype)

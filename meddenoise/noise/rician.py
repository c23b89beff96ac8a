"""Recognise the background of magnitude MR images, where the noise is Rayleigh distributed."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

from meddenoise.noise.blocks import Blocks, ring_areas
from meddenoise.noise.floor import ring_floors

Real = TypeVar("Real", bound=np.floating)

RAYLEIGH_RATIO = float(np.sqrt(np.pi / (4 - np.pi)))
"""Mean over standard deviation of a Rayleigh distribution, 1.913; multi-coil backgrounds have more."""
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
    if len(blocks) == 0 or blocks.mean.min() <= 0:
        return None
    ratio = blocks.mean / np.maximum(blocks.std, 1e-6 * blocks.mean)
    detrended = (blocks.power * ring_areas()).sum(axis=1)
    # Noise has most of its variance inside the block; an edge or shading has it across the block.
    like = (np.abs(ratio / RAYLEIGH_RATIO - 1) < 0.15) & (detrended > 0.7 * blocks.std**2)
    dark = blocks.mean < 1.3 * np.quantile(blocks.mean, LEAST_SHARE)
    empty = like & dark
    if np.count_nonzero(empty) < max(0.5 * np.count_nonzero(dark), 4):
        return None
    return float(np.median(blocks.mean[empty]) / np.sqrt(np.pi / 2))


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

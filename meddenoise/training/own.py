"""The noise that a reference has itself, which the loss takes into account."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import estimate_plane
from meddenoise.series import Image
from meddenoise.training.data import middle

CROP = 256
"""Middle of a plane that is looked at, where the anatomy is."""
OBJECT = 0.1
"""Share of the 99.9th percentile above which a pixel belongs to the object."""
MOST, LEAST_FINE = (1.8, 1.4, 1.0, np.inf), 0.45
"""The smoothest spectrum believed: what rises more towards low frequencies is anatomy."""
BELIEVED_MR = 0.85
"""Share of the estimate that is believed in MR, where anatomy is fine at every scale."""
SMOOTH_CT = 4.0
"""Factor of the noise of CT over its finest wavelet band: soft kernels leave little there."""


def own_noise(plane: Image, modality: str, most: float = np.inf) -> NoiseEstimate:
    """The level, at most `most`, and the spectrum of the noise of a low-noise reference [H, W].

    The estimate for images, which takes fine anatomy for noise where there is little of it, is held down by
    the finest wavelet band, where anatomy is rare: too much would teach a network to remove anatomy, too
    little to leave noise.
    """
    crop = middle(plane, CROP)
    seen = estimate_plane(crop, modality=modality)
    bands = np.minimum(seen.bands, MOST)
    bands[-1] = max(seen.bands[-1], LEAST_FINE)
    limit = finest_level(crop) * (SMOOTH_CT if modality == "CT" else 1 / bands[-1])
    believed = BELIEVED_MR if modality == "MR" else 1.0
    return NoiseEstimate(float(min(believed * min(seen.sigma, limit), most)), _normal(bands))


def finest_level(plane: Image) -> float:
    """The noise standard deviation that the finest diagonal Haar band of the object shows.

    Source: Donoho, Johnstone 1994 (median of absolute coefficients / 0.6745).
    """
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    a, b = plane[0:height:2, 0:width:2], plane[0:height:2, 1:width:2]
    c, d = plane[1:height:2, 0:width:2], plane[1:height:2, 1:width:2]
    inside = (a + b + c + d) / 4 > OBJECT * np.percentile(plane, 99.9)
    detail = np.abs(a - b - c + d)[inside] / 2
    return float(np.median(detail) / 0.6745) if detail.size else 0.0


def _normal(bands: NDArray[np.float64]) -> tuple[float, ...]:
    """The same spectrum with unit mean power over all frequencies."""
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(128)] * 2))
    share = np.histogram(f, (0, 0.125, 0.25, 0.375, 1))[0] / f.size
    return tuple((bands / np.sqrt((share * bands**2).sum())).tolist())

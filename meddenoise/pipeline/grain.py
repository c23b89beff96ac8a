"""Grain for a filled hole: fresh noise with the texture, direction included, of what is around it."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2, rfft2
from scipy.ndimage import distance_transform_edt

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import noise_like
from meddenoise.noise.estimate import sigma_map
from meddenoise.noise.spectrum import shaped_noise, unit_gain
from meddenoise.series import Image, Mask

PATCH, STEP = 12, 4
"""Side of a patch and distance between patches, in pixels: small ones fit between edges."""
NEAR = 16
"""Mean distance, in pixels, of a patch to the hole at most: the streaks of CT turn with the place."""
FEWEST, MOST = 24, 200
"""Patches: with fewer their mean spectrum says too little; of more the nearest are taken."""
LEAST, FLAT = 0.2, 1.3
"""Variance of a patch, relative to that of the noise there: below it is clipped, above it is not flat."""
REACH = 8
"""Lag, in pixels, at which correlation ends: overlaps of patches tell nothing of longer ones."""


def grain_like(
    noise: NoiseEstimate, plane: Image, hole: Mask, valid: Mask, rng: np.random.Generator
) -> Image:
    """Fresh noise [Y, X] for `hole` in a plane: the local level of `noise`, the texture around the hole.

    Texture is the mean autocorrelation of flat patches of valid pixels near the hole. With too few of them it
    is the radial spectrum of `noise`.
    """
    sigma = sigma_map(noise, plane)
    patches = _flat_patches(plane, hole, valid, sigma)
    if len(patches) < FEWEST:
        return noise_like(noise, plane, rng)
    height, width = (side + REACH for side in plane.shape)  # so that opposite borders do not know each other
    texture = shaped_noise((height, width), _gain(_autocorrelation(patches), height, width), rng)
    return np.asarray(sigma * texture[: plane.shape[0], : plane.shape[1]], np.float32)


def _flat_patches(plane: Image, hole: Mask, valid: Mask, sigma: Image) -> NDArray[np.float64]:
    """The flat patches [n, PATCH, PATCH] nearest to the hole, less a plane, in units of the noise."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    cut = tuple(slice(max(0, part[0] - PATCH - NEAR), part[-1] + PATCH + NEAR) for part in (rows, columns))

    def windows(image: NDArray[np.generic]) -> NDArray[np.generic]:
        view: NDArray[np.generic] = sliding_window_view(image[cut], (PATCH, PATCH))[::STEP, ::STEP]
        return view

    none = np.zeros((0, PATCH, PATCH))
    if min(plane[cut].shape) < PATCH:
        return none
    whole = windows(valid & ~hole & (sigma > 0)).all(axis=(2, 3))
    distance = windows(distance_transform_edt(~hole))[whole].mean(axis=(1, 2))
    found = windows(plane)[whole].astype(np.float64) / windows(sigma)[whole].mean(axis=(1, 2), keepdims=True)
    if not len(found):
        return none
    y, x = np.indices((PATCH, PATCH)) - (PATCH - 1) / 2
    basis = np.linalg.qr(np.stack([np.ones(PATCH**2), y.ravel(), x.ravel()], axis=1))[0]
    flat = found.reshape(len(found), -1)
    found = (flat - flat @ basis @ basis.T).reshape(found.shape)
    order = np.argsort(distance, kind="stable")
    variance = found.var(axis=(1, 2))
    is_flat = (variance > LEAST) & (variance < FLAT) & (distance <= NEAR)
    chosen: NDArray[np.float64] = found[order[is_flat[order]][:MOST]]
    return chosen


def _autocorrelation(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean covariance by lag [2 PATCH, 2 PATCH], lag 0 first, fading out at REACH."""
    hann = np.hanning(PATCH + 2)[1:-1]
    window, size = np.sqrt(np.outer(hann, hann)), (2 * PATCH, 2 * PATCH)
    power = (np.abs(fft2(patches * window, size)) ** 2).mean(axis=0)
    overlap = ifft2(np.abs(fft2(window, size)) ** 2).real
    lag = np.abs(np.fft.fftfreq(2 * PATCH, 1 / (2 * PATCH)))
    far = np.minimum(np.hypot(lag[:, None], lag) / REACH, 1)
    fading = (1 + np.cos(np.pi * far)) / 2
    covariance: NDArray[np.float64] = ifft2(power).real * fading / np.maximum(overlap, 1e-6)
    return covariance


def _gain(covariance: NDArray[np.float64], height: int, width: int) -> Image:
    """Amplitude spectrum [height, width // 2 + 1] of unit mean power of noise with that covariance."""
    lags = np.arange(1 - REACH, REACH)
    spread = np.zeros((height, width))
    spread[np.ix_(lags % height, lags % width)] = covariance[np.ix_(lags, lags)]
    return unit_gain(np.sqrt(np.maximum(rfft2(spread).real, 0)).astype(np.float32), width)

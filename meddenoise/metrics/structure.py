"""Metrics of detail against a reference: MS-SSIM, HFEN and GMSD."""

import math

import numpy as np
from scipy.ndimage import correlate1d, uniform_filter

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.planes import checked_range, halve, inner, mean_of_planes, paired_planes
from meddenoise.metrics.reference import SSIM_RADIUS, ssim_maps
from meddenoise.series import Floats, Mask, Numbers

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LOG_SIGMA = 1.5
_LOG_RADIUS = 7
_GMS_CONSTANT = 170.0


def ms_ssim(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Structural similarity over five scales, 0 to 1: the mean over planes of the plane's own value.

    At each scale the windows of `ssim` count that lie inside the plane and are centred on masked pixels; a
    negative mean counts as 0. Raises UndefinedError without a data range, or where no window fits at the
    coarsest scale (planes below 161 pixels a side).
    Source: Wang, Simoncelli, Bovik 2003, Asilomar; scales by means of 2 x 2 pixels.
    """
    peak = checked_range(protocol)
    values = [
        math.prod(mean**weight for mean, weight in zip(means, _SCALE_WEIGHTS, strict=True))
        for x, y, mask in paired_planes(result, reference, protocol)
        if (means := _scale_means(np.where(mask, x, 0.0), np.where(mask, y, 0.0), mask, peak))
    ]
    return mean_of_planes(values, "no window fits into the image at the coarsest of its five scales")


def hfen(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Norm of the error of fine detail over the norm of the detail of the reference; 0 or more.

    Detail is what a Laplacian of Gaussian of 15 x 15 pixels and standard deviation 1.5 shows, where it lies
    inside plane and mask. Raises UndefinedError where it fits nowhere, or the reference has no detail.
    Source: Ravishankar, Bresler 2011, IEEE Trans. Medical Imaging 30(5).
    """
    ratios: list[tuple[float, float]] = []
    for x, y, mask in paired_planes(result, reference, protocol):
        inside = inner(mask, _LOG_RADIUS)
        if inside.any():
            # far from zero the filter would lose digits
            level = float(y[mask].mean())
            detail = _laplacian(np.where(mask, y - level, 0.0))[inside]
            error = _laplacian(np.where(mask, x - y, 0.0))[inside]
            ratios.append((float(np.square(error).sum()), float(np.square(detail).sum())))
    if not ratios:
        raise UndefinedError(f"no window of {2 * _LOG_RADIUS + 1} pixels a side fits into the image")
    if protocol.scope == "volume":
        ratios = [(sum(error for error, _ in ratios), sum(detail for _, detail in ratios))]
    if min(detail for _, detail in ratios) <= 0:
        raise UndefinedError("the reference has no detail")
    return float(np.mean([math.sqrt(error / detail) for error, detail in ratios]))


def gmsd(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Standard deviation of the similarity of gradients, R as 255; 0 for equal gradients, more is worse.

    The mean over planes of the plane's own value. Planes are halved by means of 2 x 2 pixels; Prewitt
    gradients count where they lie inside plane and mask. Raises UndefinedError without a data range, or where
    no gradient fits.
    Source: Xue, Zhang, Mou, Bovik 2014, IEEE Trans. Image Processing 23(2).
    """
    scale = 255 / checked_range(protocol)
    values = []
    for x, y, mask in paired_planes(result, reference, protocol):
        inside = inner(halve(mask) == 1, 1)
        if inside.any():
            a, b = (_prewitt(halve(np.where(mask, plane * scale, 0.0))) for plane in (x, y))
            similarity = (2 * a * b + _GMS_CONSTANT) / (a * a + b * b + _GMS_CONSTANT)
            values.append(float(similarity[inside].std()))
    return mean_of_planes(values, "no gradient fits into the halved image")


def _scale_means(x: Floats, y: Floats, mask: Mask, peak: float) -> list[float]:
    """Mean of the structure factor at each scale, of SSIM at the last; empty where no window fits."""
    means = []
    for scale in range(len(_SCALE_WEIGHTS)):
        if scale:
            x, y, mask = halve(x), halve(y), halve(mask) == 1
        windows = mask[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
        if not windows.any():
            return []
        maps = ssim_maps(x, y, peak)
        chosen = maps[0] if scale == len(_SCALE_WEIGHTS) - 1 else maps[1]
        inside = chosen[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
        means.append(max(float(inside[windows].mean()), 0.0))
    return means


def _laplacian(plane: Floats) -> Floats:
    """The plane filtered by a 15 x 15 Laplacian of Gaussian whose weights sum up to 0."""
    t = np.arange(-_LOG_RADIUS, _LOG_RADIUS + 1, dtype=np.float64)
    smooth = np.exp(-t * t / (2 * _LOG_SIGMA**2))
    smooth /= smooth.sum()
    second = smooth * (t * t - _LOG_SIGMA**2) / _LOG_SIGMA**4
    down = correlate1d(correlate1d(plane, second, 0), smooth, 1)
    right = correlate1d(correlate1d(plane, smooth, 0), second, 1)
    # of the square, its share of the sum of all weights is taken from each weight
    remainder: Floats = uniform_filter(plane, 2 * _LOG_RADIUS + 1)
    filtered: Floats = down + right - 2 * second.sum() * remainder
    return filtered


def _prewitt(plane: Floats) -> Floats:
    """Length of the Prewitt gradient, weights 1 / 3."""
    slopes = [
        correlate1d(correlate1d(plane, [1.0, 0.0, -1.0], axis), [1 / 3, 1 / 3, 1 / 3], 1 - axis)
        for axis in (0, 1)
    ]
    length: Floats = np.hypot(*slopes)
    return length

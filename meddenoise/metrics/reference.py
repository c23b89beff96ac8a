"""Metrics against a reference: PSNR, SSIM, RMSE, MAE, biases; and acutance, in units of its range."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.planes import NO_PIXEL, checked_range, combine, paired_plane, paired_planes
from meddenoise.series import Floats, Numbers

TISSUES, TISSUE_SHARE = 8, 0.02
SAMPLED = 100_000
"""Pixels of a plane that the ranges are chosen by."""
_SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
"""Of the window, in pixels."""
_SSIM_K = (0.01, 0.03)


def psnr(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """10 log10(R^2 / MSE) in dB; infinite where the images are identical.

    Raises UndefinedError without a data range or without a pixel to compare.

    >>> import numpy as np
    >>> clean = np.zeros((1, 8, 8))
    >>> round(psnr(clean + 1, clean, Protocol(data_range=255.0)), 2)
    48.13
    """
    peak = checked_range(protocol)

    def decibel(mse: float) -> float:
        return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)

    return _pooled(result, reference, protocol, np.square, decibel)


def rmse(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Root mean square error in the protocol's unit."""
    return _pooled(result, reference, protocol, np.square, math.sqrt)


def mae(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Mean absolute error in the protocol's unit."""
    return _pooled(result, reference, protocol, np.abs, float)


def bias(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Mean of result minus reference in the protocol's unit: positive where the result is too high."""
    return _pooled(result, reference, protocol, np.positive, float)


def bias_worst(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """The bias of the tissue that is shifted most, in the protocol's unit, with its sign.

    Tissues are TISSUES equal ranges between the 0.5th and the 99.5th percentile of the reference, those that
    hold TISSUE_SHARE of the pixels. Raises UndefinedError without a pixel to compare.
    """
    planes = [n for n, (_, _, mask) in enumerate(paired_planes(result, reference, protocol)) if mask.any()]
    groups = [planes] if protocol.scope == "volume" else [[n] for n in planes]
    if not planes:
        raise UndefinedError(NO_PIXEL)

    def chosen(group: list[int]) -> Iterator[tuple[Floats, Floats]]:
        for n in group:
            x, y, mask = paired_plane(result, reference, protocol, n)
            yield x[mask], y[mask]

    return float(np.mean([_worst_shift(partial(chosen, group)) for group in groups]))


def ssim(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Structural similarity, at most 1: 11 x 11 Gaussian window of sigma 1.5, K = (0.01, 0.03).

    Computed plane by plane, over the windows that lie inside the plane and are centred on a masked pixel.
    Raises UndefinedError without a data range or where no window fits.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Trans. Image Processing 13(4), with biased covariances.
    """
    peak = checked_range(protocol)
    sums: list[tuple[float, int]] = []
    for x, y, mask in paired_planes(result, reference, protocol):
        inner = (slice(SSIM_RADIUS, -SSIM_RADIUS),) * 2
        windows = mask[inner]
        if windows.any():
            similarity, _ = ssim_maps(np.where(mask, x, 0.0), np.where(mask, y, 0.0), peak)
            sums.append((float(similarity[inner][windows].sum()), int(windows.sum())))
    if not sums:
        size = 2 * SSIM_RADIUS + 1
        raise UndefinedError(f"no window of {size} x {size} pixels fits into the image")
    return combine(sums, protocol)


def ssim_maps(x: Floats, y: Floats, peak: float) -> tuple[Floats, Floats]:
    """SSIM of the window centred on every pixel, and its second factor, contrast and structure."""

    def mean(plane: Floats) -> Floats:
        blurred: Floats = gaussian_filter(plane, _SSIM_SIGMA, radius=SSIM_RADIUS)
        return blurred

    c1, c2 = ((k * peak) ** 2 for k in _SSIM_K)
    # Variances by moments lose digits far from zero: both planes are moved by one constant first.
    offset = float(y.mean())
    mx, my = mean(x), mean(y)
    dx, dy = x - offset, y - offset
    ux, uy = mx - offset, my - offset
    variance = mean(dx * dx) - ux * ux + mean(dy * dy) - uy * uy
    covariance = mean(dx * dy) - ux * uy
    structure = (2 * covariance + c2) / (variance + c2)
    return (2 * mx * my + c1) / (mx * mx + my * my + c1) * structure, structure


def acutance(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Mean length of the gradient of the result, R as 255, per pixel; 0 or more, best that of the reference.

    Central differences. Only comparable where as much noise is left: noise raises it. Of the reference it is
    `acutance(reference, reference, protocol)`. Raises UndefinedError without a data range, for planes one
    pixel wide, or without a pixel to compare.
    """
    scale = 255 / checked_range(protocol)
    sums: list[tuple[float, int]] = []
    for x, _, mask in paired_planes(result, reference, protocol):
        if min(x.shape) < 2:
            raise UndefinedError("an image one pixel wide has no gradient")
        # Next to what is not finite there is no gradient.
        slope = np.hypot(*np.gradient(x))
        inside = mask & np.isfinite(slope)
        if inside.any():
            sums.append((scale * float(slope[inside].sum()), int(inside.sum())))
    return combine(sums, protocol)


def _worst_shift(pixels: Callable[[], Iterator[tuple[Floats, Floats]]]) -> float:
    """The mean error of the range of the reference that is farthest from 0; walks over the planes twice."""
    sample = np.concatenate([y[:: max(1, y.size // SAMPLED)] for _, y in pixels()])
    low, high = np.quantile(sample, (0.005, 0.995), method="inverted_cdf")
    edges = np.linspace(float(low), float(high), TISSUES + 1)[1:-1]
    counts, sums = np.zeros(TISSUES), np.zeros(TISSUES)
    for x, y in pixels():
        tissue = np.digitize(y, edges)
        counts += np.bincount(tissue, minlength=TISSUES)
        sums += np.bincount(tissue, x - y, TISSUES)
    large = counts >= TISSUE_SHARE * counts.sum()
    shifts = sums[large] / counts[large]
    return float(shifts[np.abs(shifts).argmax()])


def _pooled(
    result: Numbers,
    reference: Numbers,
    protocol: Protocol,
    penalty: Callable[[Floats], Floats],
    finish: Callable[[float], float],
) -> float:
    """`finish` of the mean penalty of the error, over the volume or plane by plane."""
    sums = [
        (float(penalty(x[mask] - y[mask]).sum()), int(mask.sum()))
        for x, y, mask in paired_planes(result, reference, protocol)
        if mask.any()
    ]
    return combine(sums, protocol, finish)

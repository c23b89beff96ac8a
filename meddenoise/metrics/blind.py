"""Metrics without a reference: what was removed should look like noise and like nothing else."""

import numpy as np
from scipy.ndimage import gaussian_filter

from meddenoise.metrics import Image, Protocol, UndefinedError
from meddenoise.metrics.planes import NO_PIXEL, paired_planes


def residual_ratio(result: Image, noisy: Image, protocol: Protocol) -> float:
    """Standard deviation of noisy minus result over the noise standard deviation; 1 when all noise went.

    Above 1 more than the noise was removed. Raises UndefinedError where the noise level is unknown or zero.
    """
    if protocol.sigma is None:
        raise UndefinedError("the noise level of the noisy image is not known")
    if protocol.sigma <= 0:
        raise UndefinedError("the noisy image has no noise")
    count, total, squares = 0, 0.0, 0.0
    for clean, before, mask in paired_planes(result, noisy, protocol):
        values = before[mask] - clean[mask]
        count += values.size
        total += float(values.sum())
        squares += float(np.square(values).sum())
    if count == 0:
        raise UndefinedError(NO_PIXEL)
    variance = max(squares / count - (total / count) ** 2, 0.0)
    return float(np.sqrt(variance)) / protocol.sigma


def residual_structure(result: Image, noisy: Image, protocol: Protocol) -> float:
    """Correlation of |noisy - result| with the gradient of the result, -1 to 1; 0 when no edge was removed.

    Noise that follows the signal correlates with the image, not with its edges; above about 0.3 edges went
    out with the noise. Raises UndefinedError where the residual or the gradient is constant.
    """
    moments = np.zeros(6)
    for clean, before, mask in paired_planes(result, noisy, protocol):
        if min(clean.shape) < 2:
            raise UndefinedError("an image one pixel wide has no gradient")
        size = np.abs(before[mask] - clean[mask])
        slope = np.hypot(*np.gradient(gaussian_filter(np.where(mask, clean, 0.0), 1.0)))[mask]
        products = (np.ones_like(size), size, slope, size * size, slope * slope, size * slope)
        moments += [float(values.sum()) for values in products]
    count = moments[0]
    if count == 0:
        raise UndefinedError(NO_PIXEL)
    _, a, b, aa, bb, ab = moments / count
    variances = aa - a * a, bb - b * b
    # Below this share of the mean square a variance is rounding of the moments.
    if variances[0] <= 1e-12 * aa or variances[1] <= 1e-12 * bb:
        raise UndefinedError("what was removed, or the result itself, is constant")
    return float((ab - a * b) / np.sqrt(variances[0] * variances[1]))

"""The spectrum of what was removed: is it that of the noise, is it a pattern?"""

import numpy as np

from meddenoise.metrics import Image, Protocol, UndefinedError
from meddenoise.metrics.nps import difference_nps, flatness
from meddenoise.metrics.planes import mean_of_planes, paired_planes
from meddenoise.metrics.residual import SMALLEST, nps_distance
from meddenoise.noise.estimate import sigma_map


def residual_nps_distance(result: Image, noisy: Image, protocol: Protocol) -> float:
    """Relative distance between the power spectra of what was removed and of the noise, 0 or more.

    0 when the residual has level and spectrum of the noise, 1 when nothing was removed; mean over planes, by
    the noise that is known of each place (`residual.nps_distance`). Raises UndefinedError where the noise is
    not known, and for planes of fewer than 32 pixels a side.
    """
    noise = protocol.noise
    if noise is None or noise.sigma <= 0:
        raise UndefinedError("the noisy image has no noise, or it is not known")
    values = []
    for n, (clean, before, mask) in enumerate(paired_planes(result, noisy, protocol)):
        own = noise.plane(n)
        sigma = sigma_map(own, np.where(mask, before, 0.0).astype(np.float32))
        if min(clean.shape) >= SMALLEST and (mask & (sigma > 0)).any():
            residual = np.where(mask, before - clean, 0.0)
            values.append(nps_distance(residual, sigma, own.bands, mask))
    return mean_of_planes(values, f"no plane has {SMALLEST} pixels a side and noise")


def residual_whiteness(result: Image, noisy: Image, protocol: Protocol) -> float:
    """Flatness of the radial spectrum of what was removed: 1 for white noise, towards 0 for a pattern.

    Geometric over arithmetic mean of the power up to Nyquist. Raises UndefinedError where nothing was
    removed, or no patch of 16 pixels fits.
    """
    return flatness(difference_nps(noisy, result, protocol))

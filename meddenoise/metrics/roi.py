"""Measures of regions a person chooses: SNR, CNR and the noise spectrum of a flat one."""

import numpy as np

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.nps import Nps, detrend, mean_frequency, measure_nps, peak_frequency
from meddenoise.metrics.regions import Box
from meddenoise.series import Mask, Numbers

FEWEST = 100
"""Pixels of a plane's region below which its standard deviation is too uncertain."""


def roi_snr(result: Numbers, other: Numbers, protocol: Protocol, detrended: bool = False) -> float:
    """|mean| over standard deviation of the first region, of its pixels in each plane; 0 or more.

    Planes pooled: mean of the means over root mean square of the deviations. `detrended` takes a plane out
    first, which shading would add to the deviation. Raises UndefinedError for fewer than FEWEST pixels, for
    holes, and where all are equal.
    """
    mean, std = _moments(result, protocol.rois[0], protocol, detrended)
    if not std.min() > 0:
        raise UndefinedError("the region is constant")
    if protocol.scope == "volume":
        return float(abs(mean.mean()) / np.sqrt(np.square(std).mean()))
    return float((np.abs(mean) / std).mean())


def roi_cnr(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """|m1 - m2| over the root mean square of the deviations of two regions, 0 or more.

    Raises UndefinedError as `roi_snr`, and where the regions lie in other numbers of planes.
    """
    (m1, s1), (m2, s2) = (_moments(result, box, protocol, False) for box in protocol.rois[:2])
    if len(m1) != len(m2):
        raise UndefinedError("the two regions are not in as many planes")
    power = (np.square(s1) + np.square(s2)) / 2
    if not power.min() > 0:
        raise UndefinedError("the regions are constant")
    if protocol.scope == "volume":
        return float(abs(m1.mean() - m2.mean()) / np.sqrt(power.mean()))
    return float((np.abs(m1 - m2) / np.sqrt(power)).mean())


def roi_nps_peak(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """Frequency at which the noise spectrum of the first region is highest; UndefinedError as `roi_nps`."""
    return peak_frequency(roi_nps(result, protocol))


def roi_nps_mean(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """Mean frequency of the noise spectrum of the first region; UndefinedError as `roi_nps`."""
    return mean_frequency(roi_nps(result, protocol))


def roi_nps(result: Numbers, protocol: Protocol) -> Nps:
    """The noise spectrum of the first region. Raises UndefinedError where no patch fits, or for holes."""
    box = protocol.rois[0]
    values, mask = _cut(result, box, protocol)
    return measure_nps(zip(values, mask, strict=True), protocol.spacing_mm)


def _cut(image: Numbers, box: Box, protocol: Protocol) -> tuple[Numbers, Mask]:
    values = box.cut(image).astype(np.float64)
    mask = np.isfinite(values)
    if protocol.mask is not None:
        mask &= box.cut(protocol.mask).astype(bool)
    return np.where(mask, values, 0.0), mask


def _moments(image: Numbers, box: Box, protocol: Protocol, detrended: bool) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of the region in each plane."""
    values, mask = _cut(image, box, protocol)
    if box.height * box.width < FEWEST:
        raise UndefinedError(f"the region has fewer than {FEWEST} pixels")
    if not mask.all():
        raise UndefinedError("the region holds pixels outside the image")
    spread = detrend(values) if detrended else values
    return values.mean(axis=(1, 2)), spread.std(axis=(1, 2), ddof=3 if detrended else 1)

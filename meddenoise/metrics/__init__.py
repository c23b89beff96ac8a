"""SHELF of metrics: what a number was measured with, the contract of a metric, and the table of them.

A metric is a function `(result, other, protocol) -> float` on images [N, Y, X] in `protocol.unit`, where
`other` is the reference or the noisy image, as its row says. It computes in float64 and raises
UndefinedError where it has no value; it never makes one up.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating]
"""Planes [N, Y, X] in physical units."""


class UndefinedError(ValueError):
    """A metric has no value for these images; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """What a number was measured with; printed beside every number.

    `data_range` is the R of PSNR and SSIM in `unit`, `range_source` how it was chosen. `mask` [N, Y, X] is
    True where a pixel counts, None where all do. `scope` "volume" pools all planes, "plane" is the mean over
    planes of the plane's own value. `sigma` is the noise of the noisy image in `unit`, for the metrics of
    the residual; None where it is not known.
    """

    data_range: float | None = None
    range_source: str = "is not given"
    unit: str = ""
    mask: NDArray[np.bool_] | None = None
    mask_source: str = "all pixels"
    scope: Literal["volume", "plane"] = "volume"
    sigma: float | None = None

    def describe(self) -> str:
        """One line for people, the same for all images measured alike: how R was chosen, mask, scope."""
        unit = f", in {self.unit}" if self.unit else ""
        scope = "planes pooled" if self.scope == "volume" else "mean over planes"
        return f"R {self.range_source}{unit}; {self.mask_source}; {scope}; SSIM of Wang 2004, plane by plane"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: where the function is ("module:name"), what it is given, and how to read the number."""

    where: str
    needs: Literal["reference", "noisy"]
    unit: str
    """"dB", "" for a pure number, "image" for the unit of the image."""
    best: str
    what: str


METRICS: dict[str, Metric] = {
    "psnr": Metric(
        "meddenoise.metrics.reference:psnr", "reference", "dB", "high", "peak signal-to-noise ratio"
    ),
    "ssim": Metric(
        "meddenoise.metrics.reference:ssim", "reference", "", "1", "structural similarity, 11 x 11 Gaussian"
    ),
    "rmse": Metric("meddenoise.metrics.reference:rmse", "reference", "image", "0", "root mean square error"),
    "mae": Metric("meddenoise.metrics.reference:mae", "reference", "image", "0", "mean absolute error"),
    "bias": Metric("meddenoise.metrics.reference:bias", "reference", "image", "0", "mean of the error"),
    "acutance": Metric(
        "meddenoise.metrics.reference:acutance",
        "reference",
        "",
        "that of the reference",
        "sharpness: mean gradient of the result in 255ths of R a pixel; noise raises it too",
    ),
    "residual_ratio": Metric(
        "meddenoise.metrics.blind:residual_ratio",
        "noisy",
        "",
        "1",
        "standard deviation of what was removed, over that of the noise",
    ),
    "residual_structure": Metric(
        "meddenoise.metrics.blind:residual_structure",
        "noisy",
        "",
        "0",
        "correlation of what was removed with the edges of the result",
    ),
}

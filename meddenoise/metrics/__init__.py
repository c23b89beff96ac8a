"""SHELF of metrics: what a number was measured with, the contract of a metric, and the table of them.

A metric is a function `(result, other, protocol) -> float` on images [N, Y, X] in `protocol.unit`, where
`other` is the image its row needs: the reference, the noisy image, or, for metrics of the result alone, the
reference where there is one and else the result, to find places by. It computes in float64 and raises
UndefinedError where it has no value; it never makes one up. Rows that need the method take the denoiser
instead, as the docstrings of their functions say.
"""

from dataclasses import dataclass
from typing import Literal

from meddenoise.metrics.protocol import Protocol as Protocol

TRUTH = "that of the reference"
"""The best value of a metric that is no better for being higher or lower."""
TEXTURE = "that of the noisy image"
"""The best value of what should not change with the noise level: how the noise looks."""
NOISE = "that of the noise"
"""The best value of what is known of the noise alone."""
DECIMALS = {"psnr": 2, "ssim": 4, "ms_ssim": 4}
"""Of metrics that people read with as many, zeros at the end included."""


class UndefinedError(ValueError):
    """A metric has no value for these images; the message says why."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: where the function is ("module:name"), what it is given, and how to read the number."""

    where: str
    needs: Literal["reference", "noisy", "result", "method"]
    label: str
    unit: str
    """"dB", "" for a pure number, "image" for the unit of the image, "image2" for its square, "frequency"."""
    best: str
    """"high", "low", a number, TRUTH, TEXTURE or NOISE."""
    what: str
    region: Literal["", "roi", "rois", "edge"] = ""
    """Regions to choose in the image: none, one or two, or an edge."""
    optional: bool = False
    """Measured only where it is asked for: it takes packages and weights that may not be there."""

    def unit_in(self, protocol: Protocol) -> str:
        """The unit of numbers measured by this protocol, empty for a pure number."""
        image = protocol.unit
        frequency = "1/px" if protocol.spacing_mm is None else "1/mm"
        told = {"image": image, "image2": f"{image}²" if image else "", "frequency": frequency}
        return told.get(self.unit, self.unit)


def _row(module: str, name: str) -> str:
    return f"meddenoise.metrics.{module}:{name}"


METRICS: dict[str, Metric] = {
    "psnr": Metric(
        _row("reference", "psnr"), "reference", "PSNR", "dB", "high", "peak signal-to-noise ratio"
    ),
    "ssim": Metric(
        _row("reference", "ssim"),
        "reference",
        "SSIM",
        "",
        "1",
        "structural similarity of Wang 2004: 11 x 11 Gaussian window of 1.5 pixels, K 0.01 and 0.03",
    ),
    "ms_ssim": Metric(
        _row("structure", "ms_ssim"),
        "reference",
        "MS-SSIM",
        "",
        "1",
        "structural similarity of Wang 2003 over five scales; planes of at least 161 pixels a side",
    ),
    "rmse": Metric(_row("reference", "rmse"), "reference", "RMSE", "image", "0", "root mean square error"),
    "mae": Metric(_row("reference", "mae"), "reference", "MAE", "image", "0", "mean absolute error"),
    "bias": Metric(
        _row("reference", "bias"), "reference", "bias", "image", "0", "mean of the error, below 0: too dark"
    ),
    "bias_worst": Metric(
        _row("reference", "bias_worst"),
        "reference",
        "bias, worst tissue",
        "image",
        "0",
        "mean of the error in the one of eight ranges of the reference in which it is farthest from 0",
    ),
    "hfen": Metric(
        _row("structure", "hfen"),
        "reference",
        "HFEN",
        "",
        "0",
        "error of fine detail over the detail there is: Laplacian of Gaussian, 15 x 15, 1.5 pixels",
    ),
    "gmsd": Metric(
        _row("structure", "gmsd"),
        "reference",
        "GMSD",
        "",
        "0",
        "spread of the similarity of gradients over the plane, R as 255 (Xue 2014)",
    ),
    "acutance": Metric(
        _row("reference", "acutance"),
        "reference",
        "acutance",
        "",
        TRUTH,
        "sharpness: mean gradient of the result in 255ths of R a pixel; noise raises it too",
    ),
    "reblur": Metric(
        _row("sharpness", "reblur"),
        "result",
        "reblur",
        "",
        TRUTH,
        "blur of Crete 2007, 0 sharp to 1 blurred; noise lowers it",
    ),
    "nps_peak": Metric(
        _row("nps", "nps_peak"),
        "reference",
        "error NPS peak",
        "frequency",
        TEXTURE,
        "frequency at which the spectrum of the error is highest",
    ),
    "nps_mean": Metric(
        _row("nps", "nps_mean"),
        "reference",
        "error NPS mean",
        "frequency",
        TEXTURE,
        "mean frequency of the spectrum of the error: low looks blotchy",
    ),
    "residual_ratio": Metric(
        _row("residual", "residual_ratio"),
        "noisy",
        "residual / noise",
        "",
        "1",
        "standard deviation of the removed part, over that of the noise",
    ),
    "residual_structure": Metric(
        _row("residual", "residual_structure"),
        "noisy",
        "residual ~ edges",
        "",
        "0",
        "correlation of the removed part with the edges of the result",
    ),
    "residual_nps_distance": Metric(
        _row("residual", "residual_nps_distance"),
        "noisy",
        "residual NPS off by",
        "",
        "0",
        "relative distance of the spectrum of the removed part from that of the noise",
    ),
    "residual_whiteness": Metric(
        _row("residual", "residual_whiteness"),
        "noisy",
        "residual whiteness",
        "",
        NOISE,
        "flatness of the spectrum of the removed part: 1 for white noise, 0 for a pattern",
    ),
    "roi_snr": Metric(
        _row("roi", "roi_snr"), "result", "ROI SNR", "", "high", "mean over standard deviation", "roi"
    ),
    "roi_cnr": Metric(
        _row("roi", "roi_cnr"),
        "result",
        "ROI CNR",
        "",
        "high",
        "difference of the means of two regions over the root mean square of their deviations",
        "rois",
    ),
    "roi_nps_peak": Metric(
        _row("roi", "roi_nps_peak"),
        "result",
        "ROI NPS peak",
        "frequency",
        TEXTURE,
        "frequency at which the noise spectrum in the first region is highest",
        "roi",
    ),
    "roi_nps_mean": Metric(
        _row("roi", "roi_nps_mean"),
        "result",
        "ROI NPS mean",
        "frequency",
        TEXTURE,
        "mean frequency of the noise spectrum in the first region",
        "roi",
    ),
    "mtf_50": Metric(
        _row("mtf", "mtf_50"),
        "result",
        "MTF 50 %",
        "frequency",
        TRUTH,
        "frequency at which the edge keeps half of its contrast",
        "edge",
    ),
    "mtf_10": Metric(
        _row("mtf", "mtf_10"),
        "result",
        "MTF 10 %",
        "frequency",
        TRUTH,
        "frequency at which the edge keeps a tenth of its contrast",
        "edge",
    ),
    "lpips": Metric(
        _row("perceptual", "lpips"),
        "reference",
        "LPIPS",
        "",
        "0",
        "distance of the features of AlexNet, grey in three channels (LPIPS 0.1, Zhang 2018)",
        optional=True,
    ),
    "fid": Metric(
        _row("perceptual", "fid"),
        "reference",
        "FID",
        "",
        "0",
        "Frechet distance of InceptionV3 features of two sets of at least 2048 planes (Heusel 2017)",
        optional=True,
    ),
    "leak": Metric(
        _row("leak", "leak"),
        "method",
        "leak",
        "",
        "0",
        "share of each pixel's own noise that the result keeps: 0 for a blind spot, 1 for the input",
    ),
    "residual_std_ratio": Metric(
        _row("residual", "std_ratio"),
        "method",
        "residual / noise, local",
        "",
        "1",
        "standard deviation of the removed part over that of the noise, pixel by pixel",
    ),
    "residual_gradient_correlation": Metric(
        _row("residual", "gradient_correlation"),
        "method",
        "residual ~ edges, local",
        "",
        "0",
        "correlation of the removed part with the edges of the result, of one plane",
    ),
    "residual_spectrum_distance": Metric(
        _row("residual", "nps_distance"),
        "method",
        "residual NPS off by, local",
        "",
        "0",
        "relative distance of the spectrum of the removed part from that of the noise, of one plane",
    ),
    "sure": Metric(
        _row("residual", "sure"),
        "method",
        "SURE",
        "image2",
        "low",
        "estimated mean square error against the unknown truth (Monte Carlo)",
    ),
}

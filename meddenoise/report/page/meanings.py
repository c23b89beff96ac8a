"""Meanings of the numbers of a report, in plain words."""

from meddenoise.metrics import METRICS

_PLAIN = {
    "psnr": "How close the result is to the reference. 3 dB more is about a third less error.",
    "ssim": "How alike the patterns of result and reference are. 1 is the same.",
    "ms_ssim": "SSIM at several sizes of detail at once. 1 is the same.",
    "rmse": "The typical error of a pixel against the reference; large errors count more.",
    "mae": "The average error of a pixel against the reference, without its sign.",
    "bias": "Whether the result is brighter (+) or darker (−) than the reference on average.",
    "bias_worst": "How much brighter (+) or darker (−) the tissue is that is shifted most.",
    "hfen": "How much the fine edges differ from the reference. 0 is not at all.",
    "gmsd": "How unevenly edges are kept. 0 is like the reference everywhere.",
    "acutance": "Sharpness. Noise counts as sharpness too: best is that of the reference.",
    "reblur": "How little a further blur would change: 0 is sharp, 1 is blurred already.",
    "nps_peak": "Where the error that is left is strongest: low is coarse blobs, high is fine grain.",
    "nps_mean": "How fine the error that is left is on average: lower than before looks blotchy.",
    "residual_ratio": "How much was removed, relative to the noise there was. Above 1, more than noise "
    "was removed.",
    "residual_structure": "Whether edges were removed with the noise. Above about 0.3, look at the "
    "removed part.",
    "residual_nps_distance": "Whether the removed part has the grain of the noise: 0 is the same grain.",
    "residual_whiteness": "How even the grain of the removed part is: 1 for white noise, 0 for a pattern.",
    "roi_snr": "How far the signal is above the noise in the chosen region.",
    "roi_cnr": "How clearly two regions differ above their noise.",
    "roi_nps_peak": "Where the noise in the region is strongest: low is coarse blobs, high is fine grain.",
    "roi_nps_mean": "How fine the noise in the region is on average: lower than before looks blotchy.",
    "mtf_50": "The detail at which the edge keeps half of its contrast. Lower than before is blur.",
    "mtf_10": "The finest detail of which a tenth is kept. Lower than before is blur.",
    "lpips": "How different result and reference look to a network trained on photographs.",
    "fid": "How unlike two sets of images are as a whole. 0 is the same.",
    "leak": "The share of each pixel's own noise that is still in the result: 0 to 1.",
    "residual_std_ratio": "As residual / noise, pixel by pixel of the middle plane. 1 is just the noise.",
    "residual_gradient_correlation": "Whether edges of the middle plane were removed with the noise. 0 "
    "is no.",
    "residual_spectrum_distance": "Whether the part removed from the middle plane has the grain of the "
    "noise.",
    "sure": "Mean squared error against the unknown truth, estimated from the noise only.",
}
"""Metric -> how to read it; METRICS has the definitions."""


def name_of(metric: str) -> str:
    """Name of a metric, the same as on the terminal."""
    return METRICS[metric].label if metric in METRICS else metric.replace("_", " ")


def meaning_of(metric: str) -> str:
    """A sentence that says how to read a metric; empty for one that is not in METRICS."""
    return _PLAIN.get(metric, "")

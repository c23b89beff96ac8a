"""What the numbers of a report mean, in plain words."""

from meddenoise.metrics import METRICS

_PLAIN = {
    "psnr": ("PSNR", "How close the result is to the reference. 3 dB more is about a third less error."),
    "ssim": ("SSIM", "How alike the patterns of result and reference are. 1 is the same."),
    "ms_ssim": ("MS-SSIM", "SSIM at several sizes of detail at once. 1 is the same."),
    "rmse": ("RMSE", "The typical error of a pixel against the reference; large errors count more."),
    "mae": ("MAE", "The average error of a pixel against the reference, without its sign."),
    "bias": ("Bias", "Whether the result is brighter (+) or darker (−) than the reference on average."),
    "hfen": ("HFEN", "How much of the fine edges differs from the reference. 0 is none."),
    "gmsd": ("GMSD", "How unevenly edges are kept. 0 is like the reference everywhere."),
    "acutance": ("Acutance", "Sharpness. Noise counts as sharpness too: best is that of the reference."),
    "reblur": ("Re-blur", "How little a further blur would change: 0 is sharp, 1 is blurred already."),
    "residual_ratio": (
        "Removed / noise",
        "How much was removed over how much noise there was. 1 is just that; above 1 more than noise went.",
    ),
    "residual_structure": (
        "Edges removed",
        "Whether edges went out with the noise. 0 is no; above about 0.3 look at “Removed” in the pictures.",
    ),
    "leak": ("Leak", "The share of each pixel's own noise that is still in the result: 0 to 1."),
    "residual_std_ratio": (
        "Removed / noise, local",
        "As Removed / noise, pixel by pixel of the middle plane. 1 is just the noise.",
    ),
    "residual_gradient_correlation": (
        "Edges removed, local",
        "Whether edges of the middle plane went out with the noise. 0 is no.",
    ),
    "residual_nps_distance": (
        "Grain removed",
        "Whether what was removed has the grain of the noise: 0 is the same grain, 1 nothing alike.",
    ),
    "sure": (
        "Estimated error",
        "Mean squared error against a truth nobody knows, estimated from the noise alone (SURE).",
    ),
}
"""Metric -> what it is called and what it says; METRICS tells of those that are not here."""


def name_of(metric: str) -> str:
    """What a metric is called."""
    return _PLAIN[metric][0] if metric in _PLAIN else metric.replace("_", " ")


def meaning_of(metric: str) -> str:
    """A sentence that says how to read a metric."""
    if metric in _PLAIN:
        return _PLAIN[metric][1]
    known = METRICS.get(metric)
    return f"{known.what[:1].upper()}{known.what[1:]}. Best: {known.best}." if known is not None else ""


def unit_of(metric: str, image_unit: str) -> str:
    """The unit of a metric of an image in `image_unit`."""
    if metric == "sure":
        return f"{image_unit}²" if image_unit else ""
    known = METRICS.get(metric)
    return "" if known is None else image_unit if known.unit == "image" else known.unit

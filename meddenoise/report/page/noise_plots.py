"""The two plots of the noise: its values, and its power spectrum, before and after."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from meddenoise.report.page.plot import Axes, PlotCurve, draw_plot
from meddenoise.report.page.tables import with_unit
from meddenoise.series import Series
from meddenoise.trust.removal import Removal

BINS = 61
REACH = 4.0
"""The histogram reaches so many standard deviations of the noise before."""


def draw_noise(removal: Removal, series: Series) -> str:
    """Both plots with their captions, as HTML; nothing where no noise was measured."""
    if removal.spectra is None:
        return ""
    return (
        '<div class="plots">'
        + _figure(_histogram(removal, series.unit), _caption(removal, series.unit))
        + _figure(
            _spectrum(removal, series),
            "<b>Power spectrum.</b> How much noise there is at each fineness: coarse blobs on the left, fine "
            "grain on the right. An “after” curve that keeps the shape of “before” keeps the look of the "
            "image; one with only a peak left on the left looks blotchy.",
        )
        + "</div>"
    )


def _caption(removal: Removal, unit: str) -> str:
    before, after, removed = (
        escape(with_unit(value, unit, 3)) for value in (removal.before, removal.after, removal.removed)
    )
    return (
        "<b>Histogram.</b> Noise in the flat places of the image, their slope taken out: standard deviation "
        f"{before} before, {after} after, {removed} removed. Narrower is less noise."
    )


def _figure(plot: str, caption: str) -> str:
    return f"<figure>{plot}<figcaption>{caption}</figcaption></figure>"


def _histogram(removal: Removal, unit: str) -> str:
    reach = REACH * (removal.before or 0.0) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    curves = [
        PlotCurve(name, np.repeat(edges, 2)[1:-1], _shares(values, edges), name, filled=True)
        for name, values in zip(("before", "after"), removal.values, strict=True)
    ]
    axes = Axes(
        "Histogram of the noise before and after",
        f"noise{f' ({unit})' if unit else ''}",
        "share of pixels (%)",
    )
    return draw_plot(curves, axes)


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the values between two edges, at both of them."""
    return np.repeat(100 * np.histogram(values, edges)[0] / values.size, 2)


def _spectrum(removal: Removal, series: Series) -> str:
    assert removal.spectra is not None
    curves = [
        PlotCurve(name, *nps.radial(), name)
        for name, nps in zip(("before", "after"), removal.spectra, strict=True)
    ]
    length = "mm" if series.geometry.known else "pixel"
    unit = f"{series.unit}² " if series.unit else ""
    return draw_plot(
        curves,
        Axes(
            "Noise power spectrum before and after",
            f"frequency (cycles/{length})",
            f"power ({unit}{length}²)" if unit else f"power ({length}²)",
        ),
    )

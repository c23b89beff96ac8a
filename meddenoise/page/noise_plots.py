"""The two plots of the noise: its values, and its power spectrum, before and after."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics.nps import measure_nps
from meddenoise.page.flat import Flat
from meddenoise.page.plot import Axes, Curve, draw_plot
from meddenoise.series import Series

BINS = 61
REACH = 4.0
"""The histogram reaches so many standard deviations of the noise before."""


def draw_noise(flat: Flat, series: Series) -> str:
    """Both plots with their captions, as HTML."""
    unit = series.unit
    return (
        '<div class="plots">'
        + _figure(_histogram(flat, unit), _told(flat, unit))
        + _figure(
            _spectrum(flat, series),
            "How much noise there is at each fineness: coarse blobs at the left, fine grain at the right. An "
            "“after” curve that keeps the shape of “before” keeps the look of the image; one that is left "
            "with a peak at the left alone looks blotchy.",
        )
        + "</div>"
    )


def _told(flat: Flat, unit: str) -> str:
    before, after = float(flat.before.std()), float(flat.after.std())
    unit = f"\u202f{escape(unit)}" if unit else ""
    side = flat.after.shape[-1]
    return (
        f"Values in the {len(flat)} flattest patches of {side} × {side} pixels, their slope taken out: "
        f"standard deviation {before:.3g} before, {after:.3g}{unit} after. Narrower is less noise."
    )


def _figure(plot: str, caption: str) -> str:
    return f"<figure>{plot}<figcaption>{caption}</figcaption></figure>"


def _histogram(flat: Flat, unit: str) -> str:
    reach = REACH * float(flat.before.std()) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    curves = [
        Curve(name, np.repeat(edges, 2)[1:-1], _shares(values, edges), name, filled=True)
        for name, values in (("after", flat.after), ("before", flat.before))
    ]
    axes = Axes(
        "Histogram of the noise before and after",
        f"noise{f' ({unit})' if unit else ''}",
        "share of pixels (%)",
    )
    return draw_plot(curves[::-1], axes)


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the values between two edges, at both of them."""
    return np.repeat(100 * np.histogram(values, edges)[0] / values.size, 2)


def _spectrum(flat: Flat, series: Series) -> str:
    known = series.geometry.known
    spacing = series.geometry.spacing_mm[1:] if known else None
    whole = np.ones(flat.after.shape[1:], bool)
    curves = []
    for name, patches in (("before", flat.before), ("after", flat.after)):
        nps = measure_nps([(patch, whole) for patch in patches], spacing, patches.shape[-1])
        curves.append(Curve(name, *nps.radial(), name))
    length = "mm" if known else "pixel"
    unit = f"{series.unit}² " if series.unit else ""
    return draw_plot(
        curves,
        Axes(
            "Noise power spectrum before and after",
            f"frequency (cycles/{length})",
            f"power ({unit}{length}²)" if unit else f"power ({length}²)",
        ),
    )

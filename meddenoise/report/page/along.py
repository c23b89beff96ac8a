"""The curve of the noise along a series, before and after."""

from collections.abc import Sequence
from html import escape

import numpy as np

from meddenoise.report.page.plot import Axes, PlotCurve, draw_plot

FEWEST = 3
"""Planes below which there is no curve to see."""
TOLD = 1.1
"""Ratio of the noisiest plane to the quietest from which it is worth a sentence."""

Pair = Sequence[float | None]


def draw_along(by_plane: Sequence[Pair], unit: str) -> str:
    """Figure of the noise (before, after) of every plane, as HTML; nothing for fewer than FEWEST planes.

    Planes in which nothing could be measured are left out of the curves.
    """
    curves = []
    for name, side in (("before", 0), ("after", 1)):
        known = [(n, pair[side]) for n, pair in enumerate(by_plane, start=1) if pair[side] is not None]
        if len(known) >= FEWEST:
            x, y = np.array(known, np.float64).T
            curves.append(PlotCurve(name, x, y, name))
    if not curves:
        return ""
    level = f"noise{f' ({unit})' if unit else ''}"
    axes = Axes("Noise along the series", "slice or frame", level, counted=(1, len(by_plane)))
    caption = f"<b>Along the series.</b> {escape(_caption(by_plane))}"
    plot = draw_plot(curves, axes)
    return f'<div class="plots"><figure>{plot}<figcaption>{caption}</figcaption></figure></div>'


def _caption(by_plane: Sequence[Pair]) -> str:
    levels = [pair[0] for pair in by_plane if pair[0]]
    text = "Each was denoised by its own level."
    missing = sum(pair[0] is None for pair in by_plane)
    if levels and max(levels) >= TOLD * min(levels):
        text += f" The noisiest had {max(levels) / min(levels):.2g} times the noise of the quietest."
    return text + (f" {missing} of {len(by_plane)} could not be measured." if missing else "")

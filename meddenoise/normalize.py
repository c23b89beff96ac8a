"""Patient-wise normalisation: the window of a series that networks see as [-1, 1], and the way back."""

import numpy as np

from meddenoise.series import Image, Series

CT_WINDOW = (-1000.0, 1000.0)
"""HU: air to dense bone, the same for every patient; values outside go on in the same scale."""
DARK, BRIGHT = 0.1, 99.9
"""Percentiles taken for the darkest and the brightest value: a few pixels say nothing of the rest."""
PLANES, VALUES = 16, 1 << 20
"""Planes looked at, spread evenly over a series, and values of them."""


def fit_window(series: Series) -> tuple[float, float]:
    """Values (low, high) of a series that networks see as -1 and 1: CT_WINDOW for CT in HU, else 0 to BRIGHT.

    The darkest valid value stands for 0 where the values lie below, or far above it. In the polarity that
    networks are given: of inverted series, of the negated values. v becomes 2 (v - low) / (high - low) - 1,
    linear beyond.
    """
    if series.modality == "CT" and series.unit == "HU":
        return CT_WINDOW
    chosen = np.unique(np.linspace(0, len(series) - 1, min(PLANES, len(series))).astype(int))
    values = [series.values(n, n + 1)[series.valid(n, n + 1)] for n in chosen.tolist()]
    seen = np.concatenate(values)
    return window_of(-seen if series.inverted else seen)


def window_of(values: Image) -> tuple[float, float]:
    """The window (low, high) of an image, or of any collection of its values, that is no CT."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    seen = finite[:: -(-finite.size // VALUES)]
    dark, bright = (float(value) for value in np.percentile(seen, (DARK, BRIGHT)))
    low = 0.0 if 0 <= dark <= bright / 2 else dark
    return low, bright if bright > low else low + 1

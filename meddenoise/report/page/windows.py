"""Display windows a reader would choose from, by modality."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Values shown black and white, in the unit of the image."""

    name: str
    low: float
    high: float


CT_WINDOWS = (
    Window("Soft tissue", -160.0, 240.0),
    Window("Lung", -1350.0, 150.0),
    Window("Bone", -450.0, 1350.0),
    Window("Brain", 0.0, 80.0),
)
"""Centre and width 40/400, -600/1500, 450/1800 and 40/80 HU, as on reading stations."""

PERCENTILES = (
    ("Standard", 0.5, 99.5),
    ("Full range", 0.0, 100.0),
    ("Dark parts", 0.5, 60.0),
    ("Bright parts", 40.0, 99.9),
)
"""For everything that has no scale of its own; of the values of the planes shown."""


def choose_windows(values: NDArray[np.floating], modality: str, unit: str) -> tuple[Window, ...]:
    """The windows for an image with these `values` (any number of them), the one to begin with first."""
    seen = values[np.isfinite(values)]
    if modality == "CT" and unit == "HU":
        return (*CT_WINDOWS, _window("Full range", seen, 0.0, 100.0))
    return tuple(_window(name, seen, low, high) for name, low, high in PERCENTILES)


def _window(name: str, values: NDArray[np.floating], low: float, high: float) -> Window:
    if not values.size:
        return Window(name, 0.0, 1.0)
    dark, bright = (float(value) for value in np.percentile(values, (low, high)))
    return Window(name, dark, bright if bright > dark else dark + 1.0)

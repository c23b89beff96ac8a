"""Pictures for people: a series in a display window, 8 bit, as PNG for slides and documents."""

from dataclasses import replace

import numpy as np

from meddenoise.errors import InputError, UsageError, unknown_name
from meddenoise.report.page.windows import CT_WINDOWS, choose_windows
from meddenoise.series import Series

AUTO = "auto"
PRESETS = {window.name.lower().replace(" ", "-"): (window.low, window.high) for window in CT_WINDOWS}
"""Values shown black and white by the names of CT windows, HU."""
_NAMES = (AUTO, *PRESETS)
_VALUES = 1 << 20


def check_window(text: str, format: str) -> None:
    """Raises UsageError for a window that is not one, or for a format that is not a picture."""
    if format != "png":
        raise UsageError(f"--window is for pictures, and --format is {format}: add --format png.")
    if text != AUTO:
        _parse(text)


def check_modality(text: str, series: Series) -> None:
    """Raises InputError for a window of CT and a series that is not known to be one."""
    if text in PRESETS and series.modality != "CT":
        modality = f"its modality is {series.modality}" if series.modality else "its modality is not known"
        raise InputError(
            f"{series.first_file} has no values in HU, as --window {text} needs ({modality}): give {AUTO}, "
            "or CENTRE,WIDTH in the unit of the image."
        )


def as_picture(series: Series, window: str) -> Series:
    """The series as grey levels of 8 bit, black at the lower and white at the upper end of a window.

    `window` is "CENTRE,WIDTH" in the unit of the series, a name of PRESETS, or "auto": soft tissue for CT,
    nearly all values for others. What is not image becomes black. Raises UsageError as `check_window`.
    """
    low, high = _limits(series) if window == AUTO else _parse(window)
    pixels = np.empty(series.pixels.shape, np.uint8)
    for n in range(len(series)):
        share = (series.values(n, n + 1) - low) / (high - low)
        shown = np.rint(255 * np.clip(share, 0, 1), where=np.isfinite(share), out=np.zeros_like(share))
        blank = 255 if series.inverted else 0
        pixels[n : n + 1] = np.where(series.valid(n, n + 1), shown, blank)
    return replace(
        series,
        pixels=pixels,
        slope=np.full(len(series), (high - low) / 255),
        intercept=np.full(len(series), low),
        stored_range=(0.0, 255.0),
        format="picture",
        padding=None,
        header=None,
    )


def _parse(text: str) -> tuple[float, float]:
    if text in PRESETS:
        return PRESETS[text]
    parts = text.split(",")
    try:
        centre, width = (float(part) for part in parts)
    except ValueError as error:
        if len(parts) == 1 and not any(map(str.isdigit, text)):
            raise unknown_name("window", text, _NAMES) from error
        names = ", ".join(_NAMES)
        raise UsageError(
            f"--window is {text!r}: give CENTRE,WIDTH such as 40,400, or one of {names}."
        ) from error
    if not (np.isfinite(centre) and np.isfinite(width) and width > 0):
        raise UsageError(f"--window is {text!r}: give a width above 0.")
    return centre - width / 2, centre + width / 2


def _limits(series: Series) -> tuple[float, float]:
    """The ends of the window that a reader would begin with; 0 stays black where nothing is below it."""
    step = max(1, series.pixels.size // _VALUES)
    planes = range(0, len(series), max(1, len(series) // 16))
    seen = np.concatenate([series.values(n, n + 1)[series.valid(n, n + 1)][::step] for n in planes])
    window = choose_windows(seen, series.modality, series.unit)[0]
    floor = float(seen.min()) if seen.size else 0.0
    return (0.0 if series.modality == "MR" and floor >= 0 else window.low), window.high

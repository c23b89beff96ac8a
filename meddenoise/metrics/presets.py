"""Protocols by name: how large R is, and what result and reference are clipped to before they are compared.

| name | R of PSNR and SSIM | clipped to |
|---|---|---|
| ct-hu | 2000 HU | nothing |
| ct-window:CENTRE:WIDTH | the width | the window |
| patient-range | largest minus smallest value of the reference series | nothing |
| 8bit | 255 grey levels, for images of 8 bits | nothing |
| auto | ct-hu for CT, 8bit for images of 8 bits, patient-range for all others | nothing |
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, UsageError, unknown_name
from meddenoise.series import Series

CT_RANGE_HU = 2000.0
"""PSNR and SSIM of CT: a window of 2000 HU (-1000 to 1000); pixels outside it count as they are."""
PRESETS = ("auto", "ct-hu", "ct-window:CENTRE:WIDTH", "patient-range", "8bit")

_WINDOW = "ct-window"


@dataclass(frozen=True, slots=True)
class Preset:
    """A row of the table; `window` (low, high) for ct-window alone."""

    name: str = "auto"
    window: tuple[float, float] | None = None


def parse_preset(text: str) -> Preset:
    """The protocol of that name. Raises UsageError."""
    kind, _, numbers = text.partition(":")
    if kind == _WINDOW:
        try:
            centre, width = (float(number) for number in numbers.split(":"))
        except ValueError:
            centre, width = math.nan, math.nan
        if not (math.isfinite(centre) and 0 < width < math.inf):
            raise UsageError(
                f"protocol {text!r} needs a centre and a width above 0 in HU: write ct-window:40:400."
            )
        return Preset(text, (centre - width / 2, centre + width / 2))
    if text not in PRESETS:
        raise unknown_name("protocol", text, PRESETS)
    return Preset(text)


def data_range(
    reference: Series, valid: NDArray[np.bool_], preset: Preset = Preset()
) -> tuple[float | None, str]:
    """The R of PSNR and SSIM for a reference in its own unit, and how it was chosen.

    None where the reference is constant and its range is asked for. Never taken from the result or from one
    plane. Raises InputError where the reference is not of the kind the protocol is for.
    """
    name = _kind(reference) if preset.name == "auto" else preset.name
    if name.startswith("ct-"):
        _check_ct(reference, preset)
        if preset.window is not None:
            return preset.window[1] - preset.window[0], "is the window's width"
        return CT_RANGE_HU, "is a window of 2000 HU for CT"
    if name == "8bit":
        if not _is_8bit(reference):
            raise InputError(
                f"{reference.path} is not an 8-bit image, which protocol 8bit is for: give patient-range."
            )
        return 255.0 * abs(float(reference.slope.max())), "is 255 stored grey levels for 8 bits"
    return _spread(reference, valid), "is the largest minus the smallest value of the reference series"


def _kind(reference: Series) -> str:
    if reference.modality == "CT" or reference.unit == "HU":
        return "ct-hu"
    return "8bit" if _is_8bit(reference) else "patient-range"


def _is_8bit(series: Series) -> bool:
    return tuple(series.stored_range) == (0, 255)


def _check_ct(reference: Series, preset: Preset) -> None:
    """Formats that state neither modality nor unit are taken at the user's word."""
    if reference.modality not in ("", "CT") or reference.unit not in ("", "HU"):
        what = " in ".join(filter(None, (reference.modality, reference.unit)))
        raise InputError(
            f"{reference.path} is {what}, not CT in HU, which protocol {preset.name} is for: "
            "give patient-range."
        )


def _spread(reference: Series, valid: NDArray[np.bool_]) -> float | None:
    low, high = math.inf, -math.inf
    for n in range(len(reference)):
        plane = reference.values(n, n + 1)[0][valid[n]]
        if plane.size:
            low, high = min(low, float(plane.min())), max(high, float(plane.max()))
    return high - low if high > low else None

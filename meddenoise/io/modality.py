"""The modality of a series: stated by its file or its user, else guessed from its header and its values."""

import re
from dataclasses import dataclass, replace

import numpy as np

from meddenoise.errors import UsageError, unknown_name
from meddenoise.series import Image, Series

CODES = {
    "CT": "computed tomography",
    "MR": "magnetic resonance",
    "DX": "digital radiography",
    "CR": "computed radiography",
    "MG": "mammography",
    "XA": "X-ray angiography",
    "RF": "radiofluoroscopy",
    "PT": "positron emission tomography",
    "NM": "nuclear medicine",
    "US": "ultrasound",
    "OT": "other",
}
"""DICOM modality codes that can be given. Source: DICOM PS3.3, C.7.3.1.1.1."""
KINDS = (frozenset({"DX", "CR"}), frozenset({"XA", "RF"}))
"""Codes of one kind of image by two names."""
PROJECTIONS = frozenset({"DX", "CR", "MG", "XA", "RF"})
"""Codes of images of the whole depth of the patient: they are at no place in it."""
_UNSTATED = ("", "OT")
_MEANT = {"MRI": "MR", "XRAY": "DX", "X-RAY": "DX", "RX": "DX", "PET": "PT", "SPECT": "NM", "FLUORO": "RF"}

_WORDS = {
    "CT": r"CT|CAT scan|(?i:computed tomography|hounsfield)",
    "MR": r"MRI?|(?i:magnetic resonance)|T[12]w?|[fF]MRI|FLAIR|MP2?RAGE|BOLD|DWI|T[ER]=[\d.]*[1-9][\d.]*",
    "DX": r"DX|CR|(?i:chest x-?ray|radiograph\w*)",
    "XA": r"XA|(?i:(coronary )?angiogra\w+)",
    "RF": r"(?i:fluoroscop\w+)",
    "MG": r"(?i:mammogra\w+)",
    "PT": r"PET|(?i:positron emission)",
    "US": r"(?i:ultrasound|sonogra\w+)",
}
_STATED = re.compile(r"(?i:modality)\W{1,4}([A-Z]{2})\b")

OFFSETS = (0.0, 32768.0)
"""Offset added to HU so that no value is negative, by 16-bit PNG data sets such as DeepLesion. 1024, which
scanners add, is left out: MR of water phantoms has such values too."""
AIR, AIR_SHARE = (-1100.0, -850.0), 0.03
SOFT, SOFT_SHARE = (-200.0, 200.0), 0.05
BELOW_HU, BELOW_SHARE = -2000.0, 0.01
"""HU of air and of soft tissue, and the least share of the pixels of each in a CT; values further down are
padding, which has one value, or no HU."""
WINDOWS = (-1100.0, -20.0)
"""Lower ends of the windows CT is displayed in, HU."""
DARK, DARK_SHARE, BLACK_SHARE, MIDDLE = 0.1, 0.65, 0.35, 0.35
"""A border this dark relative to its brightest signal, over this share of it, with at most this
share of pixels in the darkest value (noise fills the air of MR; clipped or masked air is flat), and the
largest median of an MR image relative to its brightest signal. Chosen with `benchmarks/modality.py`."""
VOLUME = 8
"""Planes from which a NIfTI file is a volume, whose background may have been masked."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A series and the modality it is taken for."""

    series: Series
    """With what its file or its user state, and no guess: as it is written again."""
    seen: Series
    """The same with the guess, where nothing is stated: as it is processed."""
    why: str
    """Source of the modality, as a part of a sentence."""
    warnings: tuple[str, ...] = ()


def check_code(code: str) -> str:
    """The code in capitals. Raises UsageError, naming the nearest one, where there is none."""
    upper = code.strip().upper()
    if upper in CODES:
        return upper
    if upper in _MEANT:
        valid = ", ".join(sorted(CODES))
        raise UsageError(f"there is no modality {code!r}: did you mean {_MEANT[upper]!r}? valid are {valid}.")
    raise unknown_name("modality", upper, CODES)


def take(series: Series, code: str | None = None) -> Taken:
    """Modality of a series: that of its file, else `code`, which its user states, else a guess.

    Raises UsageError for a code that does not exist.
    """
    warnings: tuple[str, ...] = ()
    given = None if code is None else check_code(code)
    if given is not None and series.modality in _UNSTATED:
        unit = "HU" if given == "CT" and not series.unit and _offset_of_air(_middle(series)) == 0 else ""
        stated = replace(series, modality=given, unit=series.unit or unit)
        return Taken(stated, stated, "given with --modality")
    if given not in (None, series.modality):
        warnings = (f"--modality {given} is ignored: the file states {series.modality}.",)
    if series.modality not in _UNSTATED:
        return Taken(series, series, "stated in the file", warnings)
    guess, unit, why = _guess(series)
    if not guess:
        return Taken(series, series, "not known: --modality states it", warnings)
    seen = replace(series, modality=guess, unit=series.unit or unit)
    return Taken(series, seen, f"guessed from {why}", warnings)


def likely_modality(series: Series) -> str:
    """The modality a series is taken for; empty where nothing tells."""
    return take(series).seen.modality


def same_kind(one: str, other: str) -> bool:
    """True where two modalities do not contradict each other: alike, of one kind, or not known.

    >>> same_kind("DX", "CR"), same_kind("CT", "MR")
    (True, False)
    """
    known = {one, other}
    return not one or not other or len(known) == 1 or any(known <= kind for kind in KINDS)


def _guess(series: Series) -> tuple[str, str, str]:
    """Code, unit and reason; three empty texts where nothing tells."""
    values = _middle(series)
    signed_hu = _offset_of_air(values) == 0
    named = _named(series.hint)
    if named is not None:
        code, word = named
        return code, "HU" if code == "CT" and signed_hu else "", f"{word!r} in its header"
    if series.channels != 1 or not values.size:
        return "", "", ""
    offset = _offset_of_air(values)
    if offset is not None:
        shifted = f" plus {offset:g}" if offset else ""
        return (
            "CT",
            "" if offset else "HU",
            f"its values, which are HU{shifted}: air and soft tissue",
        )
    if _is_window_of_hu(series.shown, values):
        return "CT", "HU", "the window in its header and its values, which are those of HU"
    if not series.inverted and _is_magnitude(series):
        return "MR", "", "its values: never negative, the border dark as air is in MR"
    return "", "", ""


def _named(text: str) -> tuple[str, str] | None:
    """The code that a text names and the word for it; None for none and for several."""
    stated = _STATED.search(text)
    if stated is not None and stated[1] in CODES and stated[1] not in _UNSTATED:
        return stated[1], stated[0]
    found = {
        code: match[0] for code, words in _WORDS.items() if (match := re.search(rf"\b(?:{words})\b", text))
    }
    return next(iter(found.items())) if len(found) == 1 else None


def _middle(series: Series) -> Image:
    """The valid values of the middle plane."""
    index = len(series) // 2
    plane: Image = series.values(index, index + 1)[series.valid(index, index + 1)]
    return plane


def _offset_of_air(values: Image) -> float | None:
    """Of OFFSETS the one that was added to HU, by where air and soft tissue lie; None where none fits."""
    for offset in OFFSETS:
        hu = values - np.float32(offset)
        padding = hu < BELOW_HU
        flat = not padding.any() or float(np.ptp(hu[padding])) == 0
        if not flat and padding.mean() >= BELOW_SHARE:
            continue
        if _share(hu, AIR) > AIR_SHARE and _share(hu, SOFT) > SOFT_SHARE:
            return offset
    return None


def _share(values: Image, limits: tuple[float, float]) -> float:
    inside = (values > limits[0]) & (values < limits[1])
    return float(inside.mean()) if values.size else 0.0


def _is_window_of_hu(shown: tuple[float, float] | None, values: Image) -> bool:
    if shown is None or not WINDOWS[0] <= shown[0] <= WINDOWS[1] or not shown[1] > 0:
        return False
    return AIR[0] <= float(values.min()) < 0 and _share(values, SOFT) > 0.3


def _is_magnitude(series: Series) -> bool:
    index = len(series) // 2
    plane, valid = series.values(index, index + 1)[0], series.valid(index, index + 1)[0]
    width = max(2, min(plane.shape) // 20)
    frame = np.ones(plane.shape, bool)
    frame[width:-width, width:-width] = False
    border, inside = plane[frame & valid], plane[valid]
    if not border.size or float(inside.min()) < 0:
        return False
    bright = float(np.percentile(inside, 99.5))
    if not bright > 0 or float(np.median(inside)) > MIDDLE * bright:
        return False
    masked = series.format == "nifti" and len(series) >= VOLUME
    black = float(np.mean(border <= border.min()))
    return float(np.mean(border < DARK * bright)) > DARK_SHARE and (masked or black < BLACK_SHARE)

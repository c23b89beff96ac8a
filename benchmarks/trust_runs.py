"""The good methods and the spoilers that the trust checks are measured on, and one run of either."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.spoilers import draw_discs
from benchmarks.trust_subjects import TrustSubject
from meddenoise.engine.level import estimate_series
from meddenoise.noise.estimate import sigma_map
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.result import Result
from meddenoise.series import Series
from meddenoise.trust.lesions import DETECTABILITY
from meddenoise.trust.reference import examine_reference, judge_by_reference
from meddenoise.trust.series import examine_series

Row = dict[str, Any]
GOOD = ("direct", "diffdenoise", "nlm")
FAINT_DISCS = 5.0
"""The least detectability that eyes find with certainty, by Rose (1948)."""


@dataclass(frozen=True)
class Spoiler:
    """A method, or a good one asked for something wrong; `group` is the row it is counted in."""

    group: str
    base: str = "direct"
    where: str = ""
    level: float = 1.0
    strength: float = 1.0
    modality: str = ""
    always: bool = False
    """Bad whatever its error."""
    removed: float = 0.0
    """Detectability of discs in the input that the result lacks."""


SPOILERS = {
    "blur 3 px": Spoiler("over-smoothing", where="BLUR"),
    "blur 1.5 px": Spoiler("over-smoothing", where="SLIGHT_BLUR"),
    "nlm at 3 h": Spoiler("over-smoothing", where="NLM_3H"),
    "planted in direct": Spoiler("planted structures", where="PLANTED_DIRECT", always=True),
    "planted in nlm": Spoiler("planted structures", where="PLANTED_NLM", always=True),
    "direct without discs": Spoiler("removed structures", always=True, removed=DETECTABILITY),
    "direct without faint discs": Spoiler("removed structures", always=True, removed=FAINT_DISCS),
    "nlm without discs": Spoiler("removed structures", "nlm", always=True, removed=DETECTABILITY),
    "does nothing": Spoiler("does nothing", where="NOTHING", always=True),
    "half of direct": Spoiler("half strength", "direct", strength=0.5),
    "half of nlm": Spoiler("half strength", "nlm", strength=0.5),
    "direct at half the level": Spoiler("wrong level by 2", "direct", level=0.5),
    "nlm at half the level": Spoiler("wrong level by 2", "nlm", level=0.5),
    "direct at twice the level": Spoiler("wrong level by 2", "direct", level=2.0),
    "nlm at twice the level": Spoiler("wrong level by 2", "nlm", level=2.0),
    "direct as another modality": Spoiler("wrong modality", "direct", modality="other"),
    "diffdenoise as another modality": Spoiler("wrong modality", "diffdenoise", modality="other"),
}
OTHER = {"CT": "MR", "MR": "CT", "DX": "MR", "XA": "MR"}
"""The modality that images of one are taken for."""


def applies(name: str, subject: TrustSubject) -> bool:
    """True where the subject has what the method needs: discs are removed from exact references only."""
    return subject.clean is not None or name not in SPOILERS or not SPOILERS[name].removed


def run(subject: TrustSubject, name: str) -> Row:
    """The scores of one result, those with its exact reference, and its error over that of the input."""
    noisy, clean, spoiler = subject.noisy, subject.clean, SPOILERS.get(name, Spoiler("", name))
    if spoiler.modality:
        noisy = replace(noisy, modality=OTHER.get(noisy.modality, "CT"))
    sigma = None if spoiler.level == 1 else spoiler.level * estimate_series(noisy).sigma
    method = name if spoiler.where else spoiler.base
    result = denoise_series(
        noisy, Options(method=method, device="cpu", strength=spoiler.strength, sigma=sigma)
    )
    assert result.trust is not None
    values, seen = result.trust.values, noisy
    if clean is not None and spoiler.removed:
        discs = _discs(result, noisy, spoiler.removed)
        seen, clean = _add(noisy, discs), _add(clean, discs)
        values = values | examine_series(seen, result.series, result.seen_noise).values
        values["noise_left"] = result.trust.values["noise_left"]  # of the flat places
    known = {}
    if clean is not None:
        clean = replace(clean, modality=noisy.modality)
        found = examine_reference(seen, result.series, clean, result.seen_noise)
        known = judge_by_reference(replace(result.trust, values=values), found).values
    error = subject.error(result.series) / subject.error(subject.noisy)
    return {**values, "reference": known, "error": error}


def _discs(result: Result, noisy: Series, detectability: float) -> np.ndarray:
    """Discs [Y, X] that stand out from the noise as estimated, in the unit of the image."""
    noise = result.seen_noise.plane(0)
    level = sigma_map(noise, noisy.values(0, 1)[0])
    discs = level * 0
    for contrast, shape in draw_discs(noise, level.shape, detectability):
        discs += np.float32(contrast) * level * shape
    return discs


def _add(series: Series, plane: np.ndarray) -> Series:
    """The series with a plane [Y, X] added to all of its own."""
    values = np.rint(series.values(0, len(series)) + plane)
    return replace(series, pixels=np.clip(values, *series.stored_range).astype(series.pixels.dtype))

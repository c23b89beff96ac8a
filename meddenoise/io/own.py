"""Recognise what meddenoise has written itself, by its name or by its description."""

import re
from pathlib import Path

from meddenoise.series import DENOISED, INPAINTED, UPSCALED

MARKS = {"denoise": f"_{DENOISED}", "upscale": f"_{UPSCALED}", "inpaint": f"_{INPAINTED}"}
"""Marks at the end of the names of results next to their sources, by task."""
MAPS = ("residual", "uncertainty", "noise_map")
"""Maps that may be written with a result, each under its name and this one."""
DRAWN = "Drawn by meddenoise"
"""Beginning of the description of a picture for people."""

_MARKED = re.compile(rf"(?:{'|'.join(MARKS.values())})(?:_(?:{'|'.join(MAPS)}))?")
_BY = "by meddenoise"
# How the last sentence of a result or a picture begins (pipeline, report): simulated noise makes none.
_RESULTS = ("Noise reduced", "times in plane", "Partly filled in", "Drawn")


def bears_mark(path: Path, root: Path) -> bool:
    """True where the file, or a folder it is in below `root`, is named as results are by default."""
    from meddenoise.io.layout import below, stem

    inner = below(path, root)
    return any(_ends_marked(name) for name in (*inner.parts[:-1], stem(inner)))


def without_mark(name: str) -> str:
    """The name without the mark of a result at its end.

    >>> without_mark("chest_denoised")
    'chest'
    """
    for mark in MARKS.values():
        if name.endswith(mark):
            return name[: -len(mark)]
    return name


def is_result(description: str) -> bool:
    """True where the last step of a description is denoising, upscaling or inpainting by meddenoise."""
    before = description.rpartition(_BY)[0]
    return before.rstrip().endswith(_RESULTS)


def _ends_marked(name: str) -> bool:
    return any(match.end() == len(name) for match in _MARKED.finditer(name))

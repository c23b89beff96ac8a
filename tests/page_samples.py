"""A small CT with a disc, noisy and clean, as the HTML report sees it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from meddenoise.report.page import Drawing, Levels, Page, PageEntry
from meddenoise.report.page.shown import Shown
from meddenoise.series import Geometry, Series
from meddenoise.trust.removal import measure_removal

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title=1</script>&amp;'-->"
SIGMA = 20.0
SHAPE = (8, 96, 128)


def series(values: np.ndarray, **more: Any) -> Series:
    """A CT of these values."""
    settings: dict[str, Any] = {
        "modality": "CT", "unit": "HU", "geometry": Geometry((3.0, 0.5, 0.5)), "format": "dicom",
        "path": Path("in"), "files": (),
    }  # fmt: skip
    settings |= more
    count = len(values)
    return Series(
        np.rint(values).astype(np.int16), np.ones(count), np.zeros(count), (-32768.0, 32767.0), **settings
    )


def truth() -> np.ndarray:
    """A disc of 60 HU on 0 HU."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.broadcast_to(60.0 * (np.hypot(y - 40, x - 60) < 25), SHAPE)


def shown(**more: Any) -> Shown:
    """The disc, noisy and without its noise."""
    noise = np.random.default_rng(0).normal(0, SIGMA, SHAPE)
    after, before = series(truth() + noise / 10, **more), series(truth() + noise, **more)
    return Shown(after, before, sigma=SIGMA, removal=measure_removal(before, after))


def entry(**more: Any) -> PageEntry:
    """An entry with everything in it."""
    settings: dict[str, Any] = {
        "key": "key", "title": "in/disc", "facts": (("Seed", "0"),), "about": ("CT", "8 × 96 × 128", "nlm"),
        "noise": Levels(20.0, 2.0, 19.9, "HU"), "metrics": {"psnr": 40.0, "ssim": None},
        "warnings": ("beware",),
    }  # fmt: skip
    return PageEntry(**(settings | more))


def page(*entries: PageEntry, drawing: Drawing | None = None, **more: Any) -> Page:
    """A page whose first entry is drawn."""
    drawings = {} if drawing is None else {entries[0].key: drawing}
    settings: dict[str, Any] = {"title": "meddenoise report", "facts": (("Command", "meddenoise"),)}
    return Page(**(settings | {"entries": entries, "drawings": drawings} | more))


def data_of(drawing: Drawing) -> dict[str, Any]:
    """The data of the viewer."""
    found = re.search(r'<script type="application/json">(.*?)</script>', drawing.body)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data

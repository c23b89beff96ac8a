"""The pictures and plots of one series, drawn while its pixels are at hand."""

import json
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.report.page import Drawing
from meddenoise.report.page.clip import draw_clip
from meddenoise.report.page.noise_plots import draw_noise
from meddenoise.report.page.pictures import LARGEST, Fineness, Planes, fineness_of, picture
from meddenoise.report.page.shown import Shown, name_plane, planes_of, rivals_of
from meddenoise.report.page.views import Views, choose_views
from meddenoise.report.page.windows import choose_windows
from meddenoise.series import Series

BRIEF_LARGEST = 256
"""Side of whole planes but the first where the page is shared by many series; their regions are full size."""
SHOWN_SIGMAS = 3.0
"""Differences are shown from minus to plus so many noise levels."""


def draw_series(shown: Shown) -> Drawing:
    """Viewer data, histogram and spectrum as a piece of HTML.

    Some planes at a time are looked at; of those shown a few pixels of every kind are kept.
    """
    text = json.dumps(_viewer(shown, choose_views(shown)), allow_nan=False, separators=(",", ":"))
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, code)
    plots = "" if shown.removal is None else draw_noise(shown.removal, shown.after)
    viewer = (
        '<div class="viewer"><noscript><p class="note">The pictures need JavaScript.</p></noscript>'
        f'<script type="application/json">{text}</script></div>'
    )
    return Drawing(f"{viewer}{plots}", _who(shown.after))


def _viewer(shown: Shown, views: Views) -> dict[str, Any]:
    """Data for page.js: every plane followed by its regions, then the frames to play."""
    pictures: list[dict[str, Any]] = []
    seen, fineness = [], None
    for index, why in views.planes:
        planes = planes_of(shown, index)
        seen.append(planes.after[planes.valid])
        fineness = fineness or _fineness(shown, planes)
        name = name_plane(shown.after, index)
        parts = [region for region in views.regions if region.plane == index]
        boxes = [[region.left, region.top, region.side] for region in parts]
        largest = BRIEF_LARGEST if shown.brief and pictures else LARGEST
        overview = {"label": name + _size(planes, largest), "why": why, "boxes": boxes, "index": index}
        pictures.append(picture(planes, fineness, largest=largest) | overview)
        pictures += [
            picture(planes, fineness, region) | {"label": name, "region": True, "why": region.why}
            for region in parts
        ]
    assert fineness is not None
    about = _about(shown, np.concatenate(seen))
    clip, frames = draw_clip(shown, fineness)
    return about | {
        "offset": fineness.offset,
        "step": fineness.step,
        "clip": clip,
        "pictures": pictures + frames,
    }


def _fineness(shown: Shown, planes: Planes) -> Fineness:
    """That of the first plane, for all of them."""
    both = planes.after if planes.before is None else np.stack([planes.after, planes.before])
    return fineness_of(both[..., planes.valid], shown.sigma, _least_step(shown.after))


def _about(shown: Shown, values: NDArray[np.float32]) -> dict[str, Any]:
    """Facts of the whole series for page.js."""
    after = shown.after
    spacing = after.geometry.spacing_mm
    windows = choose_windows(values, after.modality, after.unit)
    differs = shown.before is not None and shown.before.pixels.shape != after.pixels.shape
    spread = 0.0 if shown.uncertainty is None else float(np.percentile(shown.uncertainty.pixels, 99.5))
    scale = SHOWN_SIGMAS * shown.sigma or (float(values.std()) / 4 if values.size else 0.0) or 1.0
    return {
        "unit": after.unit,
        "inverted": after.inverted,
        "ratio": spacing[2] / spacing[1],
        "windows": [[window.name, round(window.low, 6), round(window.high, 6)] for window in windows],
        "scale": scale,
        "spread": spread or scale,
        "coarser": differs,
        "names": _names(shown),
    }


def _names(shown: Shown) -> dict[str, str]:
    """Names of the layers of a viewer that several results share."""
    rivals = {f"rival{n}": name for n, (name, _) in enumerate(rivals_of(shown))}
    return {"after": shown.name, **rivals} if rivals else {}


def _least_step(series: Series) -> float:
    return 0.0 if series.pixels.dtype.kind == "f" else float(np.abs(series.slope).min(initial=np.inf))


def _size(planes: Planes, largest: int) -> str:
    return ", shown smaller" if max(planes.after.shape) > largest else ""


def _who(series: Series) -> str:
    return "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in series.identity if value
    )

"""The pictures and plots of one series, drawn while its pixels are at hand."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.report.page import Drawing
from meddenoise.report.page.noise_plots import draw_noise
from meddenoise.report.page.pictures import LARGEST, Fineness, Planes, fineness_of, picture
from meddenoise.report.page.regions import Region, find_regions, spread_planes
from meddenoise.report.page.windows import choose_windows
from meddenoise.series import Series
from meddenoise.trust.removal import Removal

SHOWN_SIGMAS = 3.0
"""Differences are shown from minus to plus so many noise levels."""
MOST_PLANES, MOST_REGIONS = 3, 3


@dataclass(frozen=True, slots=True)
class Shown:
    """One result and what it is compared with, on one grid or, for `before`, a coarser one."""

    after: Series
    before: Series | None = None
    reference: Series | None = None
    uncertainty: Series | None = None
    sigma: float = 0.0
    """Noise of `before`, in the unit of the series."""
    removal: Removal | None = None
    """That noise and what is left of it as measured; None: no plots of it."""
    brief: bool = False
    """One plane alone, where the page is shared by many series."""


def draw_series(shown: Shown) -> Drawing:
    """Viewer data, histogram and spectrum as a piece of HTML.

    Some planes at a time are looked at; of those shown a few pixels of every kind are kept.
    """
    scan = _scan(shown)
    text = json.dumps(_viewer(shown, scan), allow_nan=False, separators=(",", ":"))
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, code)
    plots = "" if shown.removal is None else draw_noise(shown.removal, shown.after)
    viewer = (
        '<div class="viewer"><noscript><p class="note">The pictures need JavaScript.</p></noscript>'
        f'<script type="application/json">{text}</script></div>'
    )
    return Drawing(f"{viewer}{plots}", _who(shown.after))


def _viewer(shown: Shown, scan: "_Scan") -> dict[str, Any]:
    """What page.js reads: every plane followed by its regions."""
    pictures: list[dict[str, Any]] = []
    seen, fineness = [], None
    for index, why in scan.planes:
        planes = _planes(shown, index)
        seen.append(planes.after[planes.valid])
        fineness = fineness or _fineness(shown, planes)
        name = _name_plane(shown.after, index)
        parts = [region for region in scan.regions if region.plane == index]
        boxes = [[region.left, region.top, region.side] for region in parts]
        overview = {"label": name + _size(shown.after), "why": why, "boxes": boxes}
        pictures.append(picture(planes, fineness) | overview)
        pictures += [picture(planes, fineness, region) | {"label": name, "region": True} for region in parts]
    assert fineness is not None
    about = _about(shown, np.concatenate(seen))
    return about | {"offset": fineness.offset, "step": fineness.step, "pictures": pictures}


def _fineness(shown: Shown, planes: Planes) -> Fineness:
    """That of the first plane, for all of them."""
    both = planes.after if planes.before is None else np.stack([planes.after, planes.before])
    return fineness_of(both[..., planes.valid], shown.sigma, _least_step(shown.after))


@dataclass(frozen=True, slots=True)
class _Scan:
    planes: list[tuple[int, str]]
    """The planes to show, each with the reason, the first first."""
    regions: list[Region]


def _scan(shown: Shown) -> _Scan:
    """What there is to see in a series: planes, and regions in them."""
    after = shown.after
    frames, height, width = len(after) // after.channels, *after.pixels.shape[1:]
    middle = frames // 2
    other = shown.before or shown.reference
    if other is None or other.pixels.shape != after.pixels.shape:
        return _Scan([(middle, "the middle")] if frames > 1 else [(0, "")], [])
    regions: list[Region] = []
    removed: dict[int, float] = {}
    scanned = [middle] if shown.brief else spread_planes(frames, height * width * after.channels)
    for index in scanned:
        planes = _planes(shown, index)
        noisy = planes.reference if planes.before is None else planes.before
        assert noisy is not None
        residual = np.where(planes.valid, noisy - planes.after, np.float32(0))
        regions += find_regions(residual, planes.valid, index)
        removed[index] = float(np.abs(residual).mean())
    regions.sort(key=lambda region: -region.score)
    return _choose(shown, middle, regions, removed)


def _choose(shown: Shown, middle: int, regions: list[Region], removed: dict[int, float]) -> _Scan:
    """The middle plane, that with the most structure in the residual, that with the largest change."""
    planes = {middle: "the middle" if len(shown.after) > shown.after.channels else ""}
    if regions:
        planes.setdefault(regions[0].plane, "most structure in the part removed")
    planes.setdefault(max(removed, key=lambda index: removed[index]), "most removed")
    listed = list(planes.items())[:MOST_PLANES]
    inside = [region for region in regions if region.plane in dict(listed)][:MOST_REGIONS]
    return _Scan(listed, inside)


def _planes(shown: Shown, index: int) -> Planes:
    """One plane of all that is there; colours as their mean, a coarser grid by its nearest pixels."""
    after, valid = _grey(shown.after, index)
    before = reference = uncertainty = None
    if shown.before is not None:
        before, known = _grey(shown.before, index)
        if before.shape != after.shape:
            before = before[np.ix_(*_nearest(before.shape, after.shape))]
        else:
            valid = valid & known
    if shown.reference is not None:
        reference, known = _grey(shown.reference, index)
        valid = valid & known
    if shown.uncertainty is not None:
        uncertainty = _grey(shown.uncertainty, index)[0]
    return Planes(after, valid, before, reference, uncertainty)


def _grey(series: Series, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    start, stop = index * series.channels, (index + 1) * series.channels
    valid = series.valid(start, stop).all(axis=0)
    values = series.values(start, stop)
    mean: NDArray[np.float32] = values[0] if len(values) == 1 else values.mean(axis=0, dtype=np.float32)
    return mean, np.asarray(valid)


def _nearest(shape: tuple[int, ...], wanted: tuple[int, ...]) -> Iterator[NDArray[np.intp]]:
    for size, finer in zip(shape, wanted, strict=True):
        yield np.minimum((np.arange(finer) + 0.5) * size / finer, size - 1).astype(np.intp)


def _about(shown: Shown, values: NDArray[np.float32]) -> dict[str, Any]:
    """What page.js needs to know of the whole series."""
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
    }


def _least_step(series: Series) -> float:
    return 0.0 if series.pixels.dtype.kind == "f" else float(np.abs(series.slope).min(initial=np.inf))


def _name_plane(series: Series, index: int) -> str:
    frames = len(series) // series.channels
    what = "Image" if frames == 1 else "Frame" if series.frame_time_ms else "Slice"
    return f"{what}{f' {index + 1} of {frames}' if frames > 1 else ''}"


def _size(series: Series) -> str:
    return ", shown smaller" if max(series.pixels.shape[1:]) > LARGEST else ""


def _who(series: Series) -> str:
    return "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in series.identity if value
    )

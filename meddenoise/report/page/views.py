"""Views of a series: the planes to show, each with its reason, and regions in them."""

from dataclasses import dataclass

import numpy as np

from meddenoise.report.page.regions import Region, find_detail, find_patient, find_regions, spread_planes
from meddenoise.report.page.shown import Shown, planes_of

MOST_REGIONS = 3
"""Of a series that are shown."""


@dataclass(frozen=True, slots=True)
class Views:
    """Planes and regions to show of a series, in order."""

    planes: list[tuple[int, str]]
    """Index and reason."""
    regions: list[Region]


def choose_views(shown: Shown) -> Views:
    """The planes and regions of a series that a reader should see; some planes are looked through."""
    after, frames = shown.after, shown.frames
    middle = frames // 2
    if not shown.is_compared:
        return Views([(middle, "the middle" if frames > 1 else "")], [])
    regions: list[Region] = []
    removed: dict[int, float] = {}
    height, width = after.pixels.shape[1:]
    for index in spread_planes(frames, height * width * after.channels):
        planes = planes_of(shown, index)
        noisy = planes.reference if planes.before is None else planes.before
        assert noisy is not None
        residual = np.where(planes.valid, noisy - planes.after, np.float32(0))
        patient = find_patient(planes.after, planes.valid, inverted=after.inverted)
        regions += find_regions(residual, patient, index)
        removed[index] = float(np.abs(residual).mean())
    regions.sort(key=lambda region: -region.score)
    return _choose(shown, middle, regions, removed)


def _choose(shown: Shown, middle: int, regions: list[Region], removed: dict[int, float]) -> Views:
    """The middle plane, the first of a cine, and the worst: most noise left, most structure removed."""
    reasons = [(middle, "the middle" if shown.frames > 1 else "")]
    if shown.after.is_cine:
        reasons.append((0, "the first"))
    if regions and shown.frames > 1:
        reasons.append((regions[0].plane, regions[0].why))
    if shown.frames > 1:
        reasons.append(_noise_left(shown) or (max(removed, key=lambda n: removed[n]), "most removed"))
    planes: dict[int, list[str]] = {}
    for index, why in reasons:
        planes.setdefault(index, []).append(why)
    listed = [(index, ", ".join(filter(None, whys))) for index, whys in planes.items()]
    inside = [region for region in regions if region.plane in planes][: MOST_REGIONS - 1]
    first = planes_of(shown, middle)
    patient = find_patient(first.after, first.valid, inverted=shown.after.inverted)
    inside += find_detail(first.after, patient, middle, inside)
    return Views(listed, inside)


def _noise_left(shown: Shown) -> tuple[int, str] | None:
    """The plane with the most noise left and its reason; None where nothing was measured."""
    pairs = () if shown.removal is None else shown.removal.by_plane
    levels = {n: after for n, (_, after) in enumerate(pairs[: shown.frames]) if after is not None}
    return (max(levels, key=lambda n: levels[n]), "most noise left") if levels else None

"""Regions worth a look: planes of a series, places in the patient where structure went or detail is fine."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label, uniform_filter

from meddenoise.noise.blocks import usable_pixels
from meddenoise.series import Image, Mask

SCANNED = 8
"""Planes of a series that are looked through, evenly spread."""
SCANNED_PIXELS = 8 << 20
REGIONS = 3
SMOOTH, SHADE, AROUND = 1.5, 6.0, 33
"""Pixels: noise is averaged away over the first, what is even over the second is brightness and no structure,
and the level of the noise is taken over the third."""
SIDES = (32, 224)
"""Smallest and largest side of a region; a quarter of the plane between them."""
USABLE = (0.9, 0.7, 0.4)
"""Shares of a region that must be patient: the first that any place reaches."""
GUIDE, DARK = 2.0, 0.1
"""The patient is where an image, blurred over so many pixels, is brighter than that share of its range."""
LEAST = 0.02
"""Share of a plane below which what carries noise tells nothing: all that is image counts then."""
SURROUNDED = 0.7
"""Share of the border that is dark where the patient is surrounded by air."""
END, FLAT = 0.05, 0.0125
"""Air beside the patient, in shares of the range: values so near one end of it, which scatter so little.
What is but the darkest or the densest part of a patient is shaded, and fills all of that."""
PART = 0.01
"""Share of a plane below which a part is too small to be air, or lies in air as a letter of lead does."""
DETAIL = (1.0, 4.0)
"""Detail is what differs between blurs of these widths, in pixels."""
PLAIN = 4.0
"""Detail counts up to so many times what is usual in the patient."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of a plane, and how much structure the residual holds there, for comparison."""

    plane: int
    top: int
    left: int
    side: int
    score: float
    why: str = ""


def spread_planes(count: int, pixels: int) -> list[int]:
    """Planes to look through, of `count` with so many `pixels` each: evenly spread, the middle among them."""
    most = max(1, min(SCANNED, count, SCANNED_PIXELS // max(pixels, 1)))
    spread = np.linspace(0, count - 1, most + 2)[1:-1] if most < count else np.arange(count)
    return sorted({*np.rint(spread).astype(int).tolist(), count // 2})


def find_patient(plane: Image, valid: Mask, *, inverted: bool = False) -> Mask:
    """True where a plane [Y, X] shows the patient: no padding, no collimator, no air around.

    Air is recognised by the border: if most of it is dark, the patient is the brighter part within. In
    radiographs neck and abdomen touch the border: air is what is flat beside them. An image that fills
    its frame, as of fluoroscopy, is patient throughout.
    """
    usable = usable_pixels(plane, valid)
    if np.count_nonzero(usable) < LEAST * plane.size:
        return valid
    shown = np.where(usable, -plane if inverted else plane, np.nan)
    low, high = (float(value) for value in np.nanpercentile(shown, (1, 99)))
    guide = gaussian_filter(np.nan_to_num(shown, nan=low), GUIDE)
    bright = guide > low + DARK * (high - low)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if border.mean() > 1 - SURROUNDED:
        return usable & ~_air_beside(guide, usable, (low, high))
    parts, _ = label(bright)
    sizes = np.bincount(parts.ravel())[1:]
    if not sizes.size:
        return usable
    body: Mask = binary_fill_holes(parts == 1 + int(sizes.argmax()))
    return body & valid


def _air_beside(guide: Image, usable: Mask, ends: tuple[float, float]) -> Mask:
    """True in parts at the border that are flat and at the dark end, or else at the bright one.

    Which end is air is not known of a file that states no photometric interpretation.
    """
    (low, high), least = ends, PART * guide.size
    air = np.zeros_like(usable)
    for near in (guide < low + END * (high - low), guide > high - END * (high - low)):
        parts, _ = label(near & usable)
        sizes = np.bincount(parts.ravel())
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        for part in edge[(edge > 0) & (sizes[edge] >= least)]:
            inside = parts == part
            # quartiles: the rim of the patient is within the blur
            first, third = np.percentile(guide[inside], (25, 75))
            if third - first < FLAT * (high - low):
                air |= inside
        if air.any():
            break
    others, _ = label(~air)
    small: Mask = np.bincount(others.ravel())[others] < least
    return air | small


def find_regions(residual: Image, patient: Mask, plane: int) -> list[Region]:
    """The regions of a plane in which the residual [Y, X] holds most structure, best first, none overlapping.

    Noise averages away over a few pixels, an edge does not: what counts is the power of the smoothed
    residual over that of the residual around it.
    """
    if not residual.any():
        return []
    shade = gaussian_filter(residual, SHADE)
    level = uniform_filter(np.square(residual - shade), AROUND)
    floor = 0.1 * float(level.mean()) or 1.0
    share = np.square(gaussian_filter(residual, SMOOTH) - shade) / np.maximum(level, floor)
    return _best(
        share, patient, Region(plane, 0, 0, 0, 0.0, "most structure in the part removed"), [], REGIONS
    )


def find_detail(image: Image, patient: Mask, plane: int, taken: list[Region]) -> list[Region]:
    """The region of a plane [Y, X] with the finest detail, beside those `taken`; none in an even plane.

    Strong edges count no more than others: the skin or a metal clip is not what a reader wants to see.
    """
    detail = np.abs(gaussian_filter(image, DETAIL[0]) - gaussian_filter(image, DETAIL[1]))
    if not patient.any() or not detail[patient].any():
        return []
    inside = detail[patient]
    detail = np.minimum(detail, PLAIN * np.median(inside) or np.quantile(inside, 0.9))
    like = Region(plane, 0, 0, 0, 0.0, "most detail in the image")
    return _best(detail, patient, like, [one for one in taken if one.plane == plane], 1)


def _best(values: Image, patient: Mask, like: Region, taken: list[Region], most: int) -> list[Region]:
    """The squares in the patient with the highest mean of `values`, best first, none overlapping."""
    height, width = values.shape
    side = int(np.clip(min(height, width) // 4, *SIDES))
    if min(height, width) < SIDES[0]:
        return []
    score = _squares_mean(np.where(patient, values, 0).astype(np.float32), side)
    inside = _squares_mean(patient.astype(np.float32), side)
    usable = next((share for share in USABLE if (inside >= share).any()), USABLE[-1])
    score[inside < usable] = 0
    step = max(1, side // 8)
    score = score[::step, ::step].copy()
    near = side // step
    for one in taken:
        _clear(score, one.top // step, one.left // step, near)
    found: list[Region] = []
    while len(found) < most and score.max(initial=0) > 0:
        top, left = (int(index) for index in np.unravel_index(int(score.argmax()), score.shape))
        best = float(score[top, left])
        found.append(replace(like, top=top * step, left=left * step, side=side, score=best))
        _clear(score, top, left, near)
    return found


def _clear(score: NDArray[np.float64], top: int, left: int, near: int) -> None:
    score[max(0, top - near) : top + near + 1, max(0, left - near) : left + near + 1] = 0


def _squares_mean(values: Image, side: int) -> NDArray[np.float64]:
    """Mean over every square of that side that lies inside, by its upper left corner."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    total[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    bands = total[side:] - total[:-side]
    mean: NDArray[np.float64] = (bands[:, side:] - bands[:, :-side]) / side**2
    return mean

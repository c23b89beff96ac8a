"""A contact sheet: the input and what each method made of it, whole and where most was changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import gaussian_filter, uniform_filter

from meddenoise.engine.planes import shown
from meddenoise.io.atomic import staged
from meddenoise.io.own import DRAWN
from meddenoise.report.page.windows import Window, choose_windows
from meddenoise.series import Image, Series
from meddenoise.version import __version__

CELL = 240
"""Side of a picture of the sheet, in pixels."""
CROP = 96
COLUMNS = 4
GAP, CAPTION = 6, 34
FONT = 13
BLACK, GREY, WHITE, MARK = (18, 18, 18), (150, 150, 150), (235, 235, 235), (255, 190, 60)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One series of the sheet, and the lines under its name."""

    name: str
    series: Series
    text: str = ""


def draw_sheet(exhibits: Sequence[Exhibit], path: Path) -> None:
    """Write a PNG of the middle plane of every exhibit; the first one is the input of the others.

    Above the whole plane, below the part where the results differ from the input by most structure.
    Raises OutputError where it cannot be written.
    """
    planes = [_middle(exhibit.series) for exhibit in exhibits]
    place = _most_changed(planes)
    first = exhibits[0].series
    window = choose_windows(planes[0], first.modality, first.unit)[0]
    rows = -(-len(exhibits) // COLUMNS)
    columns = min(len(exhibits), COLUMNS)
    height = 2 * CELL + 2 * GAP + CAPTION
    size = (columns * (CELL + GAP) + GAP, rows * (height + GAP) + GAP)
    sheet = PilImage.new("RGB", size, BLACK)
    font = ImageFont.load_default(FONT)
    for number, (exhibit, plane) in enumerate(zip(exhibits, planes, strict=True)):
        row, column = divmod(number, COLUMNS)
        left, top = GAP + column * (CELL + GAP), GAP + row * (height + GAP)
        pen = ImageDraw.Draw(sheet)
        pen.text((left, top), exhibit.name, WHITE, font)
        pen.text((left, top + FONT + 3), exhibit.text, GREY, font)
        whole = _grey(plane, window)
        _paste(sheet, whole, (left, top + CAPTION), place if number == 0 else None)
        part = whole[place[0] : place[0] + CROP, place[1] : place[1] + CROP]
        _paste(sheet, part, (left, top + CAPTION + CELL + GAP), None)
    with staged([path]) as staging, staging.file(path) as stream:
        sheet.save(stream, "PNG", optimize=True, pnginfo=_origin())


def _origin() -> PngInfo:
    """Description that tells the picture from an image of a patient."""
    info = PngInfo()
    info.add_itxt("Processing", f"{DRAWN} {__version__}: a comparison of methods")
    return info


def _middle(series: Series) -> Image:
    """The middle plane as it is shown, the first channel of a colour image."""
    index = len(series) // series.channels // 2 * series.channels
    plane: Image = shown(series, np.nan_to_num(series.values(index, index + 1)))[0]
    return plane


def _most_changed(planes: Sequence[Image]) -> tuple[int, int]:
    """Top and left of the part where the results differ from the input, the noise smoothed away."""
    first = planes[0]
    energy = np.zeros(first.shape)
    for plane in planes[1:]:
        spots = np.square(gaussian_filter(first - plane, 1.5) - gaussian_filter(first - plane, 4.5))
        # every method counts as much, however strong it is
        energy += spots / max(float(spots.mean()), 1e-12)
    around = uniform_filter(energy, min(CROP, *first.shape), mode="constant")
    y, x = np.unravel_index(int(around.argmax()), around.shape)
    limits = [max(0, side - CROP) for side in first.shape]
    return min(max(0, int(y) - CROP // 2), limits[0]), min(max(0, int(x) - CROP // 2), limits[1])


def _grey(plane: Image, window: Window) -> NDArray[np.uint8]:
    share = np.clip((plane - window.low) / (window.high - window.low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
    return grey


def _paste(
    sheet: PilImage.Image, grey: NDArray[np.uint8], corner: tuple[int, int], frame: tuple[int, int] | None
) -> None:
    """A plane fitted into a cell; `frame` is the corner of the part that is shown below."""
    scale = CELL / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    # pixels of the part stay what they are, a whole plane is averaged down
    way = PilImage.Resampling.LANCZOS if scale < 1 else PilImage.Resampling.NEAREST
    sheet.paste(PilImage.fromarray(grey).resize(size, way), corner)
    if frame is not None:
        top, left = (corner[1] + frame[0] * scale, corner[0] + frame[1] * scale)
        box = (left, top, left + min(CROP, grey.shape[1]) * scale, top + min(CROP, grey.shape[0]) * scale)
        ImageDraw.Draw(sheet).rectangle(box, outline=MARK, width=1)

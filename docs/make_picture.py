"""The README's picture: phantoms as acquired, denoised, and as they are, with a magnified detail.

    python docs/make_picture.py [--weights NAME|PATH] [-o docs/before_after.png]

Everything comes from the embedded phantoms, so anyone can make it again.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from meddenoise import Options, denoise
from meddenoise.phantom import Phantom, make_phantom
from meddenoise.phantom.acquire import MR_PERCENT, acquire, dose_noise, to_series
from meddenoise.series import Series

SIZE, ZOOM = 384, 3
DETAILS = {"ct": (168, 178), "mr": (150, 120), "fluoro": (112, 85)}
"""Upper left corner (x, y) of the magnified square in each phantom of SIZE pixels."""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("before_after.png"))
    arguments = parser.parse_args()
    rows = [_row(make_phantom(name, size=SIZE, planes=1), arguments.weights) for name in DETAILS]
    head = Image.new("L", (rows[0].width, 30), 255)
    for column, text in enumerate(("as acquired", "meddenoise denoise", "truth")):
        _write(head, text, (column * (SIZE + 8) + 6, 5), 0)
    picture = Image.new("L", (head.width, head.height + sum(row.height + 8 for row in rows)), 255)
    picture.paste(head)
    for index, row in enumerate(rows):
        picture.paste(row, (0, head.height + index * (row.height + 8)))
    picture.save(arguments.output, optimize=True)


def _row(phantom: Phantom, weights: str | None) -> Image.Image:
    noisy = to_series(phantom, acquire(phantom, dose_noise(phantom), seed=0)[0], "noisy")
    truth = to_series(phantom, phantom.truth, "truth")
    clean = denoise(noisy, Options(weights=weights)).series
    row = Image.new("L", (3 * SIZE + 16, SIZE), 255)
    for column, series in enumerate((noisy, clean, truth)):
        tile = _show(phantom, series)
        error = float(np.sqrt(np.mean((series.values(0, 1) - truth.values(0, 1)) ** 2)))
        label = f"{_label(phantom)}, " if column == 0 else ""
        unit = f" {phantom.kind.unit}" if phantom.kind.unit else ""
        _write(tile, f"{label}RMSE {error:.3g}{unit}" if column < 2 else "", (6, SIZE - 24), 255)
        row.paste(tile, (column * (SIZE + 8), 0))
    return row


def _label(phantom: Phantom) -> str:
    dose = phantom.kind.dose
    return f"{phantom.kind.modality}, " + (
        f"{100 * dose:g} % dose" if dose else f"{MR_PERCENT:g} % Rician noise"
    )


def _show(phantom: Phantom, series: Series) -> Image.Image:
    """The plane in its display window, a detail magnified in the upper right corner."""
    centre, width = phantom.kind.window
    grey = np.clip((series.values(0, 1)[0] - centre) / width + 0.5, 0, 1)
    tile = Image.fromarray((255 * grey).astype(np.uint8))
    x, y = DETAILS[phantom.name]
    side = SIZE // ZOOM // 3
    detail = tile.crop((x, y, x + side, y + side))
    detail = detail.resize((ZOOM * side, ZOOM * side), Image.Resampling.LANCZOS)
    tile.paste(detail, (SIZE - detail.width, 0))
    draw = ImageDraw.Draw(tile)
    draw.rectangle((x, y, x + side, y + side), outline=255)
    draw.rectangle((SIZE - detail.width, 0, SIZE - 1, detail.height), outline=255)
    return tile


def _write(image: Image.Image, text: str, place: tuple[int, int], fill: int) -> None:
    ImageDraw.Draw(image).text(place, text, fill=fill, font=ImageFont.load_default(16))


if __name__ == "__main__":
    main()

"""`upscale` beside bicubic interpolation, to look at pixel by pixel.

    python benchmarks/upscale_look.py [IMAGE...] [--factor 4] [-o upscale.png]

Each image is reduced by the mean of every FACTOR x FACTOR pixels and brought back; without images the
phantoms are taken. A row holds, pixel by pixel: the reduced image, bicubic, `upscale`, the image. PSNR is
over the range of the whole image.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import interpolate

from meddenoise import as_series, read
from meddenoise.phantom import make_phantom
from meddenoise.pipeline import prepare
from meddenoise.pipeline.options import Options
from meddenoise.report.page.windows import choose_windows

SIDE, PHANTOMS = 256, ("ct", "mr", "xray")
HEAD = 20

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class UpscaleSample:
    """One plane [Y, X] in its unit."""

    name: str
    modality: str
    plane: Plane
    unit: str = ""


def main() -> None:
    """Write the picture and tell the PSNR of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("-o", "--output", type=Path, default=Path("upscale.png"))
    arguments = parser.parse_args()
    rows = [_row(sample, arguments.factor) for sample in load_samples(arguments.images)]
    sheet = Image.new("L", (max(row.width for row in rows), sum(row.height for row in rows)))
    for n, row in enumerate(rows):
        sheet.paste(row, (0, sum(other.height for other in rows[:n])))
    sheet.save(arguments.output, optimize=True)


def load_samples(paths: list[Path]) -> Iterator[UpscaleSample]:
    """The middle plane of each image, or the truth of the phantoms."""
    for path in paths:
        series = read(path)[0]
        middle = len(series) // 2
        yield UpscaleSample(path.name, series.modality, series.values(middle, middle + 1)[0], series.unit)
    for name in () if paths else PHANTOMS:
        phantom = make_phantom(name, size=SIDE, planes=1)
        yield UpscaleSample(
            name, phantom.kind.modality, phantom.truth[0].astype(np.float32), phantom.kind.unit
        )


def compare(sample: UpscaleSample, factor: int) -> dict[str, Plane]:
    """The middle of a plane, reduced (nearest pixels), by bicubic, by `upscale`, and as it is."""
    height, width = (min(SIDE, size) // factor * factor for size in sample.plane.shape)
    top, left = ((size - part) // 2 for size, part in zip(sample.plane.shape, (height, width), strict=True))
    truth = sample.plane[top : top + height, left : left + width]
    small = truth.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    series = as_series(small[None], modality=sample.modality or None)
    options = Options(task="upscale", method="medcdiff-upscale", factor=float(factor))
    ours = prepare(series, options).run().series.values(0, 1)[0]
    tensor = torch.from_numpy(small)[None, None]
    bicubic = interpolate(tensor, size=(height, width), mode="bicubic", align_corners=False).numpy()[0, 0]
    return {
        "reduced": small.repeat(factor, 0).repeat(factor, 1),
        "bicubic": bicubic,
        "upscale": ours,
        "image": truth,
    }


def psnr(plane: Plane, truth: Plane) -> float:
    """In dB, over the range of the truth."""
    return float(20 * np.log10(np.ptp(truth) / np.sqrt(np.mean(np.square(plane - truth)))))


def _row(sample: UpscaleSample, factor: int) -> Image.Image:
    planes = compare(sample, factor)
    truth = planes["image"]
    window = choose_windows(truth, sample.modality, sample.unit)[0]
    height, width = truth.shape
    row = Image.new("L", (len(planes) * (width + 4), height + HEAD))
    told = []
    for n, (name, plane) in enumerate(planes.items()):
        label = name if plane is truth else f"{name} {psnr(plane, truth):.2f} dB"
        told.append(label)
        grey = np.clip((plane - window.low) / (window.high - window.low), 0, 1)
        row.paste(Image.fromarray(np.uint8(np.rint(255 * grey))), (n * (width + 4), HEAD))
        ImageDraw.Draw(row).text((n * (width + 4) + 4, 2), label, fill=255, font=ImageFont.load_default(13))
    print(f"{sample.name} x{factor}: {', '.join(told)}")
    return row


if __name__ == "__main__":
    main()

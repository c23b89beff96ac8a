"""JPEG, 8 bit, grey and colour: only read, for writing it again would lose detail again; results are PNG."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from meddenoise.errors import CorruptError, OutputError, UnsupportedError, first_line
from meddenoise.io import Entry, Item, one_each
from meddenoise.io.limits import allocate
from meddenoise.io.raster import series_of, split_alpha
from meddenoise.series import Series

SUFFIX = ".jpg"
LOSSY = "JPEG is lossy: its blur and its blocks are taken as image; denoise the original if there is one"

_MAGIC = b"\xff\xd8\xff"
_CHANNELS = {"L": 1, "RGB": 3}


def sniff(path: Path) -> bool:
    """True for a JPEG's start of image and a marker."""
    with path.open("rb") as stream:
        return stream.read(3) == _MAGIC


def scan(path: Path) -> Entry:
    """The entry of one JPEG. Raises CorruptError or UnsupportedError."""
    with _opened(path):
        return Entry(path, 1)


group = one_each


def read(item: Item) -> Series:
    """The image as viewers show it: one plane, or red, green and blue. Raises InputError."""
    path = item.files[0]
    with _opened(path) as image:
        channels = _CHANNELS[image.mode]
        # asks for the memory before the decoder does
        allocate((channels, image.height, image.width), np.dtype(np.uint8), path)
        try:
            frame = np.array(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, ValueError) as error:
            raise CorruptError(f"{path} does not decode ({first_line(error)}): copy it again.") from error
    pixels = np.ascontiguousarray(split_alpha(frame)[0])
    return series_of(item, pixels, channels, None, (LOSSY,))


def write(series: Series, targets: Sequence[Path]) -> None:
    """Raises OutputError: JPEG is only read."""
    raise OutputError(f"{targets[0]} would be a JPEG, which loses detail: write PNG instead.")


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # the size is judged before pixels are asked for
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("JPEG",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptError(f"{path} has a damaged JPEG header: copy it again.") from error
    if image.mode not in _CHANNELS:
        raise UnsupportedError(f"{path} holds {image.mode} colours; grey and RGB are read: convert it first.")
    return image

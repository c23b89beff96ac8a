"""JPEG is read, with a word that it is lossy; its results are PNG."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddenoise.errors import CorruptError, InputError, UnsupportedError, UsageError
from meddenoise.io import output_paths, read, write
from meddenoise.io.jpeg import LOSSY
from meddenoise.series import Derivation

DONE = Derivation("median", "Noise reduced by meddenoise 1, method median.", "size=3")
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)


def jpeg(path: Path, mode: str = "L", **options: object) -> Path:
    Image.fromarray(PIXELS).convert(mode).save(path, "JPEG", **options)
    return path


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_the_pixels_are_those_that_pillow_decodes_and_come_with_a_warning(
    mode: str, channels: int, tmp_path: Path
) -> None:
    (series,) = read(jpeg(tmp_path / "a.jpg", mode))
    decoded = np.asarray(Image.open(tmp_path / "a.jpg"))
    expected = decoded[None] if channels == 1 else np.moveaxis(decoded, -1, 0)
    np.testing.assert_array_equal(series.pixels, expected)
    assert series.channels == channels
    assert series.warnings == (LOSSY,)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_result_is_a_png_with_exactly_its_pixels(mode: str, tmp_path: Path) -> None:
    (series,) = read(jpeg(tmp_path / "a.jpg", mode))
    assert output_paths(series, tmp_path / "o", root=tmp_path) == [tmp_path / "o" / "a.png"]
    (target,) = write(series.with_pixels(series.pixels, DONE), tmp_path / "o", root=tmp_path)
    np.testing.assert_array_equal(read(target)[0].pixels, series.pixels)


def test_a_picture_is_taken_as_viewers_turn_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (series,) = read(jpeg(tmp_path / "a.jpg", exif=exif))
    assert series.pixels.shape == (1, 40, 24)


def test_writing_jpeg_is_refused(tmp_path: Path) -> None:
    (series,) = read(jpeg(tmp_path / "a.jpg"))
    with pytest.raises(UsageError, match="jpeg is only read, for it would lose detail: give png"):
        write(series, tmp_path / "b.jpg", format="jpeg")


def test_what_is_no_grey_or_rgb_and_what_is_cut_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="holds CMYK colours"):
        read(jpeg(tmp_path / "a.jpg", "CMYK"))
    whole = jpeg(tmp_path / "b.jpg").read_bytes()
    for end in (3, 20, 200, len(whole) // 2):
        (tmp_path / "c.jpg").write_bytes(whole[:end])
        with pytest.raises(CorruptError, match=r"c\.jpg"):
            read(tmp_path / "c.jpg")
    (tmp_path / "d.jpg").write_bytes(b"\xff\xd8\xff\xf7" + bytes(99))
    with pytest.raises(InputError, match="damaged JPEG header"):
        read(tmp_path / "d.jpg")

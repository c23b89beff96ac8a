"""PNG and TIFF: every bit depth, alpha and metadata, and the grey levels other formats become."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, PngImagePlugin

from meddenoise.io import read, write
from meddenoise.io.png import _encode
from meddenoise.series import Series
from tests.io_samples import DONE, RNG, ct_slice, png, save, tiff


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


def rewritten(source: Path) -> Path:
    series = only(source)
    target = source.with_name(f"again{source.suffix}")
    write(series.with_pixels(series.pixels, DONE), target)
    return target


def pictures() -> st.SearchStrategy[Any]:
    sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
    kinds = st.sampled_from([("u1", 1), ("u1", 2), ("u1", 3), ("u1", 4), ("u2", 1), ("u2", 3), ("u2", 4)])
    return st.tuples(kinds, sizes).flatmap(
        lambda pair: hnp.arrays(pair[0][0], (*pair[1], *([pair[0][1]] * (pair[0][1] > 1))))
    )


def decoded(path: Path, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """By SimpleITK, but for grey with alpha, which it does not know."""
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        with Image.open(path) as image:
            return np.asarray(image)
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))).reshape(pixels.shape)


@given(pictures())
@settings(max_examples=80, deadline=None)
def test_any_png_comes_back_bit_for_bit_with_its_alpha(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray[Any, Any]
) -> None:
    source = tmp_path_factory.mktemp("p") / "a.png"
    with source.open("wb") as stream:
        _encode(stream, pixels, ())
    # an independent decoder proves that the file is a PNG of these pixels
    assert np.array_equal(decoded(source, pixels), pixels)
    series = only(source)
    frames = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    colours = frames[..., :3] if frames.shape[2] >= 3 else frames[..., :1]
    assert np.array_equal(series.pixels, np.moveaxis(colours, -1, 0))
    assert series.channels == colours.shape[2]
    assert np.array_equal(decoded(rewritten(source), pixels), pixels)


@given(
    st.sampled_from(["u1", "u2", "i2", "u4", "i4", "f4", "f8"]).flatmap(
        lambda kind: hnp.arrays(kind, st.tuples(st.integers(1, 4), st.integers(2, 9), st.integers(2, 9)))
    ),
    st.sampled_from([None, "zlib"]),
)
@settings(max_examples=60, deadline=None)
def test_any_tiff_stack_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray[Any, Any], compression: str | None
) -> None:
    source = tiff(tmp_path_factory.mktemp("t") / "a.tif", pixels, compression=compression)
    assert only(source).pixels.tobytes() == pixels.tobytes()
    assert tifffile.imread(rewritten(source)).tobytes() == pixels.tobytes()


def test_what_describes_a_png_stays(tmp_path: Path) -> None:
    image = Image.fromarray(RNG(1).integers(0, 255, (8, 9), np.uint8))
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", "someone")
    image.save(tmp_path / "a.png", dpi=(300, 300), pnginfo=told, icc_profile=b"profile")
    with Image.open(rewritten(tmp_path / "a.png")) as again:
        assert again.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert again.info["Author"] == "someone" and again.info["icc_profile"] == b"profile"
        assert again.text["Processing"] == DONE.description


@given(order=st.permutations(range(256)), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=15)
def test_a_palette_of_all_greys_is_kept(order: list[int], seed: int) -> None:
    with TemporaryDirectory() as folder:
        image = Image.fromarray(RNG(seed).integers(0, 256, (5, 7), np.uint8), "P")
        image.putpalette(np.repeat(np.array(order, np.uint8), 3).tobytes())
        image.save(Path(folder) / "a.png")
        series = only(Path(folder) / "a.png")
        assert not series.warnings and series.channels == 1
        assert np.array_equal(series.pixels[0], np.asarray(image.convert("L")))
        changed = series.with_pixels(255 - series.pixels, DONE)
        write(changed, Path(folder) / "b.png")
        with Image.open(Path(folder) / "b.png") as after:
            assert after.mode == "P" and after.getpalette() == image.getpalette()
            assert np.array_equal(np.asarray(after.convert("L")), changed.pixels[0])


@pytest.mark.parametrize(
    ("greys", "transparent", "mode", "told"),
    [
        (16, None, "L", "the palette has 16 of 256 greys: written as grey without it"),
        (256, 3, "LA", "the palette has transparent indices: written as grey without it"),
    ],
)
def test_a_palette_that_cannot_hold_every_grey_is_left_for_grey(
    greys: int, transparent: int | None, mode: str, told: str, tmp_path: Path
) -> None:
    image = Image.fromarray(RNG(1).integers(0, greys, (5, 7), np.uint8), "P")
    image.putpalette(np.repeat(np.linspace(0, 255, greys).astype(np.uint8), 3).tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    image.save(tmp_path / "a.png", **options)
    series = only(tmp_path / "a.png")
    assert series.warnings == (told,) and series.channels == 1
    with Image.open(rewritten(tmp_path / "a.png")) as after:
        assert after.mode == mode
        assert np.array_equal(np.asarray(after), np.asarray(image.convert(mode)))


def test_a_palette_becomes_rgb_and_says_so(tmp_path: Path) -> None:
    picture = Image.fromarray(RNG(2).integers(0, 255, (8, 9, 3), np.uint8)).quantize(8)
    picture.save(tmp_path / "a.png")
    series = only(tmp_path / "a.png")
    assert series.warnings == ("palette colours are written as RGB",)
    assert np.array_equal(np.moveaxis(series.pixels, 0, -1), np.asarray(picture.convert("RGB")))


def test_an_interlaced_png_is_read(tmp_path: Path) -> None:
    # 2 x 2 grey, Adam7: passes 1 (one pixel), 6 (one) and 7 (a row of two)
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 1))
    data = chunk(b"IDAT", zlib.compress(bytes([0, 10, 0, 20, 0, 30, 40])))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))
    assert only(tmp_path / "a.png").pixels.tolist() == [[[10, 20], [30, 40]]]


def test_what_describes_a_tiff_stays(tmp_path: Path) -> None:
    source = tiff(
        tmp_path / "a.tif",
        RNG(3).integers(0, 255, (3, 8, 9), np.uint8),
        description="ImageJ=1.53\nimages=3\nspacing=2.5",
        resolution=(10, 20),
        resolutionunit="CENTIMETER",
        byteorder=">",
        metadata=None,
    )
    with tifffile.TiffFile(rewritten(source)) as again:
        page = again.pages[0]
        assert page.description == "ImageJ=1.53\nimages=3\nspacing=2.5"
        assert page.tags["XResolution"].value == (10, 1) and int(page.resolutionunit) == 3
        assert again.byteorder == ">" and len(again.pages) == 3
        assert DONE.description in page.tags["Software"].value


def test_tiff_texts_beyond_ascii_stay(tmp_path: Path) -> None:
    """Microscopes write micrometres."""
    pixels = RNG(3).integers(0, 255, (8, 9), np.uint8)
    text = "unit=µm, Größe 3".encode()
    source = tiff(tmp_path / "a.tif", pixels, description=text, extratags=[(315, "s", None, text, True)])
    with tifffile.TiffFile(rewritten(source)) as again:
        page = again.pages[0]
        assert page.description == page.tags["Artist"].value == "unit=µm, Größe 3"


def test_a_resolution_that_is_none_is_left_out(tmp_path: Path) -> None:
    pixels = RNG(3).integers(0, 255, (8, 9), np.uint8)
    source = tiff(tmp_path / "a.tif", pixels, resolution=(10, 20), resolutionunit=2, byteorder="<")
    data = source.read_bytes()
    unit = data.index(b"\x28\x01\x03\x00\x01\x00\x00\x00\x02\x00")
    source.write_bytes(data[: unit + 8] + b"\x41" + data[unit + 9 :])
    with tifffile.TiffFile(rewritten(source)) as again:
        assert np.array_equal(again.asarray(), pixels)


def test_colour_tiffs_keep_their_alpha(tmp_path: Path) -> None:
    pixels = RNG(4).integers(0, 65535, (8, 9, 4), np.uint16)
    source = tiff(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    assert only(source).pixels.shape == (3, 8, 9)
    assert np.array_equal(tifffile.imread(rewritten(source)), pixels)


def test_planes_apart_in_the_file_are_understood(tmp_path: Path) -> None:
    pixels = RNG(5).integers(0, 255, (3, 8, 9), np.uint8)
    source = tiff(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    assert np.array_equal(only(source).pixels, pixels)


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", np.eye(8, dtype=np.uint8), photometric="miniswhite")
    assert only(source).inverted and only(rewritten(source)).inverted


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_compressions_of_other_programs_are_read(tmp_path: Path, compression: str) -> None:
    pixels = RNG(6).integers(0, 255, (2, 8, 9), np.uint8)
    first, second = map(Image.fromarray, pixels)
    first.save(tmp_path / "a.tif", compression=compression, save_all=True, append_images=[second])
    assert np.array_equal(only(tmp_path / "a.tif").pixels, pixels)


def test_big_tiff_stays_big(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", np.ones((8, 9), np.uint8), bigtiff=True)
    assert rewritten(source).read_bytes()[:4] == source.read_bytes()[:4] == b"II+\0"


def test_a_dicom_with_a_tiff_preamble_is_dicom(tmp_path: Path) -> None:
    source = save(ct_slice(), tmp_path / "a.tif")
    data = bytearray(source.read_bytes())
    data[:8] = b"II*\0\x08\0\0\0"
    source.write_bytes(data)
    assert only(source).format == "dicom"


@pytest.mark.parametrize(
    ("low", "high", "kind", "top"),
    [(0, 255, np.uint8, 255), (0, 4095, np.uint16, 65520), (-2048, 2047, np.uint16, 65520)],
)
def test_grey_levels_are_exact_and_set_by_the_stored_range(
    tmp_path: Path, low: int, high: int, kind: Any, top: int
) -> None:
    pixels = np.linspace(low, high, 48).astype(np.int16).reshape(8, 6)
    bits = (high - low).bit_length()
    changes = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(low < 0)}
    source = save(ct_slice(**changes, PixelData=pixels.tobytes(), PixelPaddingValue=None), tmp_path / "a.dcm")
    write(only(source), tmp_path / "a.png", format="png")
    levels = only(tmp_path / "a.png").pixels
    assert levels.dtype == kind and levels.max() == top
    assert np.array_equal(levels[0].astype(int), (pixels.astype(int) - low) * (top // (high - low)))


def test_monochrome1_is_turned_for_the_eye(tmp_path: Path) -> None:
    changes = {
        "PhotometricInterpretation": "MONOCHROME1",
        "PixelRepresentation": 0,
        "PixelPaddingValue": None,
    }
    pixels = np.arange(48, dtype=np.uint16).reshape(8, 6)
    source = save(ct_slice(**changes, PixelData=pixels.tobytes()), tmp_path / "a.dcm")
    write(only(source), tmp_path / "a.png", format="png")
    assert np.array_equal(only(tmp_path / "a.png").pixels[0], 65535 - pixels)


def test_floats_are_spread_and_the_map_is_told(tmp_path: Path) -> None:
    pixels = RNG(7).normal(size=(8, 9)).astype(np.float32)
    write(only(tiff(tmp_path / "a.tif", pixels)), tmp_path / "a.png", format="png")
    with Image.open(tmp_path / "a.png") as image:
        factor, low = (float(word) for word in image.text["Stored value"].split()[2::2])
    levels = only(tmp_path / "a.png").pixels[0]
    assert (levels.min(), levels.max()) == (0, 65535)
    np.testing.assert_allclose(levels / factor + low, pixels, atol=1e-3)


def test_png_of_a_png_keeps_it(tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(8).integers(0, 65535, (8, 9), np.uint16))
    write(only(source), tmp_path / "b.png", format="png")
    assert np.array_equal(only(tmp_path / "b.png").pixels, only(source).pixels)

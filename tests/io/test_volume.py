"""NRRD and MetaImage beside SimpleITK: the same voxels and places both ways; clear words for what is bad."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from meddenoise.errors import CorruptError, InputError, UnsupportedError
from meddenoise.io import discover, output_paths, read, write
from meddenoise.series import Derivation, Series

DONE = Derivation("median", "Noise reduced by meddenoise 1, method median.", "size=3")
VOXELS = np.random.default_rng(0).integers(0, 99, (4, 6, 5))
DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
EITHER = pytest.mark.parametrize("suffix", ["nrrd", "mha"])


def image_of(voxels: np.ndarray[Any, Any]) -> Any:
    image = SimpleITK.GetImageFromArray(voxels, isVector=False)
    dimension = image.GetDimension()
    image.SetSpacing((0.7, 0.8, 3.0, 1.0)[:dimension])
    image.SetOrigin((-5.0, 12.0, 30.0, 0.0)[:dimension])
    if dimension == 3:
        image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    return image


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


def denoised(series: Series) -> Series:
    return series.with_pixels(series.store(series.values(0, len(series)) + 1, 0, len(series)), DONE)


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_voxels_and_place_are_those_that_simpleitk_reads(
    suffix: str, packed: bool, dtype: str, tmp_path: Path
) -> None:
    image = image_of(VOXELS.astype(dtype))
    SimpleITK.WriteImage(image, str(tmp_path / f"v.{suffix}"), packed)
    series = only(tmp_path / f"v.{suffix}")
    assert series.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(series.pixels, VOXELS)
    SimpleITK.WriteImage(image, str(tmp_path / "v.nii"))
    place, expected = series.geometry, only(tmp_path / "v.nii").geometry
    np.testing.assert_allclose(place.spacing_mm, expected.spacing_mm, atol=1e-6)
    np.testing.assert_allclose(place.origin_mm, expected.origin_mm, atol=1e-5)
    np.testing.assert_allclose(place.axes, expected.axes, atol=1e-6)


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("packed", [True, False])
def test_simpleitk_reads_a_result_in_the_place_of_its_source(
    suffix: str, packed: bool, tmp_path: Path
) -> None:
    image = image_of(VOXELS.astype("i2"))
    SimpleITK.WriteImage(image, str(tmp_path / f"v.{suffix}"), packed)
    (target,) = write(denoised(only(tmp_path / f"v.{suffix}")), tmp_path / "out", root=tmp_path)
    assert target.name == {"nhdr": "v.nrrd", "mhd": "v.mha"}.get(suffix, f"v.{suffix}")
    again = SimpleITK.ReadImage(str(target))
    assert again.GetPixelID() == image.GetPixelID()
    assert again.IsSameImageGeometryAs(image)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), VOXELS + 1)


@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
@pytest.mark.parametrize("shape", [(6, 5), (2, 4, 6, 5)])
def test_pictures_and_series_of_volumes_come_back(
    suffix: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    image = image_of(np.arange(np.prod(shape), dtype="u2").reshape(shape))
    SimpleITK.WriteImage(image, str(tmp_path / f"v.{suffix}"))
    series = only(tmp_path / f"v.{suffix}")
    assert series.pixels.shape == (int(np.prod(shape[:-2])), 6, 5)
    (target,) = write(denoised(series), tmp_path / f"out.{suffix}")
    again = SimpleITK.ReadImage(str(target))
    assert again.IsSameImageGeometryAs(image)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), SimpleITK.GetArrayFromImage(image) + 1)


@EITHER
def test_an_image_of_another_format_gets_its_values_and_place(suffix: str, tmp_path: Path) -> None:
    SimpleITK.WriteImage(image_of(VOXELS.astype("f8")), str(tmp_path / "v.nii"))
    series = only(tmp_path / "v.nii")
    (target,) = write(series, tmp_path / f"v.{suffix}", format=suffix)
    again, expected = SimpleITK.ReadImage(str(target)), SimpleITK.ReadImage(str(tmp_path / "v.nii"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(again), VOXELS)
    np.testing.assert_allclose(again.GetOrigin(), expected.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(again.GetSpacing(), expected.GetSpacing(), atol=1e-6)
    np.testing.assert_allclose(again.GetDirection(), expected.GetDirection(), atol=1e-6)


def test_everything_else_in_a_header_stays(tmp_path: Path) -> None:
    image = image_of(VOXELS.astype("i2"))
    image.SetMetaData("patient note", "T1 brain")
    SimpleITK.WriteImage(image, str(tmp_path / "v.nrrd"))
    (target,) = write(denoised(only(tmp_path / "v.nrrd")), tmp_path / "out.nrrd")
    before = (tmp_path / "v.nrrd").read_bytes().split(b"\n\n")[0].splitlines()
    after = target.read_bytes().split(b"\n\n")[0].splitlines()
    assert after[: len(before)] == before
    assert after[len(before) :] == [b"meddenoise:=" + DONE.description.encode()]
    assert only(tmp_path / "v.nrrd").hint == "patient note: T1 brain"


@EITHER
def test_a_result_is_told_from_a_source(suffix: str, tmp_path: Path) -> None:
    SimpleITK.WriteImage(image_of(VOXELS.astype("i2")), str(tmp_path / f"v.{suffix}"))
    write(denoised(only(tmp_path / f"v.{suffix}")), tmp_path / f"other.{suffix}")
    found = discover([tmp_path], results=False)
    assert [item.path.name for item in found.items] == [f"v.{suffix}"]


def nrrd(path: Path, header: str, data: bytes = bytes(24)) -> Path:
    path.write_bytes(b"NRRD0005\n" + header.encode() + b"\n\n" + data)
    return path


PLAIN = "type: short\ndimension: 3\nsizes: 3 2 2\nencoding: raw\nendian: big"


def test_ras_becomes_lps_and_big_endian_native(tmp_path: Path) -> None:
    header = PLAIN + (
        "\nspace: right-anterior-superior\nspace directions: (0,2,0) (-1,0,0) (0,0,3)\nspace origin: (1,2,3)"
    )
    path = nrrd(tmp_path / "v.nrrd", header, np.arange(12, dtype=">i2").tobytes())
    series = only(path)
    np.testing.assert_array_equal(series.pixels.ravel(), np.arange(12))
    assert series.geometry.origin_mm == (-1.0, -2.0, 3.0)
    assert series.geometry.spacing_mm == (3.0, 1.0, 2.0)
    assert series.geometry.axes == ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    expected = SimpleITK.ReadImage(str(path))
    np.testing.assert_allclose(series.geometry.origin_mm, expected.GetOrigin())
    (target,) = write(denoised(series), tmp_path / "out.nrrd")
    assert SimpleITK.ReadImage(str(target)).IsSameImageGeometryAs(expected)


def test_frames_in_time_are_a_cine(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "v.nrrd", PLAIN + "\nkinds: domain domain time")
    assert only(path).is_cine
    (target,) = write(denoised(only(path)), tmp_path / "out.nrrd")
    assert only(target).is_cine


@EITHER
def test_a_finer_grid_has_its_own_sizes_and_spacing(suffix: str, tmp_path: Path) -> None:
    from meddenoise.pipeline import prepare
    from meddenoise.pipeline.options import Options

    SimpleITK.WriteImage(image_of(np.full((1, 32, 32), 9, "i2")), str(tmp_path / f"v.{suffix}"))
    series = only(tmp_path / f"v.{suffix}")
    finer = prepare(series, Options(task="upscale", factor=2.0)).run().series
    (target,) = write(finer, tmp_path / f"out.{suffix}")
    image = SimpleITK.ReadImage(str(target))
    assert image.GetSize() == (64, 64, 1)
    np.testing.assert_allclose(image.GetSpacing(), (0.35, 0.4, 3.0))
    np.testing.assert_allclose(image.GetOrigin(), finer.geometry.origin_mm)


SKEWED = "\nspace: left-posterior-superior\nspace directions: (1,0,0) (0.4,1,0) (0,0,1)"
BAD_NRRD: dict[str, tuple[str, type[InputError], str]] = {
    "no type": (PLAIN.replace("type: short\n", ""), CorruptError, "states no type"),
    "too short": (PLAIN.replace("3 2 2", "3 2 9"), CorruptError, "is truncated"),
    "zero": (PLAIN.replace("3 2 2", "3 0 2"), CorruptError, "size of 0"),
    "words": (PLAIN.replace("3 2 2", "3 b 2"), CorruptError, "sizes as '3 b 2'"),
    "five": (PLAIN.replace("3 2 2", "3 2 2 1 1"), UnsupportedError, "5 dimensions"),
    "text": (PLAIN.replace("raw", "ascii"), UnsupportedError, "encoded as ascii"),
    "block": (PLAIN.replace("short", "block"), UnsupportedError, "holds block"),
    "vectors": (PLAIN + "\nkinds: vector domain domain", UnsupportedError, "several values a voxel"),
    "skewed": (PLAIN + SKEWED, UnsupportedError, "directions that are not orthogonal"),
    "flat": (PLAIN + SKEWED.replace("(0.4,1,0)", "(0,0,0)"), CorruptError, "impossible space directions"),
    "negative": (PLAIN + "\nspacings: -1 1 1", InputError, "spacing of"),
    "elsewhere": (PLAIN + "\ndata file: ../secret.raw", UnsupportedError, "put both files into one folder"),
    "absolute": (PLAIN + "\ndata file: /etc/passwd", UnsupportedError, "put both files into one folder"),
    "missing": (PLAIN + "\ndata file: gone.raw", CorruptError, "gone.raw, which is not there"),
    "many": (PLAIN + "\ndata file: s%03d.raw 1 9 1", UnsupportedError, "several files"),
    "not packed": (PLAIN.replace("raw", "gzip"), CorruptError, "truncated or damaged"),
}


@pytest.mark.parametrize("name", BAD_NRRD)
def test_a_bad_nrrd_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    header, kind, sentence = BAD_NRRD[name]
    with pytest.raises(kind, match=sentence) as caught:
        read(nrrd(tmp_path / "v.nrrd", header))
    assert str(tmp_path / "v.nrrd") in str(caught.value)
    assert "\n" not in str(caught.value)


LINES = "ObjectType = Image\nNDims = 3\nDimSize = 3 2 2\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
BAD_MHA: dict[str, tuple[str, type[InputError], str]] = {
    "no type": (LINES.replace("ElementType", "Other"), CorruptError, "states no ElementType"),
    "too short": (LINES.replace("3 2 2", "3 2 9"), CorruptError, "is truncated"),
    "dimensions": (LINES.replace("= 3\n", "= 4\n"), CorruptError, "4 dimensions and 3 sizes"),
    "text": (LINES + "BinaryData = False\n", UnsupportedError, "as text"),
    "colour": (LINES + "ElementNumberOfChannels = 3\n", UnsupportedError, "3 values a voxel"),
    "strings": (LINES.replace("MET_SHORT", "MET_STRING"), UnsupportedError, "holds MET_STRING"),
    "negative": (LINES.replace("1 1 1", "1 -1 1"), InputError, "spacing of"),
    "skewed": (LINES + "TransformMatrix = 1 0 0 0.4 1 0 0 0 1\n", UnsupportedError, "not orthogonal"),
    "odd matrix": (LINES + "TransformMatrix = 1 0 0 1\n", CorruptError, "not of 3 dimensions"),
    "not packed": (LINES + "CompressedData = True\n", CorruptError, "truncated or damaged"),
}


@pytest.mark.parametrize("name", BAD_MHA)
def test_a_bad_metaimage_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    header, kind, sentence = BAD_MHA[name]
    path = tmp_path / "v.mha"
    path.write_bytes(f"{header}ElementDataFile = LOCAL\n".encode() + bytes(24))
    with pytest.raises(kind, match=sentence) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["../v.raw", "/etc/passwd", "..", "a\\b.raw"])
def test_voxels_outside_the_folder_are_not_looked_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "v.mhd").write_text(f"{LINES}ElementDataFile = {name}\n")
    with pytest.raises(UnsupportedError, match="put both files into one folder"):
        read(tmp_path / "v.mhd")


@EITHER
@pytest.mark.parametrize("packed", [True, False])
def test_every_cut_and_every_flipped_byte_gives_voxels_or_a_sentence(
    suffix: str, packed: bool, tmp_path: Path
) -> None:
    SimpleITK.WriteImage(image_of(VOXELS.astype("i2")), str(tmp_path / f"v.{suffix}"), packed)
    whole, path = (tmp_path / f"v.{suffix}").read_bytes(), tmp_path / f"bad.{suffix}"
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            read(path)
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_a_damaged_packed_voxel_is_found_by_its_checksum(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(bytes(24)))
    data[-6] ^= 1
    with pytest.raises(CorruptError, match="damaged"):
        read(nrrd(tmp_path / "v.nrrd", PLAIN.replace("raw", "gzip"), bytes(data)))


def test_the_names_of_results_are_those_that_are_planned(tmp_path: Path) -> None:
    SimpleITK.WriteImage(image_of(VOXELS.astype("i2")), str(tmp_path / "v.mhd"))
    series = only(tmp_path / "v.mhd")
    assert output_paths(series, tmp_path / "o", root=tmp_path) == [tmp_path / "o" / "v.mha"]

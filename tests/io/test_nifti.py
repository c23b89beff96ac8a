"""NIfTI: values, scale and header bytes, with nibabel and SimpleITK as witnesses."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

import meddenoise
from meddenoise.engine.planes import as_map
from meddenoise.errors import OutputError, UnsupportedError
from meddenoise.io import discover, read, write
from meddenoise.series import Series
from tests.io_samples import DONE, RNG, ct_folder, nifti

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def only(path: Path) -> Series:
    (series,) = read(path)
    return series


def volume(path: Path, pixels: np.ndarray[Any, Any], **fields: Any) -> Path:
    """A file by nibabel from voxels [X, Y, Z, ...]; `fields` set header fields afterwards, in the bytes."""
    affine = np.array([[0, -2, 0.6, 7], [1.5, 0, 0, -3], [0, 0.3, 4, 11], [0, 0, 0, 1]], float)
    image = nibabel.Nifti1Image(pixels, affine, dtype=pixels.dtype)
    image.header["descrip"] = b"from a scanner"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept aside"))
    image.update_header()
    data = bytearray(image.to_bytes())
    fresh = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        fresh[name] = value
    data[:348] = fresh.binaryblock
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    ),
    st.sampled_from([".nii", ".nii.gz"]),
)
@settings(max_examples=60, deadline=None)
def test_any_array_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray[Any, Any], suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("n")
    series = only(volume(folder / f"a{suffix}", pixels))
    full = pixels.reshape(*pixels.shape, *[1] * (4 - pixels.ndim))
    expected = full.transpose(3, 2, 1, 0).reshape(-1, full.shape[1], full.shape[0])
    assert series.pixels.tobytes() == np.ascontiguousarray(expected).tobytes()
    write(series.with_pixels(series.pixels, DONE), folder / f"b{suffix}")
    assert only(folder / f"b{suffix}").pixels.tobytes() == series.pixels.tobytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_all_bytes_but_the_description_stay(tmp_path: Path, suffix: str) -> None:
    fields = {"scl_slope": 0.123, "scl_inter": -7.5, "qform_code": 3, "sform_code": 4, "aux_file": b"aux"}
    source = volume(tmp_path / f"a{suffix}", RNG(1).integers(-99, 99, (5, 6, 7), np.int16), **fields)
    series = only(source)
    write(series.with_pixels(series.pixels, DONE), tmp_path / f"b{suffix}")
    load = gzip.decompress if suffix == ".nii.gz" else bytes
    before = load(source.read_bytes())
    after = load((tmp_path / f"b{suffix}").read_bytes())
    assert after[:148] + after[228:] == before[:148] + before[228:]
    assert after[148:228].rstrip(b"\0") == b"from a scanner; meddenoise median"


def test_scale_factors_give_the_values_that_nibabel_gives(tmp_path: Path) -> None:
    pixels = RNG(2).integers(-900, 900, (4, 5, 6), np.int16)
    source = volume(tmp_path / "a.nii", pixels, scl_slope=0.25, scl_inter=-1024)
    values = only(source).values(0, 6)
    np.testing.assert_array_equal(values, nibabel.load(source).get_fdata().T)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_scale_that_is_none_is_not_applied(tmp_path: Path, slope: float) -> None:
    pixels = np.ones((2, 3, 4), np.int16)
    series = only(volume(tmp_path / "a.nii", pixels, scl_slope=slope, scl_inter=5))
    assert series.slope.tolist() == [1.0] * 4 and series.intercept.tolist() == [0.0] * 4


def test_the_place_is_the_one_simpleitk_sees(tmp_path: Path) -> None:
    source = nifti(tmp_path / "a.nii.gz", RNG(3).integers(0, 99, (4, 6, 5), np.int16))
    image = SimpleITK.ReadImage(str(source))
    geometry = only(source).geometry
    np.testing.assert_allclose(geometry.spacing_mm, image.GetSpacing()[::-1], rtol=1e-6)
    np.testing.assert_allclose(geometry.origin_mm, image.GetOrigin(), rtol=1e-6)
    axes = np.array(image.GetDirection()).reshape(3, 3).T[::-1]
    np.testing.assert_allclose(geometry.axes, axes, atol=1e-6)
    assert np.array_equal(only(source).pixels, SimpleITK.GetArrayFromImage(image))


def test_a_file_made_from_dicom_is_the_one_simpleitk_would_make(tmp_path: Path) -> None:
    folder = ct_folder(tmp_path / "ct")
    write(only(folder), tmp_path / "a.nii.gz", format="nifti")
    ours = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    theirs = SimpleITK.ReadImage(names)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(theirs))
    np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(ours.GetSpacing(), theirs.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-6)


def test_volumes_follow_each_other(tmp_path: Path) -> None:
    pixels = RNG(4).integers(0, 99, (3, 4, 5, 2), np.int16)
    series = only(volume(tmp_path / "a.nii", pixels))
    assert np.array_equal(series.pixels[5 + 2], pixels[:, :, 2, 1].T)
    assert "2 volumes" in series.warnings[0] and series.frame_time_ms is None


def test_one_slice_over_time_is_a_cine(tmp_path: Path) -> None:
    pixels = RNG(5).integers(0, 99, (3, 4, 1, 6), np.int16)
    source = volume(tmp_path / "a.nii", pixels, pixdim=[1, 1, 1, 1, 0.04, 0, 0, 0], xyzt_units=2 | 8)
    assert only(source).frame_time_ms == pytest.approx(40)


def test_a_unit_of_time_that_does_not_exist_is_taken_for_seconds(tmp_path: Path) -> None:
    pixels = RNG(5).integers(0, 99, (3, 4, 1, 6), np.int16)
    source = volume(tmp_path / "a.nii", pixels, pixdim=[1, 1, 1, 1, 0.04, 0, 0, 0], xyzt_units=0xFF)
    assert only(source).frame_time_ms == pytest.approx(40)


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (7, 1)])
def test_places_are_in_millimetres_whatever_the_unit_of_the_file(
    code: int, factor: float, tmp_path: Path
) -> None:
    """SimpleITK reads the spacing of such files the same way."""
    image = nibabel.Nifti1Image(RNG(5).integers(0, 99, (3, 4, 5), np.int16), np.diag([0.5, 0.75, 4, 1]))
    image.header["xyzt_units"] = code
    source, steps = tmp_path / "a.nii", np.array([0.5, 0.75, 4]) * factor
    nibabel.save(image, source)
    there, here = only(source).geometry, meddenoise.as_series(image).geometry
    np.testing.assert_allclose(there.spacing_mm, steps[::-1], rtol=1e-6)
    np.testing.assert_allclose(SimpleITK.ReadImage(str(source)).GetSpacing(), steps, rtol=1e-6)
    np.testing.assert_allclose(here.spacing_mm, there.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(here.origin_mm, there.origin_mm, rtol=1e-6)


def test_nan_and_infinity_are_counted_and_kept(tmp_path: Path) -> None:
    pixels = np.ones((3, 4, 5), np.float32)
    pixels[0, 0, 0], pixels[1, 1, 1] = np.nan, -np.inf
    series = only(volume(tmp_path / "a.nii", pixels))
    assert "2 voxels" in series.warnings[0]
    new = series.store(series.values(0, 5) + 1, 0, 5)
    assert np.isnan(new[0, 0, 0]) and np.isneginf(new[1, 1, 1]) and new[2, 2, 2] == 2


def test_big_endian_files_stay_big_endian(tmp_path: Path) -> None:
    pixels = RNG(6).integers(-99, 99, (3, 4, 5)).astype(">i2")
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    image = nibabel.Nifti1Image(pixels, np.eye(4), header)
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    series = only(tmp_path / "a.nii")
    assert series.pixels.dtype == np.int16
    write(series, tmp_path / "b.nii")
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_nifti_2_is_read_and_written(tmp_path: Path) -> None:
    pixels = RNG(7).integers(-99, 99, (3, 4, 5), np.int16)
    (tmp_path / "a.nii").write_bytes(nibabel.Nifti2Image(pixels, np.eye(4)).to_bytes())
    series = only(tmp_path / "a.nii")
    assert np.array_equal(series.pixels, pixels.T)
    write(series, tmp_path / "b.nii")
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_a_singular_affine_is_no_place(tmp_path: Path) -> None:
    flat = {"sform_code": 1, "srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4}
    series = only(volume(tmp_path / "a.nii", np.ones((2, 3, 4), np.int16), **flat))
    assert not series.geometry.known


def test_a_sheared_affine_is_refused_and_the_rounding_of_its_float32_is_not(tmp_path: Path) -> None:
    pixels, sheared = np.ones((4, 5, 6), np.int16), np.eye(4)
    sheared[0, 1] = 0.3
    nibabel.save(nibabel.Nifti1Image(pixels, sheared), tmp_path / "a.nii")
    with pytest.raises(UnsupportedError, match=r"a\.nii has directions that are not orthogonal: resample it"):
        read(tmp_path / "a.nii")
    assert len(discover([tmp_path]).failed) == 1
    turned = Rotation.from_euler("xyz", (0.1, -0.7, 2)).as_matrix() * (0.9, 0.45, 3.3)
    nibabel.save(nibabel.Nifti1Image(pixels, nibabel.affines.from_matvec(turned)), tmp_path / "a.nii")
    np.testing.assert_allclose(only(tmp_path / "a.nii").geometry.spacing_mm, (3.3, 0.45, 0.9), rtol=1e-6)


@pytest.mark.parametrize("kind", ["u1", "<i2", ">i2", "u4", "<f4", ">f8"])
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0, 0), (0.5, -7)])
def test_a_map_of_an_image_holds_its_own_values_whatever_type_and_scale_the_image_has(
    kind: str, slope: float, inter: float, tmp_path: Path
) -> None:
    pixels = RNG(8).integers(0, 99, (3, 4, 5, 2)).astype(kind)
    source = only(volume(tmp_path / "a.nii", pixels, scl_slope=slope, scl_inter=inter, cal_max=90))
    values = RNG(9).normal(0, 0.3, source.pixels.shape).astype(np.float32)
    write(as_map(source, values), tmp_path / "map.nii", format="nifti")
    written = nibabel.load(tmp_path / "map.nii")
    assert written.get_data_dtype().newbyteorder("=") == np.float32
    assert written.header["cal_max"] == (90 if kind == "<f4" and slope != 0.5 else 0)
    np.testing.assert_array_equal(written.get_fdata().T.reshape(values.shape), values)
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / "a.nii").affine)


@pytest.mark.parametrize("format", ["dicom", "nrrd", "mha", "png", "tiff"])
def test_a_map_of_an_image_of_any_format_is_written_as_nifti(format: str, tmp_path: Path) -> None:
    pixels = RNG(8).integers(0, 99, (3, 4, 5)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([1, 2, 3, 1])), tmp_path / "a.nii")
    write(only(tmp_path / "a.nii"), tmp_path / "in", format=format, root=tmp_path)
    source = read(tmp_path / "in")[0]
    values = RNG(9).normal(0, 0.3, source.pixels.shape).astype(np.float32)
    write(as_map(source, values), tmp_path / "map.nii")
    assert np.array_equal(nibabel.load(tmp_path / "map.nii").get_fdata().T, values)


@pytest.mark.parametrize("source", ["a.nii", "a.mha", "memory"])
def test_volumes_stay_at_their_place_in_new_files_or_are_refused(source: str, tmp_path: Path) -> None:
    pixels = RNG(4).integers(0, 99, (2, 5, 4, 3), np.int16)
    if source == "a.nii":
        nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), tmp_path / source)
    elif source == "a.mha":
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels, isVector=False), tmp_path / source)
    series = meddenoise.as_series(pixels) if source == "memory" else only(tmp_path / source)
    assert series.volumes == 2
    for written in (series, as_map(series, series.values(0, 10))):
        write(written, tmp_path / "b.nii", format="nifti")
        assert np.array_equal(nibabel.load(tmp_path / "b.nii").get_fdata().T, pixels)
    for format in {"dicom", "nrrd", "mha"} - {source[2:]}:
        with pytest.raises(OutputError, match="holds 2 volumes"):
            write(series, tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()

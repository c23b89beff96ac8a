"""`meddenoise upscale`: a finer grid over the same field of view, valid in every format."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import InputError
from meddenoise.io import read, write
from meddenoise.io.dicom.grid import refine_header
from meddenoise.pipeline.restore import refine
from meddenoise.series import UPSCALED, Derivation, Series
from tests.conformance import DCIODVFY, errors_of, readable
from tests.io.dicom.test_read import enhanced
from tests.io_samples import RNG, ct_folder, nifti, packaged, png, save, tiff
from tests.pipeline.restorers import checkpoint

RUNNER = CliRunner()
DONE = Derivation("some", "Upscaled 2 times", "factor=2", UPSCALED)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "up.safetensors", "medcdiff-upscale")


def upscale(weights: Path, *arguments: Any, code: int = 0) -> Any:
    words = ["upscale", *map(str, arguments), "--weights", str(weights), "--device", "cpu"]
    done = RUNNER.invoke(app, words)
    assert done.exit_code == code, done.stderr
    return done


def corner(affine: np.ndarray[Any, Any], shape: tuple[int, ...], last: bool) -> np.ndarray[Any, Any]:
    """Corner of the field of view, the first or the `last` in the plane: half a voxel from a centre."""
    place = [size - 0.5 for size in shape[:2]] if last else [-0.5, -0.5]
    return np.asarray(affine @ [*place, 0, 1])


@pytest.mark.parametrize("factor", [2, 2.828, 16])
def test_the_field_of_view_stays_where_it_is_in_nifti(factor: float, weights: Path, tmp_path: Path) -> None:
    source = nifti(tmp_path / "v.nii.gz", RNG(0).integers(0, 900, (2, 20, 24), np.int16))
    upscale(weights, source, "--factor", factor)
    before, after = nibabel.load(source), nibabel.load(tmp_path / "v_upscaled.nii.gz")
    assert after.shape == (round(24 * factor), round(20 * factor), 2)
    assert after.get_data_dtype() == before.get_data_dtype()
    for get in ("get_qform", "get_sform"):
        for last in (False, True):
            there = corner(getattr(before.header, get)(), before.shape, last)
            assert corner(getattr(after.header, get)(), after.shape, last) == pytest.approx(there, abs=1e-3)


def test_spacing_and_place_of_dicom_slices_follow(weights: Path, tmp_path: Path) -> None:
    folder = ct_folder(tmp_path / "ct")
    upscale(weights, folder, "--factor", 4, "-o", tmp_path / "out")
    for path in sorted(folder.iterdir()):
        before, after = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "out" / path.name)
        assert (after.Rows, after.Columns) == (32, 24) == after.pixel_array.shape
        assert list(after.PixelSpacing) == pytest.approx([s / 4 for s in before.PixelSpacing])
        moved = [
            o - 3 / 8 * s for o, s in zip(before.ImagePositionPatient[:2], before.PixelSpacing, strict=True)
        ]
        assert list(after.ImagePositionPatient) == pytest.approx([*moved, before.ImagePositionPatient[2]])
        assert after.ImageType[0] == "DERIVED" and "generated" in after.DerivationDescription
        assert after.SourceImageSequence[0].SpatialLocationsPreserved == "NO"
        assert after.SeriesInstanceUID != before.SeriesInstanceUID


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy is not installed")
def test_no_packaged_dicom_file_gets_an_error_that_its_source_has_not(tmp_path: Path) -> None:
    checked = 0
    for number, source in enumerate(sorted(packaged("CT_small.dcm").parent.glob("*.dcm"))):
        try:
            (series,) = read(source)
        except InputError:
            continue
        if series.channels != 1:
            continue
        finer = refine(series, (2 * series.pixels.shape[1], 2 * series.pixels.shape[2]))
        (path,) = write(replace(finer, derivation=DONE), tmp_path / f"{number}.dcm")
        known = errors_of(readable(source, tmp_path))
        assert errors_of(path).keys() <= known.keys(), source.name
        (again,) = read(path)
        if series.geometry.known:
            assert again.geometry.spacing_mm == pytest.approx(finer.geometry.spacing_mm)
        if any(series.geometry.origin_mm):  # files without a place stay without
            assert again.geometry.origin_mm == pytest.approx(finer.geometry.origin_mm, abs=1e-3)
        checked += 1
    assert checked > 15


def test_functional_groups_of_enhanced_objects_follow(weights: Path, tmp_path: Path) -> None:
    source = save(enhanced(), tmp_path / "e.dcm")
    upscale(weights, source, "--factor", 2, "-o", tmp_path / "o.dcm")
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "o.dcm")
    assert after.pixel_array.shape == (3, 16, 12)
    measures = after.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == [0.25, 0.125] and measures.SliceThickness == 2
    places = [
        list(group.PlanePositionSequence[0].ImagePositionPatient)
        for group in after.PerFrameFunctionalGroupsSequence
    ]
    # from (1, 2): back by half of what half a pixel has shrunk
    assert places == [[1 - 0.0625, 2 - 0.125, -4.0 * frame] for frame in range(3)]
    slopes = [
        group.PixelValueTransformationSequence[0].RescaleSlope
        for group in after.PerFrameFunctionalGroupsSequence
    ]
    assert slopes == [1, 2, 3] and "PixelSpacing" not in after and "PixelSpacing" not in before


def test_shutters_follow_and_overlays_go() -> None:
    header = Dataset()
    header.PixelSpacing = [0.5, 0.25]
    header.ShutterLeftVerticalEdge, header.ShutterUpperHorizontalEdge = 10, 20
    header.CenterOfCircularShutter, header.RadiusOfCircularShutter = [40, 30], 25
    header.add_new(0x60000010, "US", 64)
    (series,) = read(packaged("CT_small.dcm"))
    refine_header(header, replace(series, finer=(2.0, 3.0)))
    assert list(header.PixelSpacing) == pytest.approx([0.25, 0.25 / 3])
    assert (header.ShutterLeftVerticalEdge, header.ShutterUpperHorizontalEdge) == (30, 40)
    assert (list(header.CenterOfCircularShutter), header.RadiusOfCircularShutter) == ([80, 90], 50)
    assert 0x60000010 not in header


def test_pictures_keep_depth_transparency_and_size_on_paper(weights: Path, tmp_path: Path) -> None:
    grey = np.stack([RNG(0).integers(0, 255, (20, 20), np.uint8), np.eye(20, dtype=np.uint8)], axis=-1)
    Image.fromarray(grey, "LA").save(tmp_path / "a.png", dpi=(100, 100))
    tiff(tmp_path / "b.tif", RNG(1).integers(0, 9999, (2, 20, 20), np.uint16), resolution=(100, 100))
    png(tmp_path / "c.png", RNG(2).integers(0, 65535, (20, 20), np.uint16))
    upscale(weights, tmp_path / "a.png", tmp_path / "b.tif", tmp_path / "c.png", "--factor", 2)
    with Image.open(tmp_path / "a_upscaled.png") as after:
        assert after.mode == "LA" and after.size == (40, 40)
        assert np.array_equal(np.asarray(after)[::2, ::2, 1], np.eye(20))
        assert after.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    with Image.open(tmp_path / "b_upscaled.tif") as after:
        assert after.size == (40, 40) and float(after.info["dpi"][0]) == pytest.approx(200)
    assert read(tmp_path / "c_upscaled.png")[0].pixels.dtype == np.uint16


def test_a_ramp_stays_a_ramp_where_the_network_changes_nothing(weights: Path, tmp_path: Path) -> None:
    ramp = np.add.outer(20.0 * np.arange(32), 10.0 * np.arange(32)).astype(np.float32)
    source = nifti(tmp_path / "r.nii.gz", ramp[None])
    upscale(weights, source, "--factor", 4)
    (after,) = read(tmp_path / "r_upscaled.nii.gz")
    places = (np.arange(128) + 0.5) / 4 - 0.5
    wanted = np.add.outer(20 * places, 10 * places)
    inner = slice(12, -12)
    # The spline waves by a twentieth of a step around straight lines; half a pixel off would be 15.
    assert after.pixels[0][inner, inner] == pytest.approx(wanted[inner, inner], abs=1.5)


def test_padding_stays_padding(weights: Path, tmp_path: Path) -> None:
    folder = ct_folder(tmp_path / "ct", [0], PixelPaddingValue=-2000)
    (path,) = folder.iterdir()
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array.copy()
    pixels[:3] = -2000
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path)
    upscale(weights, path, "--factor", 2, "-o", tmp_path / "o.dcm")
    after = pydicom.dcmread(tmp_path / "o.dcm").pixel_array
    assert (after[:6] == -2000).all() and (after[6:] != -2000).all()


def test_the_sampler_gives_a_map_of_uncertainty_and_the_same_pixels_again(
    weights: Path, tmp_path: Path
) -> None:
    source = nifti(tmp_path / "v.nii.gz", RNG(0).integers(0, 900, (1, 20, 24), np.int16))
    for name in ("a", "b"):
        upscale(weights, source, "-o", tmp_path / f"{name}.nii.gz", "--uncertainty", "--steps", 4)
    first, second = (nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in ("a", "b"))
    assert np.array_equal(first, second)
    spread = nibabel.load(tmp_path / "a_uncertainty.nii")
    assert spread.shape == first.shape and spread.get_fdata().max() > 0
    (row,) = json.loads((tmp_path / "a-report.json").read_text())["series"]
    assert row["mode"] == "diffusion" and row["method"] == "medcdiff-upscale"
    assert row["shape"] == [1, 40, 48] and any("generated" in warning for warning in row["warnings"])


def test_a_run_too_short_to_tell_is_refused_instead_of_called_certain(weights: Path, tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 255, (20, 20), np.uint8))
    done = upscale(weights, source, "--uncertainty", "--steps", 3, code=2)
    assert "give more --steps" in done.stderr
    assert not list(tmp_path.glob("a_*"))


def test_the_report_tells_the_factor_and_claims_no_noise_reduction(weights: Path, tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 255, (20, 24), np.uint8))
    done = upscale(weights, source, "--factor", 3, "--json")
    assert (
        "a_upscaled.png: upscaled 3 times to 60 x 72 pixels; " in done.stderr and "noise" not in done.stderr
    )
    (row,) = json.loads((tmp_path / "a_upscaled-report.json").read_text())["series"]
    assert row["done"] == {"task": "upscale", "factor": 3.0} and row["trust"] is None
    assert row["noise"]["sigma_before"] is row["noise"]["removed_rms"] is None
    page = (tmp_path / "a_upscaled-report.html").read_text()
    assert "upscaled 3 times" in page and "Noise level used" not in page


def test_a_finished_result_is_kept(weights: Path, tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 255, (20, 20), np.uint8))
    upscale(weights, source)
    stamp = (tmp_path / "a_upscaled.png").stat().st_mtime_ns
    assert "1 kept" in upscale(weights, source).stderr
    assert (tmp_path / "a_upscaled.png").stat().st_mtime_ns == stamp
    assert "exists" in upscale(weights, source, "--factor", 3, code=1).stderr


@pytest.mark.parametrize("factor", ["1.5", "17", "nan"])
def test_factors_that_were_not_trained_for_are_refused(factor: str, weights: Path, tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 255, (20, 20), np.uint8))
    done = upscale(weights, source, "--factor", factor, code=2)
    assert "--factor" in done.stderr and "2 to 16" in done.stderr


def test_colour_and_grids_that_no_format_holds_are_refused(weights: Path, tmp_path: Path) -> None:
    colour = png(tmp_path / "c.png", RNG(0).integers(0, 255, (20, 20, 3), np.uint8))
    assert "colour" in upscale(weights, colour, code=1).stderr
    wide = png(tmp_path / "w.png", np.zeros((16, 3000), np.uint8))
    assert "smaller --factor" in upscale(weights, wide, "--factor", 16, code=1).stderr
    assert not (tmp_path / "w_upscaled.png").exists()


def test_other_weights_are_refused_by_name(tmp_path: Path) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 255, (20, 20), np.uint8))
    assert "'direct', not 'medcdiff-upscale'" in upscale(Path("direct"), source, code=2).stderr


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(2, 16))
def test_every_corner_of_every_grid_stays(rows: int, columns: int, factor: float) -> None:
    (series,) = read(packaged("MR_small.dcm"))
    small: Series = replace(series, pixels=series.pixels[:, :rows, :columns])
    finer = refine(small, (round(rows * factor), round(columns * factor)))
    for end in (0.0, 1.0):
        corners = []
        for item in (small, finer):
            place = np.array(item.geometry.origin_mm)
            for axis, step, count in zip(
                item.geometry.axes[1:], item.geometry.spacing_mm[1:], item.pixels.shape[1:], strict=True
            ):
                place = place + np.array(axis) * step * (end * count - 0.5)
            corners.append(place)
        assert corners[0] == pytest.approx(corners[1], abs=1e-6)

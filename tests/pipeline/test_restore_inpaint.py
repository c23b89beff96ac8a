"""`meddenoise inpaint`: only what the mask marks changes, whatever the mask is written in."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import InputError
from meddenoise.io import read
from meddenoise.io.dicom.segmentation import open_segmentation
from meddenoise.io.masks import read_hole, read_mask
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import dose_noise
from meddenoise.phantom.study import write_study
from tests.io_samples import RNG, ct_folder, ct_slice, nifti, packaged, png, save
from tests.pipeline.restorers import checkpoint

RUNNER = CliRunner()
CT = packaged("CT_small.dcm")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "in.safetensors", "medcdiff-inpaint", change=0.2)


def inpaint(weights: Path, *arguments: Any, code: int = 0) -> Any:
    words = ["inpaint", *map(str, arguments), "--weights", str(weights), "--device", "cpu"]
    done = RUNNER.invoke(app, words)
    assert done.exit_code == code, done.stderr
    return done


def marked(path: Path, shape: tuple[int, ...] = (128, 128)) -> Path:
    mask = np.zeros(shape, np.uint8)
    mask[40:60, 50:80] = 255
    return png(path, mask)


def segmentation(path: Path, frames: np.ndarray[Any, Any], heights: list[float], x: float = -10.0) -> Path:
    """A binary DICOM segmentation of frames [F, Y, X] at (x, -20, height)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SegmentationStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = "SEG", 1, "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 1, 1, 0, 0
    packed = np.packbits(frames.ravel() != 0, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    turn = Dataset()
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PlaneOrientationSequence = [turn]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for height in heights:
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = [x, -20, height]
        group.PlanePositionSequence = [place]
        dataset.PerFrameFunctionalGroupsSequence.append(group)
    return save(dataset, path)


@pytest.mark.parametrize("more", [[], ["--mode", "diffusion", "--steps", "3"]])
def test_known_pixels_keep_every_bit_and_the_hole_is_filled(
    more: list[str], weights: Path, tmp_path: Path
) -> None:
    mask = marked(tmp_path / "mask.png")
    inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", *more)
    before, after = pydicom.dcmread(CT), pydicom.dcmread(tmp_path / "o.dcm")
    hole = np.zeros((128, 128), bool)
    hole[40:60, 50:80] = True
    assert np.array_equal(after.pixel_array[~hole], before.pixel_array[~hole])
    assert (after.pixel_array[hole] != before.pixel_array[hole]).mean() > 0.9
    assert "generated" in after.DerivationDescription and "inpainted" in after.SeriesDescription
    assert after.SourceImageSequence[0].SpatialLocationsPreserved == "YES"


def test_the_report_tells_the_pixels_filled_and_claims_no_noise_reduction(
    weights: Path, tmp_path: Path
) -> None:
    source = png(tmp_path / "a.png", RNG(0).integers(0, 200, (128, 128), np.uint8))
    done = inpaint(weights, source, "--mask", marked(tmp_path / "mask.png"))
    assert "a_inpainted.png: 600 pixels filled in; " in done.stderr and "noise" not in done.stderr
    (row,) = json.loads((tmp_path / "a_inpainted-report.json").read_text())["series"]
    assert row["done"] == {"task": "inpaint", "pixels": 600} and row["trust"] is None
    assert row["noise"]["sigma_before"] is row["noise"]["removed_rms"] is None
    page = (tmp_path / "a_inpainted-report.html").read_text()
    assert "600 pixels filled in" in page and "Noise level used" not in page


def test_what_is_under_the_mask_is_not_seen(weights: Path, tmp_path: Path) -> None:
    mask = marked(tmp_path / "mask.png")
    plane = RNG(0).integers(0, 200, (128, 128), np.uint8)
    other = plane.copy()
    other[40:60, 50:80] = 150
    results = []
    for name, pixels in (("a", plane), ("b", other)):
        source = png(tmp_path / f"{name}.png", pixels)
        inpaint(weights, source, "--mask", mask)
        results.append(read(tmp_path / f"{name}_inpainted.png")[0].pixels)
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1


def test_a_map_of_uncertainty_is_0_where_pixels_are_known(weights: Path, tmp_path: Path) -> None:
    mask = marked(tmp_path / "mask.png")
    inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", "--uncertainty", "--residual")
    for kind in ("uncertainty", "residual"):
        values = nibabel.load(tmp_path / f"o_{kind}.nii").get_fdata()[..., 0].T
        hole = np.zeros((128, 128), bool)
        hole[40:60, 50:80] = True
        assert (values[~hole] == 0).all() and (values[hole] != 0).any(), kind


def test_one_plane_is_for_every_slice(tmp_path: Path) -> None:
    (series,) = read(ct_folder(tmp_path / "ct"))
    mask = np.zeros((8, 6), np.uint8)
    mask[2:4, 1] = 7
    hole = read_hole(png(tmp_path / "m.png", mask), series)
    assert hole.shape == series.pixels.shape
    assert all(np.array_equal(plane, mask != 0) for plane in hole)


def test_frames_of_a_segmentation_belong_to_the_slice_at_their_position(tmp_path: Path) -> None:
    (series,) = read(ct_folder(tmp_path / "ct"))
    frames = np.zeros((3, 8, 6), np.uint8)
    frames[0, 1, 1] = frames[1, 2, 2] = frames[2, 3, 3] = 1
    path = segmentation(tmp_path / "seg.dcm", frames, [5.0, 0.0, 5.0])
    hole = read_hole(path, series)
    for plane, n in zip(hole, range(4), strict=True):
        height = series.geometry.origin_mm[2] + n * series.geometry.spacing_mm[0] * series.geometry.axes[0][2]
        wanted = {5.0: {(1, 1), (3, 3)}, 0.0: {(2, 2)}}.get(round(height, 3), set())
        assert set(map(tuple, np.argwhere(plane).tolist())) == wanted


def test_frames_that_end_within_a_byte_are_told_apart(tmp_path: Path) -> None:
    frames = RNG(0).integers(0, 2, (3, 5, 7), np.uint8)
    found = open_segmentation(segmentation(tmp_path / "seg.dcm", frames, [0.0, 5.0, 10.0]))
    assert found is not None and found.shape == (5, 7)
    for number, frame in enumerate(found.frames()):
        assert np.array_equal(frame.pixels, frames[number] != 0)
        assert frame.position == (-10, -20, 5.0 * number)


def test_a_segmentation_of_a_scanner_fills_its_ct(weights: Path, tmp_path: Path) -> None:
    source = packaged("liver_1frame.dcm")
    liver = pydicom.dcmread(source)
    (group, *_), shared = liver.PerFrameFunctionalGroupsSequence, liver.SharedFunctionalGroupsSequence[0]
    ct = ct_slice()
    ct.Rows, ct.Columns = liver.Rows, liver.Columns
    ct.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
    ct.ImagePositionPatient = group.PlanePositionSequence[0].ImagePositionPatient
    before = RNG(0).integers(900, 1100, (liver.Rows, liver.Columns), np.int16)
    ct.PixelData = before.tobytes()
    save(ct, tmp_path / "ct.dcm")
    (tmp_path / "seg").mkdir()
    shutil.copy(source, tmp_path / "seg")
    inpaint(weights, tmp_path / "ct.dcm", "--mask", tmp_path / "seg", "-o", tmp_path / "o.dcm")
    changed = pydicom.dcmread(tmp_path / "o.dcm").pixel_array != before
    hole = liver.pixel_array != 0
    assert not changed[~hole].any() and changed[hole].mean() > 0.9


def test_damaged_segmentations_are_refused_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    whole = packaged("liver_1frame.dcm").read_bytes()
    for number, share in enumerate((0.3, 0.9)):
        mask = tmp_path / f"{number}.dcm"
        mask.write_bytes(whole[: int(share * len(whole))])
        done = inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", code=1)
        assert mask.name in done.stderr and "Traceback" not in done.stderr


def test_another_mask_gives_another_object_and_no_result_is_kept_for_it(
    weights: Path, tmp_path: Path
) -> None:
    mask = marked(tmp_path / "mask.png")
    uids = []
    for end in (60, 60, 61):
        pixels = np.zeros((128, 128), np.uint8)
        pixels[40:end, 50:80] = 1
        png(mask, pixels)
        inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", "--overwrite")
        uids.append(pydicom.dcmread(tmp_path / "o.dcm").SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]
    assert "1 kept" in inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm").stderr
    marked(mask)
    assert "exists" in inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", code=1).stderr


def test_marked_pixels_that_are_no_image_stay_with_a_warning(weights: Path, tmp_path: Path) -> None:
    plane = RNG(0).random((20, 24), np.float32)
    plane[5, 5] = np.nan
    source, hole = nifti(tmp_path / "v.nii.gz", plane[None]), np.zeros((20, 24), np.uint8)
    hole[4:8, 4:8] = 1
    done = inpaint(weights, source, "--mask", png(tmp_path / "m.png", hole))
    assert "1 marked pixels" in done.stderr and "generated" in done.stderr
    after = nibabel.load(tmp_path / "v_inpainted.nii.gz").get_fdata()[..., 0].T
    assert np.argwhere(np.isnan(after)).tolist() == [[5, 5]]
    assert np.array_equal(after[hole == 0], plane[hole == 0])


@pytest.mark.parametrize(("height", "x"), [(1.3, -10.0), (99.0, -10.0), (5.0, 300.0)])
def test_a_segmentation_of_another_place_is_refused(height: float, x: float, tmp_path: Path) -> None:
    (series,) = read(ct_folder(tmp_path / "ct"))
    frames = np.ones((2, 8, 6), np.uint8)
    frames[:, 0] = 0
    path = segmentation(tmp_path / "seg.dcm", frames, [0.0, height], x)
    with pytest.raises(InputError, match="is on no plane"):
        read_hole(path, series)


def test_masks_that_do_not_fit_are_refused_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    small, empty, full = marked(tmp_path / "s.png", (64, 96)), tmp_path / "e.png", tmp_path / "f.png"
    png(empty, np.zeros((128, 128), np.uint8))
    png(full, np.ones((128, 128), np.uint8))
    most = png(tmp_path / "most.png", np.repeat(np.arange(128) < 122, 128).reshape(128, 128).astype(np.uint8))
    for mask, words in (
        (small, "draw it on that image"),
        (empty, "0 everywhere"),
        (full, "covers 100% of plane 1"),
        (most, "covers 95% of plane 1"),
        (Path(__file__), Path(__file__).name),
    ):
        done = inpaint(weights, CT, "--mask", mask, "-o", tmp_path / "o.dcm", code=1)
        assert words in done.stderr and "Traceback" not in done.stderr and ".." not in done.stderr
        assert not (tmp_path / "o.dcm").exists()
    done = inpaint(weights, CT, "--mask", tmp_path / "missing.png", "-o", tmp_path / "p.dcm", code=2)
    assert "missing.png does not exist: give an image" in done.stderr
    assert not list(tmp_path.glob("p*"))


def test_a_mask_of_another_place_is_refused(weights: Path, tmp_path: Path) -> None:
    volume = RNG(0).integers(0, 99, (3, 20, 24), np.int16)
    source = nifti(tmp_path / "v.nii.gz", volume)
    hole = np.zeros_like(volume)
    hole[1, 5:9, 5:9] = 1
    mask = nifti(tmp_path / "m.nii.gz", hole)
    inpaint(weights, source, "--mask", mask)
    changed = volume != nibabel.load(tmp_path / "v_inpainted.nii.gz").get_fdata().T
    assert not changed[hole == 0].any()
    image = nibabel.load(mask)
    moved = image.affine.copy()
    moved[:3, 3] += 4
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "n.nii.gz")
    done = inpaint(weights, source, "--mask", tmp_path / "n.nii.gz", "-o", tmp_path / "w.nii.gz", code=1)
    assert "is elsewhere" in done.stderr


def test_a_mask_of_a_radiograph_is_compared_by_its_size(tmp_path: Path) -> None:
    phantom = make_phantom("xray", size=48)
    write_study(phantom, dose_noise(phantom, 0.5), tmp_path, seed=0)
    (source,) = tmp_path.rglob("clean/*.dcm")
    hole = np.zeros((1, 48, 48), np.int16)
    hole[0, 5:9, 5:9] = 1
    mask = nifti(tmp_path / "m.nii.gz", hole)  # with the matrix of any image, as editors write it
    assert read_mask(mask, read(source)[0], "filled in").sum() == 16

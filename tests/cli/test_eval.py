"""`meddenoise eval` from files to numbers: pairing, geometry, JSON, exit codes."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import typer
from numpy.typing import NDArray
from PIL import Image
from pydicom import examples
from pydicom.uid import generate_uid
from typer.testing import CliRunner, Result

from meddenoise.cli import eval as command
from meddenoise.errors import NothingReadableError, UsageError
from meddenoise.metrics.measure import measurable

RANDOM = np.random.default_rng(5)
CLEAN = np.clip(RANDOM.normal(120, 30, (3, 24, 32)), 0, 200).astype(np.int16)
AFFINE = np.diag([0.5, 0.5, 2.0, 1.0])


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def measured(*arguments: object) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def nifti(path: Path, planes: NDArray, affine: NDArray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(planes.transpose(2, 1, 0), affine), path)
    return path


def png(path: Path, plane: NDArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(plane.astype(np.uint8)).save(path)
    return path


def dicom(folder: Path, planes: NDArray, order: list[int], first: float = 0.0) -> Path:
    """A CT series with plane n at z = first + 3 n mm, written as files named in the given order."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    for place, n in enumerate(order):
        dataset = examples.ct
        dataset.Rows, dataset.Columns = planes.shape[1:]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = planes[n].astype("<i2").tobytes()
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.ImagePositionPatient = [0.0, 0.0, first + 3.0 * n]
        dataset.InstanceNumber = n + 1
        dataset.SliceLocation = first + 3.0 * n
        dataset.save_as(folder / f"{folder.name}{place}.dcm")
    return folder


def test_one_file_against_its_reference(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "clean.nii.gz", CLEAN)
    result = nifti(tmp_path / "noisy_denoised.nii.gz", CLEAN + np.int16(3))
    found = measured(result, "--ref", reference)
    (pair,) = found["pairs"]
    size = float(CLEAN.max() - CLEAN.min())
    assert pair["metrics"]["bias"] == 3 and pair["metrics"]["rmse"] == 3 and pair["metrics"]["mae"] == 3
    assert pair["metrics"]["psnr"] == pytest.approx(20 * np.log10(size / 3))
    assert pair["protocol"]["data_range"] == size
    assert list(pair["metrics"]) == measurable("reference", "result") == list(found["definitions"])
    assert found["mean"] == pair["metrics"] and found["failed"] == []


def test_a_given_data_range_and_planes_apart(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "a.nii", CLEAN)
    shifts = np.array([1, 2, 4], np.int16)[:, None, None]
    result = nifti(tmp_path / "b.nii", CLEAN + shifts)
    found = measured(result, "--ref", reference, "--data-range", 1000, "--per-plane")
    (pair,) = found["pairs"]
    assert pair["protocol"]["scope"] == "plane" and pair["protocol"]["range_source"] == "is given"
    assert pair["metrics"]["psnr"] == pytest.approx(np.mean(20 * np.log10(1000 / shifts.ravel())))
    with pytest.raises(UsageError):
        run(result, "--ref", reference, "--data-range", 0)


def test_folders_pair_by_name_whatever_the_order(tmp_path: Path) -> None:
    for name, shift in (("a", 1), ("b", 2), ("sub/a", 3)):
        png(tmp_path / f"clean/{name}.png", CLEAN[0])
        png(tmp_path / f"result/{name}_denoised.png", CLEAN[0] + shift)
    found = measured(tmp_path / "result", "--ref", tmp_path / "clean")
    biases = {Path(pair["result"]).relative_to(tmp_path / "result"): pair for pair in found["pairs"]}
    assert {str(name): pair["metrics"]["bias"] for name, pair in biases.items()} == {
        "a_denoised.png": 1.0,
        "b_denoised.png": 2.0,
        "sub/a_denoised.png": 3.0,
    }
    assert found["mean"]["bias"] == pytest.approx(2.0)
    assert {pair["protocol"]["data_range"] for pair in found["pairs"]} == {255.0}


def test_names_that_do_not_match_pair_by_order(tmp_path: Path) -> None:
    for n in range(2):
        png(tmp_path / f"clean/c{n}.png", CLEAN[n])
        png(tmp_path / f"result/r{n}.png", CLEAN[n] + n + 1)
    found = measured(tmp_path / "result", "--ref", tmp_path / "clean")
    assert [pair["metrics"]["bias"] for pair in found["pairs"]] == [1.0, 2.0]


def test_a_missing_partner_is_wrong_usage(tmp_path: Path) -> None:
    for n in range(2):
        png(tmp_path / f"result/r{n}.png", CLEAN[n])
    png(tmp_path / "clean/r0.png", CLEAN[0])
    with pytest.raises(UsageError, match=r"r1\.png.*--ref"):
        run(tmp_path / "result", "--ref", tmp_path / "clean")


def test_dicom_planes_go_by_place_in_the_patient(tmp_path: Path) -> None:
    reference = dicom(tmp_path / "clean", CLEAN, [0, 1, 2])
    result = dicom(tmp_path / "result", CLEAN + np.int16(2), [2, 0, 1])
    (pair,) = measured(result, "--ref", reference)["pairs"]
    assert pair["metrics"]["rmse"] == pytest.approx(2)
    assert pair["protocol"]["data_range"] == 2000 and pair["protocol"]["unit"] == "HU"
    part = dicom(tmp_path / "part", CLEAN + np.int16(5), [2, 1])
    (pair,) = measured(part, "--ref", reference)["pairs"]
    assert pair["metrics"]["rmse"] == pytest.approx(5)


def test_series_with_other_names_pair_by_place_in_the_patient(tmp_path: Path) -> None:
    for name, first, shift in (("a", 0.0, 0), ("b", 300.0, 0)):
        dicom(tmp_path / "clean" / name, CLEAN + np.int16(shift), [0, 1, 2], first)
    for name, first, shift in (("x", 300.0, 1), ("y", 0.0, 2)):
        dicom(tmp_path / "result" / name, CLEAN + np.int16(shift), [0, 1, 2], first)
    found = measured(tmp_path / "result", "--ref", tmp_path / "clean")
    partners = {Path(pair["result"]).name: Path(pair["reference"]).name for pair in found["pairs"]}
    assert partners == {"x": "b", "y": "a"}
    assert found["failed"] == []


def test_dicom_series_at_another_place_are_refused_naming_both(tmp_path: Path) -> None:
    reference = dicom(tmp_path / "clean", CLEAN, [0, 1, 2])
    result = dicom(tmp_path / "result", CLEAN, [0, 1, 2], first=1.5)
    found = run(result, "--ref", reference, "--json")
    assert found.exit_code == 1
    (failure,) = json.loads(found.stdout)["failed"]
    assert str(result) in failure["error"] and str(reference) in failure["error"]


@pytest.mark.parametrize("change", ["matrix", "spacing", "planes"])
def test_grids_that_differ_fail_naming_both(tmp_path: Path, change: str) -> None:
    planes, affine = CLEAN, AFFINE
    if change == "matrix":
        planes = CLEAN[:, :, :-1]
    elif change == "spacing":
        affine = np.diag([0.6, 0.6, 2.0, 1.0])
    else:
        planes = np.concatenate([CLEAN, CLEAN[:1]])
    reference = nifti(tmp_path / "clean.nii", CLEAN)
    result = nifti(tmp_path / "result.nii", planes, affine)
    found = run(result, "--ref", reference)
    assert found.exit_code == 1
    assert str(reference) in found.stderr and str(result) in found.stderr
    assert "Traceback" not in found.output


def test_one_bad_pair_does_not_stop_the_others(tmp_path: Path) -> None:
    for n in range(3):
        png(tmp_path / f"clean/{n}.png", CLEAN[n])
        png(tmp_path / f"result/{n}.png", CLEAN[n] + 1 if n else CLEAN[n, :-1])
    found = run(tmp_path / "result", "--ref", tmp_path / "clean", "--json")
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert [pair["metrics"]["bias"] for pair in document["pairs"]] == [1.0, 1.0]
    assert len(document["failed"]) == 1


def test_identical_images_print_null_and_say_why(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "a.nii", CLEAN)
    found = measured(nifti(tmp_path / "b.nii", CLEAN), "--ref", reference)
    (pair,) = found["pairs"]
    assert pair["metrics"]["psnr"] is None and found["mean"]["psnr"] is None
    assert any("identical" in warning for warning in pair["warnings"])
    assert pair["metrics"]["ssim"] == pytest.approx(1)


def test_the_noisy_image_gives_its_own_row_and_the_residual_metrics(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128]
    clean = np.where((x - 64) ** 2 + (y - 64) ** 2 < 1600, 1000, 100)[None].repeat(2, 0).astype(np.int16)
    noise = np.rint(np.random.default_rng(0).normal(0, 20, clean.shape)).astype(np.int16)
    paths = [
        nifti(tmp_path / f"{name}.nii", planes)
        for name, planes in (("clean", clean), ("noisy", clean + noise), ("result", clean))
    ]
    found = measured(paths[2], "--ref", paths[0], "--noisy", paths[1])
    (pair,) = found["pairs"]
    assert pair["noisy_metrics"]["rmse"] == pytest.approx(20, rel=0.05)
    assert found["mean_noisy"] == pair["noisy_metrics"]
    assert pair["noise"]["sigma_before"] == pytest.approx(20, rel=0.15)
    assert pair["noise"]["sigma_after"] < 2
    assert pair["metrics"]["residual_ratio"] == pytest.approx(1, rel=0.15)
    assert abs(pair["metrics"]["residual_structure"]) < 0.1
    blind = measured(paths[2], "--noisy", paths[1])["pairs"][0]
    assert list(blind["metrics"]) == measurable("noisy", "result")
    alone = measured(paths[2])["pairs"][0]
    assert list(alone["metrics"]) == measurable("result") and alone["protocol"]["data_range"] is None


def test_the_noise_in_flat_places_takes_the_noisy_image_which_has_them(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128]
    clean = np.where((x - 64) ** 2 + (y - 64) ** 2 < 1600, 1000, 100)[None].astype(np.int16)
    noise = np.rint(np.random.default_rng(0).normal(0, 20, clean.shape)).astype(np.int16)
    paths = {
        name: nifti(tmp_path / f"{name}.nii", clean + noise // share)
        for name, share in (("clean", 100), ("noisy", 1), ("result", 4))
    }
    known = paths["result"], "--ref", paths["clean"]
    without = measured(*known)
    assert without["pairs"][0]["noise"] == {
        "sigma_before": None, "sigma_after": None, "removed_rms": None, "unit": "", "by_plane": [],
    }  # fmt: skip
    assert without["results"][0]["sigma_after"] is None
    assert "noise in flat places" not in run(*known).stderr
    assert "noise in flat places" in run(*known, "--noisy", paths["noisy"]).stderr


def test_the_table_shows_numbers_and_protocol_on_stderr_only(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "a.nii", CLEAN)
    result = run(nifti(tmp_path / "b.nii", CLEAN + np.int16(3)), "--ref", reference)
    assert result.exit_code == 0 and result.stdout == ""
    for part in ("PSNR [dB]", "SSIM", "R is the largest", "SSIM of Wang 2004"):
        assert part in result.stderr


def test_the_json_is_written_to_a_file_too(tmp_path: Path) -> None:
    reference = nifti(tmp_path / "a.nii", CLEAN)
    result = nifti(tmp_path / "b.nii", CLEAN + np.int16(3))
    output = tmp_path / "new" / "scores.json"
    printed = measured(result, "--ref", reference, "-o", output)
    assert json.loads(output.read_text()) == printed
    written = ", ".join(str(output.with_suffix(suffix)) for suffix in (".json", ".csv", ".html"))
    for more in ((), ("--json",)):
        told = run(result, "--ref", reference, "-o", output, *more)
        assert told.stderr.splitlines()[-1] == f"report: {written}"
    assert json.loads(told.stdout) == printed


def test_nothing_readable_and_missing_files_have_their_own_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingReadableError):
        run(tmp_path / "empty")
    with pytest.raises(NothingReadableError, match="nowhere"):
        run(tmp_path / "nowhere.nii")


def test_two_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    planes = np.pad(CLEAN[:2], ((0, 0), (20, 20), (20, 20)), mode="symmetric")
    for n in (1, 2):
        for name, shift in (("noisy", 0), ("result", n)):
            dicom(tmp_path / f"{name}{n}", planes + np.int16(shift), [0, 1], first=100.0 * n)
            (tmp_path / name).mkdir(exist_ok=True)
            for path in (tmp_path / f"{name}{n}").iterdir():
                dataset = pydicom.dcmread(path)
                dataset.SeriesDescription, dataset.SeriesNumber = "Head", n
                dataset.save_as(tmp_path / name / path.name)
    done = run(tmp_path / "result", "--noisy", tmp_path / "noisy")
    for n in (1, 2):
        told = [line for line in done.stderr.splitlines() if f", Head, series {n} (..." in line]
        assert sum(line.startswith("trust: ") for line in told) == 1
    table = done.stderr.split("measured with")[0]
    assert "series 1" in " ".join(table.split()) and "series 2" in " ".join(table.split())
    alone = run(tmp_path / "result1", "--noisy", tmp_path / "noisy1")
    assert ", Head, " not in alone.stderr and "(..." not in alone.stderr

"""`meddenoise denoise` as a person and a pipeline use it, with the real program on real files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.io import read
from meddenoise.methods import METHODS
from meddenoise.trust.selfcheck import MEASURES
from tests.drawing import ROW

CT = Path(str(get_testdata_file("CT_small.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))
RUNNER = CliRunner()
QUICK = ("--method", "gaussian", "--device", "cpu")


def denoise(*arguments, code=0):
    done = RUNNER.invoke(app, ["denoise", *map(str, arguments)])
    assert done.exit_code == code, done.stderr
    return done


def call(*arguments, **settings):
    command = [sys.executable, "-m", "meddenoise", "denoise", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, **settings)


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(CT, folder / "ct.dcm")
    shutil.copy(MR, folder / "mr.dcm")
    return folder


def test_the_program_denoises_a_folder_and_says_so_on_stderr(study):
    done = call(study, *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2].startswith("2 series written: ")
    before, after = pydicom.dcmread(CT), pydicom.dcmread(study.with_name("study_denoised") / "ct.dcm")
    assert after.pixel_array.shape == before.pixel_array.shape
    assert after.pixel_array.dtype == before.pixel_array.dtype
    assert (after.pixel_array != before.pixel_array).any()
    assert abs(float(after.pixel_array.mean()) - float(before.pixel_array.mean())) < 1
    assert list(after.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    report = json.loads((study.with_name("study_denoised") / "meddenoise-report.json").read_text())
    assert report["command"].startswith("meddenoise denoise ")


def test_json_gives_one_object_a_series_and_again_when_kept(study):
    lines = [json.loads(line) for line in denoise(study, *QUICK, "--json").stdout.splitlines()]
    assert {line["modality"] for line in lines} == {"CT", "MR"}
    levels = {line["modality"]: line["noise"]["sigma_before"] for line in lines}
    assert levels["CT"] >= 0 and levels["MR"] is None, "the MR image has no flat place"
    again = [json.loads(line) for line in denoise(study, *QUICK, "--json").stdout.splitlines()]
    assert sorted(again, key=str) == sorted(lines, key=str)


def test_json_and_page_say_the_strength_and_where_the_noise_level_comes_from(study, tmp_path):
    told = denoise(
        study / "ct.dcm", *QUICK, "--sigma", "12.5", "--strength", "0.7", "--json", "-o", tmp_path / "a.dcm"
    )
    row = json.loads(told.stdout)
    assert row["strength"] == 0.7
    assert row["noise"]["sigma_used"] == 12.5 and row["noise"]["source"] == "--sigma"
    page = (tmp_path / "a-report.html").read_text()
    assert "<dt>Strength</dt><dd>0.7</dd>" in page and "12.5\u202fHU, --sigma" in page
    told = denoise(study / "ct.dcm", *QUICK, "--json", "-o", tmp_path / "b.dcm")
    row = json.loads(told.stdout)
    assert row["strength"] == 1 and row["noise"]["source"] == "estimated from the image"


def test_quiet_says_nothing_and_verbose_names_every_series(study, tmp_path):
    assert denoise(study, *QUICK, "-q", "-o", tmp_path / "a").stderr == ""
    told = denoise(study, *QUICK, "-v", "-o", tmp_path / "b").stderr
    assert "running on cpu" in told
    assert re.search(r"ct\.dcm, series 1 \(\S+\) -> \S+: noise ", told)
    assert "; gaussian, " in told


def test_with_a_reference_the_gain_is_told(study, tmp_path):
    noisy = pydicom.dcmread(CT)
    noisy.PixelData = (noisy.pixel_array + 9).astype(np.int16).tobytes()
    noisy.save_as(tmp_path / "noisy.dcm")
    done = denoise(tmp_path / "noisy.dcm", *QUICK, "--ref", CT, "-v", "--json", "-o", tmp_path / "a.dcm")
    row = json.loads(done.stdout)
    before, after = row["noisy_metrics"]["psnr"], row["metrics"]["psnr"]
    assert before == pytest.approx(20 * np.log10(2000 / 9), abs=1e-3)
    assert (
        f", PSNR {before:.2f} -> {after:.2f} dB, SSIM {row['noisy_metrics']['ssim']:.4f} -> " in done.stderr
    )


def test_a_failed_series_is_named_and_the_exit_code_is_1(study):
    (study / "cut.dcm").write_bytes(CT.read_bytes()[:-5000])
    done = denoise(study, *QUICK, "-q", code=1)
    assert "cut.dcm" in done.stderr
    assert (study.with_name("study_denoised") / "ct.dcm").exists()


def test_paths_can_come_from_a_list_or_stdin(study, tmp_path):
    listing = tmp_path / "list.txt"
    # as editors of Windows write it
    listing.write_text(f"{study / 'ct.dcm'}\r\n\r\n{study / 'mr.dcm'}\r\n", encoding="utf-8-sig", newline="")
    denoise("--files-from", listing, *QUICK, "-o", tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").glob("*.dcm")) == ["ct.dcm", "mr.dcm"]
    done = call("--files-from", "-", *QUICK, "-o", tmp_path / "b", input=f"{study / 'ct.dcm'}\n")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "b").glob("*.dcm")] == ["ct.dcm"]
    assert "cannot be read" in denoise("--files-from", tmp_path / "none", code=2).stderr


def test_strength_0_keeps_every_pixel(study, tmp_path):
    denoise(study / "ct.dcm", *QUICK, "--strength", "0", "-o", tmp_path / "same.dcm")
    same = pydicom.dcmread(tmp_path / "same.dcm")
    assert np.array_equal(same.pixel_array, pydicom.dcmread(CT).pixel_array)


def test_the_same_settings_give_the_same_bytes(study, tmp_path):
    for name in ("a", "b"):
        denoise(study / "ct.dcm", "--method", "nlm", "--device", "cpu", "-o", tmp_path / f"{name}.dcm")
    first, second = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("a", "b"))
    assert first.PixelData == second.PixelData
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID


def test_tiles_give_nearly_the_same_image(study, drawing, tmp_path):
    common = (*drawing, "--sigma", "20")
    denoise(study / "ct.dcm", *common, "-o", tmp_path / "whole.dcm")
    denoise(
        study / "ct.dcm", *common, "--tile", "64", "--overlap", "32", "--batch-size", "2",
        "-o", tmp_path / "tiled.dcm",
    )  # fmt: skip
    whole, tiled = (
        pydicom.dcmread(tmp_path / name).pixel_array.astype(float) for name in ("whole.dcm", "tiled.dcm")
    )
    assert np.sqrt(np.mean((whole - tiled) ** 2)) < 4


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.family == "classical"])
def test_tiles_that_would_show_are_refused_for_methods_without_a_network(study, tmp_path, method):
    done = denoise(
        study / "ct.dcm",
        "--method",
        method,
        "--tile",
        "64",
        "--overlap",
        "8",
        "-o",
        tmp_path / "a.dcm",
        code=2,
    )
    assert "--tile needs a method with a network" in done.stderr
    assert not (tmp_path / "a.dcm").exists()


def test_a_reference_gives_metrics(study, tmp_path):
    done = denoise(study / "ct.dcm", *QUICK, "--ref", CT, "--json", "-o", tmp_path / "a.dcm")
    assert json.loads(done.stdout)["metrics"]["psnr"] > 20


def test_no_report_writes_none(study, tmp_path):
    denoise(study, *QUICK, "--no-report", "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["ct.dcm", "mr.dcm"]


def test_an_existing_result_of_other_settings_needs_overwrite(study):
    denoise(study, *QUICK)
    assert "give --overwrite" in denoise(study, *QUICK, "--sigma", "9", code=1).stderr
    denoise(study, *QUICK, "--sigma", "9", "--overwrite")


def test_a_method_without_a_sampler_says_that_an_option_does_not_apply(study):
    for option in (("--steps", "9"), ("--samples", "4"), ("--mode", "diffusion"), ("--uncertainty",)):
        done = denoise(study, *QUICK, *option, code=2)
        assert f"{' '.join(option[:2]) if option[0] == '--mode' else option[0]} needs a method" in done.stderr
    denoise(study, *QUICK, "--mode", "distilled", "--samples", "1")


@pytest.fixture
def drawing(monkeypatch):
    """The options of the method of `drawing.py`, in the table for one test."""
    monkeypatch.setitem(METHODS, "drawing", ROW)
    return ("--method", "drawing", "--device", "cpu", "--json")


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_uncertainty_is_written_beside_the_result_as_the_residual_is(study, drawing, tmp_path):
    maps = ("--uncertainty", "--residual", "--sigma", "20")
    done = denoise(study / "ct.dcm", *drawing, *maps, "-o", tmp_path / "a.dcm")
    assert sorted(path.name for path in tmp_path.glob("a*.nii")) == ["a_residual.nii", "a_uncertainty.nii"]
    assert rows_of(done)[0]["mode"] == "distilled"
    (source,), (result,) = read(CT), read(tmp_path / "a.dcm")
    (residual,), (spread,) = read(tmp_path / "a_residual.nii"), read(tmp_path / "a_uncertainty.nii")
    assert spread.pixels.dtype == np.float32
    assert spread.pixels.shape == source.pixels.shape
    for map_ in (residual, spread):
        np.testing.assert_allclose(map_.geometry.spacing_mm, source.geometry.spacing_mm, rtol=1e-5)
        np.testing.assert_allclose(map_.geometry.origin_mm, source.geometry.origin_mm, atol=1e-3)
        np.testing.assert_allclose(map_.geometry.axes, source.geometry.axes, atol=1e-6)
    # two draws of variance 25 have a spread of 25, and a mean of variance 25 / 2 about the image
    assert np.sqrt(np.square(spread.values(0, 1)).mean()) == pytest.approx(np.sqrt(37.5), rel=0.05)
    removed = source.values(0, 1) - result.values(0, 1)
    np.testing.assert_allclose(residual.values(0, 1), removed, atol=1e-3)


def test_maps_of_a_folder_have_folders_of_their_own_and_are_part_of_what_is_finished(study, drawing):
    denoise(study, *drawing, "--uncertainty", "--sigma", "20")
    maps = study.with_name("study_denoised_uncertainty")
    assert sorted(path.name for path in maps.iterdir()) == ["ct_uncertainty.nii", "mr_uncertainty.nii"]
    again = denoise(study, *drawing, "--uncertainty", "--sigma", "20")
    assert "2 kept" in again.stderr
    (maps / "mr_uncertainty.nii").unlink()
    assert "exists already" in denoise(study, *drawing, "--uncertainty", "--sigma", "20", code=1).stderr
    denoise(study, *drawing, "--uncertainty", "--sigma", "20", "--overwrite")
    assert (maps / "mr_uncertainty.nii").exists()


def test_samplers_repeat_with_their_seed_whatever_the_batches(study, drawing, tmp_path):
    common = (*drawing, "--mode", "diffusion", "--sigma", "20", "--tile", "64", "--overlap", "16")
    for name, more in (("a", ()), ("b", ("--batch-size", "3")), ("c", ("--seed", "8"))):
        denoise(study / "ct.dcm", *common, *more, "-o", tmp_path / f"{name}.dcm")
    first, batched, other = (pydicom.dcmread(tmp_path / f"{name}.dcm").PixelData for name in "abc")
    assert first == batched
    assert first != other


def test_the_report_of_a_self_supervised_run_holds_its_measures(study, drawing, tmp_path):
    (row,) = rows_of(denoise(study / "ct.dcm", *drawing, "--ref", CT, "-o", tmp_path / "a.dcm"))
    assert row["mode"] == "distilled"
    assert {*MEASURES, "psnr", "ssim", "residual_nps_distance"} <= row["metrics"].keys()
    (alone,) = rows_of(denoise(study / "ct.dcm", *drawing, "-o", tmp_path / "c.dcm"))
    assert {name: row["metrics"][name] for name in MEASURES} == alone["metrics"], "a reference changes none"
    assert abs(row["metrics"]["leak"]) < 0.05
    assert "metrics_leak" in (tmp_path / "a-report.csv").read_text().splitlines()[0]
    (plain,) = rows_of(denoise(study / "ct.dcm", *QUICK, "--json", "-o", tmp_path / "b.dcm"))
    assert plain["mode"] is None
    assert plain["metrics"] == {}


def test_one_pass_asked_for_does_not_go_with_draws(study, drawing, tmp_path):
    for option in (("--steps", "9"), ("--samples", "4")):
        done = denoise(study, *drawing, "--mode", "distilled", *option, code=2)
        assert f"{option[0]} needs the sampler, and --mode distilled is one pass" in done.stderr
    assert (
        "--no-fusion needs a method with a blind-spot network"
        in denoise(study, *drawing, "--no-fusion", code=2).stderr
    )
    assert not study.with_name("study_denoised").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_of_the_json_that_goes_away_does_not_stop_the_images(study):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "meddenoise", "denoise", str(study), *QUICK, "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 0 and done.stderr.splitlines()[-2].startswith("2 series written: ")
    assert len(list(study.with_name("study_denoised").glob("*.dcm"))) == 2

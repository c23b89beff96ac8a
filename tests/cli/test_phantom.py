"""`meddenoise phantom` and `meddenoise simulate` from the command line."""

import json

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from meddenoise.io import read
from tests.commands import run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "study"
    run("phantom", "ct", folder, "--size", 64, "--slices", 3)
    return folder


def test_a_phantom_is_written_in_two_parts_with_a_record(study):
    assert sorted(path.name for path in study.iterdir()) == ["clean", "noisy", "phantom.json"]
    assert len(list((study / "noisy").iterdir())) == len(list((study / "clean").iterdir())) == 3
    record = json.loads((study / "phantom.json").read_text())
    assert record["phantom"] == "ct"
    assert record["shape"] == [3, 64, 64]
    assert record["noise"][0]["applied"][0]["noise"] == "ct-dose"
    assert record["rmse"] == pytest.approx(record["noise"][0]["sigma"], rel=0.1)


def test_stdout_holds_the_paths_alone(tmp_path):
    result = run("phantom", "mr", tmp_path / "s", "--size", 64, "--slices", 1)
    assert result.stdout.split() == [str(tmp_path / "s" / "noisy"), str(tmp_path / "s" / "clean")]
    assert "mr phantom of 1 x 64 x 64 pixels, seed 0: 1 noisy and 1 clean file in" in result.stderr


@pytest.mark.parametrize("kind", ["ct", "mr", "xray", "fluoro"])
@pytest.mark.parametrize("format", ["nifti", "png", "tiff"])
def test_other_formats_hold_both_parts(kind, format, tmp_path):
    run("phantom", kind, tmp_path / "s", "--size", 64, "--frames", 2, "--format", format)
    noisy, clean = read(tmp_path / "s" / "noisy"), read(tmp_path / "s" / "clean")
    planes = [sum(len(series) for series in part) for part in (noisy, clean)]
    assert planes == [2, 2]
    assert noisy[0].pixels.dtype == clean[0].pixels.dtype
    assert not np.array_equal(noisy[0].pixels, clean[0].pixels)
    if format == "nifti":
        assert noisy[0].geometry == clean[0].geometry


def test_noise_and_dose_of_a_phantom_can_be_chosen(tmp_path):
    run("phantom", "ct", tmp_path / "a", "--size", 64, "--slices", 1, "--noise", "gaussian:50")
    record = json.loads((tmp_path / "a" / "phantom.json").read_text())
    assert record["rmse"] == pytest.approx(50, rel=0.05)
    run("phantom", "ct", tmp_path / "b", "--size", 64, "--slices", 1, "--dose", 1)
    run("phantom", "ct", tmp_path / "c", "--size", 64, "--slices", 1, "--dose", 0.25)
    whole, quarter = (json.loads((tmp_path / n / "phantom.json").read_text())["rmse"] for n in "bc")
    assert quarter / whole == pytest.approx(2, rel=0.1)


def test_a_phantom_never_lands_in_a_folder_with_other_things(study, tmp_path):
    result = run("phantom", "ct", study, "--size", 64, code=1)
    assert "is not empty: choose another folder, or add --overwrite." in result.stderr
    run("phantom", "ct", study, "--size", 64, "--slices", 3, "--overwrite")
    (tmp_path / "clean").mkdir()
    result = run("phantom", "ct", tmp_path, "--overwrite", code=1)
    assert "not a phantom study" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cat"], "there is no phantom 'cat'"),
        (["ct", "--noise", "gausian:3"], "did you mean 'gaussian'"),
        (["ct", "--noise", "gaussian:3", "--dose", "0.5"], "exclude each other"),
        (["mr", "--dose", "0.5"], "has no dose"),
        (["ct", "--format", "bmp"], "valid are dicom, mha, nifti, nrrd, png, tiff."),
        (["ct", "--format", "jpeg"], "jpeg is only read, for it would lose detail: give png instead"),
        (["ct", "--size", "3"], "32 to 4096"),
    ],
)
def test_wrong_usage_of_phantom_is_one_sentence_and_leaves_nothing(arguments, said, tmp_path):
    result = run("phantom", arguments[0], tmp_path / "s", *arguments[1:], code=2)
    assert said in result.stderr
    assert not (tmp_path / "s").exists()


def test_simulate_adds_the_noise_to_a_folder_and_states_it(study, tmp_path):
    out = tmp_path / "out"
    result = run("simulate", study / "clean", out, "--noise", "gaussian:40", "--seed", 9)
    assert result.stdout.strip() == str(out)
    (clean,), (noisy,) = read(study / "clean"), read(out)
    assert noisy.geometry == clean.geometry
    change = noisy.values(0, 3) - clean.values(0, 3)
    assert change.std() == pytest.approx(40, rel=0.03)
    record = json.loads((out / "simulate.json").read_text())
    assert record["seed"] == 9
    assert record["noise"] == ["gaussian:40"]
    row = record["series"][0]
    assert row["noise"][0]["sigma"] == pytest.approx(40)
    assert row["noise"][0]["nps"] == pytest.approx([1600] * len(row["noise"][0]["nps"]))
    assert len(row["output"]) == 3


def test_simulated_dicom_is_a_derived_series_that_does_not_call_itself_denoised(study, tmp_path):
    run("simulate", study / "clean", tmp_path / "out", "--noise", "ct-dose:0.1")
    source = pydicom.dcmread(study / "clean" / "0001.dcm")
    noisy = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert noisy.SeriesInstanceUID != source.SeriesInstanceUID
    assert noisy.StudyInstanceUID == source.StudyInstanceUID
    assert noisy.ImageType[0] == "DERIVED"
    assert "noise added (ct-dose:0.1)" in noisy.SeriesDescription
    assert "denoised" not in noisy.SeriesDescription
    assert noisy.DerivationCodeSequence[0].CodeMeaning == "Pixel by pixel addition"
    assert "Noise reduction" not in str(noisy.ContributingEquipmentSequence[0])


def test_simulate_writes_one_file_under_its_name_and_repeats_noises(tmp_path):
    source = get_testdata_file("CT_small.dcm")
    out = tmp_path / "noisy.dcm"
    run("simulate", source, out, "--noise", "gaussian:30", "--noise", "salt-pepper:0.01")
    record = json.loads((tmp_path / "noisy.simulate.json").read_text())
    assert [noise["applied"][0]["noise"] for noise in record["series"][0]["noise"]] == [
        "gaussian",
        "salt-pepper",
    ]
    first = out.read_bytes()
    run("simulate", source, out, "--noise", "gaussian:30", "--noise", "salt-pepper:0.01", "--overwrite")
    assert out.read_bytes() == first
    run("simulate", source, out, "--noise", "gaussian:30", "--seed", 1, "--overwrite")
    assert out.read_bytes() != first


def test_simulate_keeps_nifti_and_png(tmp_path):
    for format in ("nifti", "png"):
        run("phantom", "fluoro", tmp_path / format, "--size", 64, "--frames", 2, "--format", format)
        run("simulate", tmp_path / format / "clean", tmp_path / f"{format}-out", "--noise", "xray:20")
        clean, noisy = read(tmp_path / format / "clean"), read(tmp_path / f"{format}-out")
        for one, other in zip(clean, noisy, strict=True):
            assert one.format == other.format == format
            assert one.pixels.dtype == other.pixels.dtype
            values = one.values(0, len(one))
            relative = (other.values(0, len(other)) - values).std() / values.mean()
            assert 0.1 < relative < 0.4


def test_simulate_overwrites_neither_results_nor_inputs(study, tmp_path):
    out = tmp_path / "out"
    run("simulate", study / "clean", out, "--noise", "gaussian:1")
    assert "exists already" in run("simulate", study / "clean", out, "--noise", "gaussian:1", code=1).stderr
    file = next((study / "clean").iterdir())
    before = file.read_bytes()
    for place in (study / "clean", file):
        source = file if place == file else study / "clean"
        result = run("simulate", source, place, "--noise", "gaussian:9", "--overwrite", code=1)
        assert "is an input" in result.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("noise", "code", "said"),
    [
        ("gaussian:-3", 2, "sigma must be at least 0"),
        ("fog:3", 2, "there is no noise 'fog'"),
        ("ct-dose:0.5", 1, "is MR, not CT"),
    ],
)
def test_noise_that_cannot_be_added_is_one_sentence(noise, code, said, tmp_path):
    result = run("simulate", get_testdata_file("MR_small.dcm"), tmp_path / "o", "--noise", noise, code=code)
    assert said in result.stderr
    assert not (tmp_path / "o").exists()


def test_simulate_needs_noise_and_an_image(tmp_path):
    run("simulate", get_testdata_file("MR_small.dcm"), tmp_path / "o", code=2)
    (tmp_path / "empty").mkdir()
    result = run("simulate", tmp_path / "empty", tmp_path / "o", "--noise", "gaussian:1", code=3)
    assert "holds no image" in result.stderr


def test_a_damaged_file_does_not_stop_the_others(study, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "good.dcm").write_bytes((study / "clean" / "0001.dcm").read_bytes())
    damaged = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    damaged.PixelData = damaged.PixelData[:100]
    damaged.save_as(folder / "bad.dcm")
    result = run("simulate", folder, tmp_path / "out", "--noise", "gaussian:5", code=1)
    assert "bad.dcm" in result.stderr
    assert (tmp_path / "out" / "good.dcm").exists()
    assert not (tmp_path / "out" / "bad.dcm").exists()


@pytest.mark.parametrize("command", ["phantom", "simulate"])
def test_help_shows_an_example(command):
    assert f"Example: meddenoise {command}" in run(command, "--help").output

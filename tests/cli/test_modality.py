"""`--modality`, `--strength` and methods asked for by name, with the real program."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.io import FORMATS, read
from meddenoise.methods import rows
from meddenoise.methods.choice import choose
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from tests.commands import run
from tests.io_samples import RNG, ct_folder, nifti, packaged, png, sample, tiff
from tests.plain import series

QUICK = ("--method", "gaussian", "--device", "cpu")


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    return png(tmp_path / "grey.png", RNG(0).normal(120, 20, (64, 64)).clip(0, 255).astype(np.uint8))


def row(*arguments: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run("denoise", *arguments, *QUICK, "--json", "-q").stdout)
    return content


def test_the_report_says_which_modality_was_taken_and_why(grey: Path, tmp_path: Path) -> None:
    unknown = row(grey, "-o", tmp_path / "a.png")
    assert (unknown["modality"], unknown["modality_from"]) == ("", "not known: --modality states it")
    given_ = row(grey, "--modality", "dx", "-o", tmp_path / "b.png")
    assert (given_["modality"], given_["modality_from"]) == ("DX", "given with --modality")
    stated = row(packaged("MR_small.dcm"), "-o", tmp_path / "c.dcm")
    assert (stated["modality"], stated["modality_from"]) == ("MR", "stated in the file")
    told = run("denoise", grey, *QUICK, "-v", "-o", tmp_path / "d.png").stderr
    assert f"modality: {grey}: not known: --modality states it." in told
    told = run("denoise", grey, *QUICK, "-v", "--modality", "DX", "-o", tmp_path / "e.png").stderr
    assert f"modality: {grey}: DX, given with --modality." in told


def test_a_modality_given_goes_into_a_new_dicom_and_a_guess_does_not(tmp_path: Path) -> None:
    volume = nifti(tmp_path / "v.nii", RNG(1).normal(-1000, 9, (2, 40, 40)).astype(np.int16))
    pixels = read(volume)[0].pixels
    pixels[:, 10:30, 10:30] += 1040
    nifti(volume, pixels)
    for name, more, code in (("guess", (), "OT"), ("given", ("--modality", "CT"), "CT")):
        run("denoise", volume, *QUICK, *more, "--format", "dicom", "-o", tmp_path / name)
        first = pydicom.dcmread(next((tmp_path / name).rglob("*.dcm")))
        assert first.Modality == code
    assert row(volume, "-o", tmp_path / "o.nii")["modality"] == "CT"


def test_a_word_against_the_file_is_left_out_and_said(tmp_path: Path) -> None:
    told = run("denoise", packaged("MR_small.dcm"), *QUICK, "--modality", "CT", "-o", tmp_path / "a.dcm")
    assert "--modality CT is ignored: the file states MR." in told.stderr


@pytest.mark.parametrize("command", ["denoise", "upscale", "info", "bench", "noise"])
def test_a_code_that_does_not_exist_is_one_sentence(command: str, grey: Path) -> None:
    done = run(command, grey, "--modality", "MRI", code=2)
    assert "there is no modality 'MRI': did you mean 'MR'?" in done.stderr
    assert list(grey.parent.iterdir()) == [grey]


def test_info_says_it_too(grey: Path) -> None:
    assert "  modality not known: --modality states it" in run("info", grey).stdout
    assert "  modality US, given with --modality" in run("info", grey, "--modality", "US").stdout
    facts = json.loads(run("info", grey, "--json").stdout)
    assert facts["modality_from"] == "not known: --modality states it"


LEARNED = [name for name, method in rows().items() if method.learned]


@pytest.mark.parametrize("code", ["", "CT", "MR", "DX", "XA", "US", "PT"])
def test_no_method_asked_for_by_name_is_refused_for_want_of_a_modality(code: str) -> None:
    for name in LEARNED:
        choice = choose(name, None, code)
        trained = choice.checkpoint.metadata.modalities if choice.checkpoint else ()
        fits = code in trained or "other" in trained
        assert bool(choice.warnings) != fits
        if not fits:
            assert "was trained on" in choice.warnings[0]
            assert (f"not on {code}" if code else "is not known") in choice.warnings[0]


def test_a_method_for_another_modality_runs_with_a_note(tmp_path: Path, grey: Path) -> None:
    done = run("denoise", grey, "--method", "vpsde", "--device", "cpu", "-o", tmp_path / "a.png")
    assert "was trained on CT, and the modality of this image is not known" in done.stderr
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_strength_0_gives_every_format_back_bit_for_bit(format: str, tmp_path: Path) -> None:
    source = sample(format, tmp_path)
    # what was read from a JPEG is written as PNG: a JPEG would lose more
    name = f"{source.stem}.png" if format == "jpeg" else source.name
    run("denoise", source, *QUICK, "--strength", "0", "-o", tmp_path / "out" / name, "--sigma", "9")
    before, after = read(source)[0], read(tmp_path / "out" / name)[0]
    assert before.pixels.dtype == after.pixels.dtype
    assert before.pixels.tobytes() == after.pixels.tobytes()


@given(st.integers(0, 2**16), st.sampled_from(["u1", "i2", "u2", "f4", "f8"]))
@settings(max_examples=25, deadline=None)
def test_strength_0_keeps_any_bits_nan_and_infinity_too(seed: int, kind: str) -> None:
    pixels = (RNG(seed).normal(0, 100, (1, 32, 32))).astype(kind)
    if np.dtype(kind).kind == "f":
        pixels[0, 0, :5] = np.nan, np.inf, -np.inf, -0.0, 5e-324
    noisy = series(pixels)
    result = denoise_series(noisy, Options(method="gaussian", device="cpu", sigma=1.0, strength=0.0))
    assert result.series.pixels.tobytes() == noisy.pixels.tobytes()


def test_strength_beyond_1_is_as_if_there_were_that_much_more_noise(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", RNG(2).normal(500, 20, (64, 64)).astype(np.float32))
    pixels = {}
    for name, more in (("strong", ("--sigma", "20", "--strength", "1.5")), ("noisy", ("--sigma", "30"))):
        run(
            "denoise", source, "--method", "wavelet", "--device", "cpu", *more, "-o", tmp_path / f"{name}.tif"
        )
        pixels[name] = read(tmp_path / f"{name}.tif")[0].pixels
    np.testing.assert_array_equal(pixels["strong"], pixels["noisy"])
    report = json.loads((tmp_path / "strong-report.json").read_text())["series"][0]
    assert report["noise"]["sigma_before"] == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("strength", ["-0.1", "2.01", "nan", "inf"])
def test_strengths_out_of_range_are_refused(strength: str, grey: Path) -> None:
    done = run("denoise", grey, *QUICK, "--strength", strength, code=2)
    assert "give 0 (the input) to 1 (the full result), or up to 2" in done.stderr


def test_a_folder_of_dicom_and_a_png_takes_the_word_for_the_png_alone(tmp_path: Path, grey: Path) -> None:
    study = ct_folder(tmp_path / "study", range(2))
    grey.rename(study / "grey.png")
    done = run("denoise", study, *QUICK, "--modality", "XA", "--json", "-o", tmp_path / "out")
    taken = {json.loads(line)["format"]: json.loads(line)["modality"] for line in done.stdout.splitlines()}
    assert taken == {"dicom": "CT", "png": "XA"}

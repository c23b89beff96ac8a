"""Trust where a user meets it: `denoise`, `eval --noisy`, `eval --lesions` on phantoms."""

import json
import shutil

import numpy as np
import pydicom
import pytest
from scipy.ndimage import gaussian_filter

from meddenoise.trust import CHECKS
from meddenoise.trust.reference import MEASURED
from tests.commands import run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A head phantom, denoised by a good method, and blurred by somebody else."""
    folder = tmp_path_factory.mktemp("trust")
    run("phantom", "mr", folder, "--size", 160, "--slices", 1, "--overwrite")
    run("denoise", folder / "noisy", "-o", folder / "direct", "--method", "direct", "--device", "cpu")
    shutil.copytree(folder / "noisy", folder / "blur")
    for path in (folder / "blur").iterdir():
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        dataset.PixelData = gaussian_filter(stored.astype(np.float32), 2).astype(stored.dtype).tobytes()
        dataset.save_as(path)
    return folder


def row_of(report):
    return json.loads(report.read_text())["series"][0]


def test_the_report_of_a_good_method_says_ok_with_all_values(study):
    trust = row_of(study / "direct" / "meddenoise-report.json")["trust"]
    assert (trust["verdict"], trust["reasons"], trust["notes"]) == ("ok", [], [])
    without_reference = [name for name in CHECKS if name not in MEASURED]
    assert sorted(trust["values"]) == sorted(without_reference)
    unknown = [name for name, value in trust["values"].items() if value is None]
    # too little noise is left for its grain to be seen
    assert unknown in ([], ["grain_coarser"])
    assert all({"low", "high", "shift"} == set(part) for part in trust["bins"]) and len(trust["bins"]) > 1
    header = (study / "direct" / "meddenoise-report.csv").read_text().splitlines()[0]
    assert "trust_verdict" in header and "trust_values_structure_lost" in header
    assert "trust_bins" not in header


def test_too_much_strength_of_sigma_is_told_on_stderr_and_in_json(study, tmp_path):
    options = ("--method", "nlm", "--sigma", 600, "--json")
    done = run("denoise", study / "noisy", "-o", tmp_path / "out", *options)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("trust: ")]
    assert "reject" in line and "structure was removed" in line
    assert json.loads(done.stdout)["trust"]["verdict"] == "reject"


def test_strength_0_changes_nothing_and_has_no_effect(study, tmp_path):
    done = run("denoise", study / "noisy", "-o", tmp_path / "out", "--method", "nlm", "--strength", 0)
    trust = row_of(tmp_path / "out" / "meddenoise-report.json")["trust"]
    assert trust["verdict"] == "no effect" and "nothing was removed" in trust["notes"][0]
    assert done.stderr.splitlines()[-2] == "1 series written: 1 no effect."


def test_half_of_a_result_is_looked_at(tmp_path):
    # of smaller heads even the flattest places hold some anatomy
    run("phantom", "mr", tmp_path, "--size", 256, "--slices", 1)
    run("denoise", tmp_path / "noisy", "-o", tmp_path / "out", "--method", "direct", "--strength", 0.5)
    row = row_of(tmp_path / "out" / "meddenoise-report.json")
    assert row["trust"]["verdict"] == "look" and "of the noise is left" in row["trust"]["reasons"][0]
    noise = row["noise"]
    assert noise["sigma_after"] < noise["sigma_before"] and len(noise["by_plane"]) == 1
    together = np.hypot(noise["sigma_after"], noise["removed_rms"])
    assert together == pytest.approx(noise["sigma_before"], rel=0.3) and row["warnings"] == []


def test_strict_ends_with_1_where_a_result_is_rejected(study, tmp_path):
    options = ("denoise", study / "noisy", "--method", "nlm", "--sigma", 600)
    done = run(*options, "-o", tmp_path / "out", "--strict", code=1)
    assert "1 series written: 1 reject." in done.stderr and "; try one of: --" in done.stderr
    # the same run finds its result finished: the verdict counts again
    run(*options, "-o", tmp_path / "out", "--strict", code=1)
    run("denoise", study / "noisy", "-o", tmp_path / "good", "--method", "nlm", "--strict")


def test_a_reference_decides_what_was_lost(study, tmp_path):
    options = ("denoise", study / "noisy", "--method", "nlm", "--ref", study / "clean")
    run(*options, "-o", tmp_path / "good")
    values = row_of(tmp_path / "good" / "meddenoise-report.json")["trust"]["values"]
    assert set(MEASURED) <= set(values) and "structure_lost" not in values
    run(*options, "-o", tmp_path / "bad", "--sigma", 600)
    bad = row_of(tmp_path / "bad" / "meddenoise-report.json")["trust"]
    assert bad["verdict"] == "reject" and any("reference" in reason for reason in bad["reasons"])


def test_a_sampler_is_not_run_again_for_lesions(study, tmp_path):
    command = ("denoise", study / "noisy", "-o", tmp_path / "out", "--method", "diffdenoise")
    run(*command, "--mode", "diffusion", "--steps", 1)
    trust = row_of(tmp_path / "out" / "meddenoise-report.json")["trust"]
    assert trust["verdict"] is not None
    assert "lesion_survival" not in trust["values"] and "eval --lesions" in trust["notes"][0]


def test_eval_judges_results_of_any_program_beside_the_noisy_image(study):
    done = run("eval", study / "direct", study / "blur", "--noisy", study / "noisy", "--json")
    good, bad = (pair["trust"] for pair in json.loads(done.stdout)["pairs"])
    assert (good["verdict"], bad["verdict"]) == ("ok", "reject")
    text = run("eval", study / "blur", "--noisy", study / "noisy").stderr
    assert "reject: " in text and "edges were removed with the noise" in text
    without = json.loads(run("eval", study / "blur", "--ref", study / "clean", "--json").stdout)
    assert "trust" not in without["pairs"][0]


def test_lesions_run_the_method_again_that_the_report_names(study):
    told = row_of(study / "direct" / "meddenoise-report.json")["trust"]["values"]["lesion_survival"]
    done = run("eval", study / "direct", "--noisy", study / "noisy", "--lesions", "--json")
    measured = json.loads(done.stdout)["pairs"][0]["trust"]["values"]["lesion_survival"]
    assert measured == pytest.approx(told, abs=0.02)
    assert "discs keep" in run("eval", study / "direct", "--noisy", study / "noisy", "--lesions").stderr


def test_lesions_need_to_know_the_method(study):
    command = ("eval", study / "blur", "--noisy", study / "noisy", "--lesions", "--json")
    trust = json.loads(run(*command).stdout)["pairs"][0]["trust"]
    assert trust["values"]["lesion_survival"] is None
    assert "give --method NAME" in trust["notes"][0]
    trust = json.loads(run(*command, "--method", "nlm").stdout)["pairs"][0]["trust"]
    assert 0 < trust["values"]["lesion_survival"] < 1.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lesions",), "--noisy"),
        (("--method", "nlm"), "--lesions"),
        (("--noisy", "NOISY", "--lesions", "--method", "nml"), "nlm"),
    ],
)
def test_options_that_do_not_go_together_are_a_sentence(study, options, words):
    given = [study / "noisy" if option == "NOISY" else option for option in options]
    assert words in run("eval", study / "blur", *given, code=2).stderr

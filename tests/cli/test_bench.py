"""`meddenoise bench`: which method should be used for this image?"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from meddenoise.evaluation import forecast, trial
from meddenoise.io import discover, read_item
from meddenoise.methods import METHODS
from meddenoise.methods.classical import NLM
from meddenoise.pipeline.options import Options
from tests.commands import run

AGAIN = replace(NLM, name="nlm-again")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    run("phantom", "fluoro", folder, "--size", 128, "--frames", 7, "--overwrite")
    return folder


def test_without_noise_nothing_is_suggested(tmp_path):
    Image.new("L", (64, 64), 90).save(tmp_path / "flat.png")
    shown = run("bench", tmp_path / "flat.png", "--methods", "nlm")
    assert "no method is suggested: the image shows no noise." in shown.stderr


def test_a_table_of_80_columns_a_picture_and_a_suggestion(study, tmp_path):
    picture = tmp_path / "sheet.png"
    methods = "direct,nlm,wavelet"
    options = ("--ref", study / "clean", "--methods", methods, "-o", picture, "--device", "cpu")
    done = run("bench", study / "noisy", *options)
    lines = done.stderr.splitlines()
    rows = [line for line in lines if line.split() and line.split()[0] in methods.split(",")]
    assert [row.split()[0] for row in rows] == methods.split(",")
    assert "PSNR" in lines[0] and max(map(len, [lines[0], *rows])) <= 80
    assert any("measured on 5 of 7 planes" in line for line in lines)
    assert " the highest PSNR" in lines[-1] and lines[-1].split()[1].strip(":") in ("direct", "nlm")
    assert done.stdout == ""
    with Image.open(picture) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    # four cells a row: input, reference and three results
    assert pixels.shape[1] > 4 * 240 and pixels.shape[0] > 2 * 480
    assert pixels[40:280, 6:246].std() > 10


def test_the_image_itself_is_no_reference(study, tmp_path):
    noisy = study / "noisy"
    done = run("bench", noisy, "--ref", noisy, "--methods", "gaussian", "-o", tmp_path / "sheet.png")
    assert "itself, noise and all: it is judged without a reference." in done.stderr
    assert "PSNR" not in done.stderr


def test_the_table_tells_the_noise_left_as_the_trust_check_does(study, tmp_path):
    options = ("bench", study / "noisy", "--methods", "gaussian,wavelet,nlm", "-o", tmp_path / "sheet.png")
    rows = {row["method"]: row for row in json.loads(run(*options, "--json").stdout)["methods"]}
    lines = [line.split() for line in run(*options).stderr.splitlines()]
    shares = {words[0]: words[2] for words in lines if words and words[0] in rows}
    assert shares == {name: f"{row['trust']['values']['noise_left']:.0%}" for name, row in rows.items()}
    plain = {name: row["noise"]["sigma_after"] / row["noise"]["sigma_before"] for name, row in rows.items()}
    assert any(shares[name] != f"{share:.0%}" for name, share in plain.items())


def test_a_method_that_changes_nothing_leaves_all_noise(tmp_path):
    Image.new("L", (64, 64), 90).save(tmp_path / "flat.png")
    (row,) = [
        line.split()
        for line in run("bench", tmp_path / "flat.png", "--methods", "nlm").stderr.splitlines()
        if line.startswith("nlm ")
    ]
    assert row[2] == "100%" and row[-2:] == ["no", "effect"]


def test_json_tells_everything_and_the_picture_lies_beside_the_input(study):
    done = run("bench", study / "noisy", "--methods", "nlm,gaussian", "--json")
    found = json.loads(done.stdout)
    assert found["picture"] == str(study / "noisy_bench.png") and (study / "noisy_bench.png").is_file()
    assert (found["planes"], found["planes_in_all"], found["reference"]) == ([1, 2, 3, 4, 5], 7, None)
    for row in found["methods"]:
        assert row["error"] == "" and row["metrics"] == {}
        assert row["seconds_per_plane"] > 0 and row["trust"]["verdict"] in ("ok", "look", "reject")
        assert 0 < row["estimated_error"] < 1.5 * row["noise"]["sigma_before"]
    assert found["suggested"]["why"].startswith("the least estimated error")


def test_the_estimated_error_is_near_the_true_one(study):
    found = json.loads(
        run("bench", study / "noisy", "--ref", study / "clean", "--methods", "nlm,gaussian", "--json").stdout
    )
    for row in found["methods"]:
        # SURE takes noise for white: on a detector's correlated noise it is too high
        assert row["estimated_error"] == pytest.approx(row["metrics"]["rmse"], rel=0.45)


def test_a_method_that_fails_is_a_row_with_its_reason(study, monkeypatch):
    def explode(series, options, tick=lambda planes: None):
        if options.method == "nlm":
            raise RuntimeError("the sky fell")
        return denoise(series, options, tick)

    denoise = trial.denoise_series
    monkeypatch.setattr(trial, "denoise_series", explode)
    done = run("bench", study / "noisy", "--methods", "nlm,wavelet")
    assert "failed: nlm: RuntimeError: the sky fell" in done.stderr
    assert "use wavelet" in done.stderr
    failed = json.loads(run("bench", study / "noisy", "--methods", "nlm", "--json", code=1).stdout)
    assert failed["methods"][0]["error"] and failed["suggested"] is None


def test_slow_methods_are_announced_before_any_method_runs(study, monkeypatch):
    monkeypatch.setattr(forecast, "SLOW_S", 0.0)
    sample = trial.take_sample(read_item(discover([study / "noisy"]).items[0]), None)
    events = []
    names = ("wavelet", "nlm")
    trial.try_methods(
        sample, names, Options(device="cpu"), lambda name, share: events.append(name), events.append
    )
    for name, sentence in zip(names, events, strict=False):
        assert sentence.startswith(f"{name} is slow, about ") and " s for 5 planes: " in sentence
    assert events[2] == "wavelet" and not any("slow" in event for event in events[2:])


def test_the_time_of_a_slow_method_is_expected_from_a_quick_one(study):
    expected = forecast.Forecast(read_item(discover([study / "noisy"]).items[0]), Options(device="cpu"))
    for slow, quick in (("bm3d", "nlm"), ("vpsde", "direct")):
        ratio = METHODS[slow].cost / METHODS[quick].cost
        assert expected.seconds(slow) == pytest.approx(ratio * expected.seconds(quick)) and ratio > 5
        assert expected.seconds(quick) > 0
    assert "it may take long" in expected.warning("vpsde-slides") and expected.warning("nlm") == ""


def test_methods_that_are_level_are_named_as_ties(study, monkeypatch):
    monkeypatch.setitem(METHODS, "nlm-again", replace(METHODS["nlm"], where=f"{__name__}:AGAIN"))
    options = ("--ref", study / "clean", "--methods", "nlm,nlm-again", "--json")
    suggested = json.loads(run("bench", study / "noisy", *options).stdout)["suggested"]
    assert {suggested["method"], *suggested["ties"]} == {"nlm", "nlm-again"}
    shown = run("bench", study / "noisy", *options[:-1]).stderr.splitlines()[-1]
    assert re.search(r"use (nlm|nlm-again): .*, level with (nlm|nlm-again) but quicker\.$", shown)


def test_all_methods_that_fit_are_tried_and_the_others_named():
    for modality in ("CT", "MR", "XA", ""):
        found = trial.fitting(modality)
        assert set(found.names) | set(found.left_out) == set(METHODS)
        assert {"direct", "diffdenoise", "medcdiff", "nlm", "gaussian"} <= set(found.names)
        assert ("befoi" in found.names) == (modality == "XA")
        assert "vpsde-slides" in found.left_out and "white noise" in found.left_out["vpsde"]


def test_slices_are_spread_over_the_series_and_the_reference_follows(tmp_path):
    run("phantom", "ct", tmp_path, "--size", 64, "--slices", 6, "--overwrite")
    found = json.loads(
        run("bench", tmp_path / "noisy", "--ref", tmp_path / "clean", "--methods", "wavelet", "--json").stdout
    )
    assert found["planes"] == [1, 3, 5]
    assert found["methods"][0]["metrics"]["psnr"] > 25


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.png",), 3, "missing.png"),
        (("INPUT", "--methods", "nml"), 2, "nlm"),
        (("INPUT", "--methods", ","), 2, "--methods"),
        (("INPUT", "-o", "sheet.jpg"), 2, "end it in .png"),
        (("INPUT", "--ref", "small.png"), 1, "small.png"),
        (("INPUT", "--device", "tpu"), 2, "--device"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    for name, size in (("scan.png", 64), ("small.png", 32)):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size), np.uint8)).save(name)
    given = ["scan.png" if argument == "INPUT" else argument for argument in arguments]
    done = run("bench", *given, code=code)
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1

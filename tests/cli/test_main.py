"""The program: help, version, exit codes, one sentence an error, signals and pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import CorruptError
from meddenoise.version import __version__

CT = str(get_testdata_file("CT_small.dcm"))
COMMANDS = ("denoise", "eval", "train", "methods", "weights", "info")
RUNNER = CliRunner()


def call(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "meddenoise", *arguments],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=60, **settings,
    )  # fmt: skip


def test_version_and_help_come_on_stdout():
    done = RUNNER.invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"meddenoise {__version__}\n")
    done = RUNNER.invoke(app, ["--help"])
    assert done.exit_code == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", ["denoise", "eval", "train", "methods", "info"])
def test_every_command_has_help_with_an_example(command):
    done = RUNNER.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: meddenoise {command}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["denoise"], 2, "no input is given"),
        (["denoise", CT, "--method", "nml"], 2, "did you mean 'nlm'?"),
        (["denoise", CT, "--sigma", "much"], 2, "--sigma is 'much': give auto or a number"),
        (
            ["denoise", CT, "--method", "nlm", "--uncertainty"],
            2,
            "--uncertainty needs a method with a sampler",
        ),
        (["denoise", "missing.dcm", "--method", "nlm"], 3, "missing.dcm cannot be read"),
        (["info", "missing.dcm"], 3, "missing.dcm cannot be read"),
        (["weights", "show", "nothing-of-that-name"], 2, "nothing-of-that-name"),
    ],
)
def test_errors_are_one_sentence_on_stderr_and_an_exit_code(arguments, code, words):
    done = RUNNER.invoke(app, arguments)
    assert done.exit_code == code
    assert words in done.stderr
    assert done.stderr.startswith("meddenoise: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_unknown_option_is_wrong_usage():
    assert RUNNER.invoke(app, ["denoise", CT, "--metod", "nlm"]).exit_code == 2


def test_debug_shows_where_an_error_comes_from():
    done = RUNNER.invoke(app, ["--debug", "info", "missing.dcm"])
    assert "missing.dcm" in str(done.exception)
    done = call("--debug", "info", "missing.dcm")
    assert "Traceback" in done.stderr
    assert "Traceback" not in call("info", "missing.dcm").stderr


def test_methods_lists_every_method_with_its_paper():
    from meddenoise.methods import rows

    text = RUNNER.invoke(app, ["methods"]).stdout
    listed = json.loads(RUNNER.invoke(app, ["methods", "--json"]).stdout)
    assert [entry["name"] for entry in listed] == list(rows())
    for entry in listed:
        assert entry["name"] in text
        assert entry["citation"] in text
        assert isinstance(entry["checkpoints"], list)


def test_methods_are_tables_of_80_columns_with_the_gains_of_the_manifest():
    text = RUNNER.invoke(app, ["methods"]).stdout
    tables = text[: text.index("Papers, ")].splitlines()
    assert max(map(len, tables)) <= 80 and "…" not in text
    (direct,) = [
        e for e in json.loads(RUNNER.invoke(app, ["methods", "--json"]).stdout) if e["name"] == "direct"
    ]
    (best,) = [c for c in direct["checkpoints"] if "CT" in c["default_for"]]
    line = next(line for line in tables if line.split()[:1] == [best["name"]] and "/" in line)
    assert f"{best['over_nlm_db']['CT']:+.1f} / {best['over_bm3d_db']['CT']:+.1f}" in line
    assert best["scores"]["over-nlm-ct"] == best["over_nlm_db"]["CT"]
    assert direct["work"] == "one pass" and "CT" in direct["modalities"]


def test_the_cost_of_methods_is_told_relative_to_direct():
    text = RUNNER.invoke(app, ["methods"]).stdout
    costs = {e["name"]: e["cost"] for e in json.loads(RUNNER.invoke(app, ["methods", "--json"]).stdout)}
    assert costs["direct"] == 1 and costs["vpsde-slides"] is None
    assert costs["bm3d"] > costs["nlm"] > costs["direct"] >= costs["diffdenoise"] > 0
    line = next(line for line in text.splitlines() if line.startswith("nlm "))
    assert line.split()[-1] == f"{costs['nlm']:g}"


def test_methods_tells_the_options_that_only_some_have(monkeypatch):
    from dataclasses import replace

    from meddenoise.methods import METHODS
    from tests.drawing import ROW

    monkeypatch.setitem(METHODS, "drawing", replace(ROW, fusion=True))
    options = {
        entry["name"]: entry["options"]
        for entry in json.loads(RUNNER.invoke(app, ["methods", "--json"]).stdout)
    }
    assert options["nlm"] == []
    assert options["drawing"] == [
        "--mode diffusion",
        "--steps",
        "--samples",
        "--uncertainty",
        "--no-fusion",
        "--blind-radius",
    ]
    assert "options of its own: --mode diffusion, " in RUNNER.invoke(app, ["methods"]).stdout


def test_info_tells_what_would_be_read():
    done = RUNNER.invoke(app, ["info", CT, "--json"])
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert facts["modality"] == "CT"
    assert facts["shape"] == [1, 128, 128]
    assert facts["spacing_mm"] == pytest.approx([5.0, 0.661468, 0.661468])
    assert facts["bits"] == 16
    assert facts["photometric"] == "MONOCHROME2"
    assert facts["unit"] == "HU"
    assert facts["noise"]["sigma"] > 0
    low, high = facts["noise"]["range"]
    assert 0 < low <= facts["noise"]["sigma"] <= high
    text = RUNNER.invoke(app, ["info", CT]).stdout
    assert "1 x 128 x 128 pixels, 16 bits, MONOCHROME2" in text


def test_info_tells_two_series_of_a_folder_apart(tmp_path):
    for n in (1, 2):
        dataset = pydicom.dcmread(CT)
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = f"1.2.{n}", n, "Head"
        dataset.save_as(tmp_path / f"{n}.dcm")
    done = RUNNER.invoke(app, ["info", str(tmp_path)])
    for n in (1, 2):
        assert f", Head, series {n} (...1.2.{n})\n" in done.stdout


def test_info_names_what_is_damaged_and_shows_the_rest(tmp_path):
    whole = Path(CT).read_bytes()
    (tmp_path / "good.dcm").write_bytes(whole)
    (tmp_path / "cut.dcm").write_bytes(whole[:-5000])
    (tmp_path / "text.txt").write_text("no image")
    done = RUNNER.invoke(app, ["info", str(tmp_path)])
    assert done.exit_code == 1
    assert "good.dcm" in done.stdout
    assert "cut.dcm" in done.stderr
    assert "files without an image, skipped: 1." in done.stderr


def test_an_error_that_carries_another_code_ends_with_it(monkeypatch):
    def damaged(paths):
        raise CorruptError("x.dcm is cut short: copy it again.")

    monkeypatch.setattr("meddenoise.io.discover", damaged)
    done = RUNNER.invoke(app, ["info", "x.dcm"])
    assert (done.exit_code, done.stderr) == (1, "meddenoise: x.dcm is cut short: copy it again.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_is_no_error_anyone_sees():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "meddenoise", "methods"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141


def test_the_c_locale_and_a_name_outside_it_do_not_end_in_a_traceback(tmp_path):
    name = tmp_path / "Größe.dcm"
    name.write_bytes(Path(CT).read_bytes())
    settings = os.environ | {"LC_ALL": "C", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "meddenoise", "info", str(name)], capture_output=True, env=settings
    )
    assert done.returncode == 0, done.stderr
    assert "Größe".encode() in done.stdout

"""Help and completion: panels, flags without a type, defaults, and what a shell proposes after Tab."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.cli.phantom import DEFAULT_DOSE, DEFAULT_PLANES
from meddenoise.errors import unknown_name
from meddenoise.io.modality import CODES
from meddenoise.methods import METHODS
from meddenoise.phantom import PHANTOMS
from meddenoise.weights.manifest import published
from tests.commands import run
from tests.io_samples import RNG, png

COMMANDS = (
    "denoise", "upscale", "inpaint", "info", "eval", "bench", "train", "methods", "weights", "phantom",
    "simulate", "noise", "serve",
)  # fmt: skip
WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}


def help_of(*command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env=WIDE)
    assert done.exit_code == 0
    return done.stdout


def test_every_command_is_in_one_panel_with_others_of_its_kind() -> None:
    text = help_of()
    panels = re.split(r"╭─ ([^─╮]+) ─", text)[1:]
    shown = dict(zip(panels[::2], panels[1::2], strict=True))
    assert list(shown) == [
        "Options",
        "Work on images",
        "Look and judge",
        "Methods and training",
        "Make and measure noise",
    ]
    inside = [re.findall(r"^│ ([a-z]+) ", panel, re.MULTILINE) for panel in list(shown.values())[1:]]
    assert sorted(name for names in inside for name in names) == sorted(COMMANDS)
    assert inside[0] == ["denoise", "upscale", "inpaint", "serve"]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("weights", "list")])
def test_no_flag_has_a_type(command: tuple[str, ...]) -> None:
    text = help_of(*command)
    assert "--help" in text
    assert "<bool>" not in text
    assert "BOOL" not in text


def test_the_defaults_of_phantoms_are_shown_as_they_are() -> None:
    planes = ", ".join(f"{name} {kind.planes}" for name, kind in PHANTOMS.items())
    doses = ", ".join(f"{name} {kind.dose:g}" for name, kind in PHANTOMS.items() if kind.dose is not None)
    assert (planes, doses) == (DEFAULT_PLANES, DEFAULT_DOSE)
    text = help_of("phantom")
    assert f"[default: ({planes})]" in text
    assert f"[default: ({doses})]" in text


@pytest.mark.parametrize(
    ("typed", "near"),
    [("nml", "nlm"), ("diffdenois", "diffdenoise"), ("Direct", "direct"), ("foo", ""), ("x", ""), ("", "")],
)
def test_a_name_is_proposed_only_where_it_is_near(typed: str, near: str) -> None:
    sentence = str(unknown_name("method", typed, METHODS))
    assert ("did you mean" in sentence) == bool(near)
    assert near in sentence
    assert "valid are" in sentence


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", max_size=12))
@settings(max_examples=200, deadline=None)
def test_what_is_proposed_shares_more_than_half_its_letters(typed: str) -> None:
    found = re.search("did you mean '([^']*)'", str(unknown_name("method", typed, METHODS)))
    if found is not None:
        both = sum(min(typed.count(letter), found[1].count(letter)) for letter in set(typed))
        assert 2 * both >= 0.6 * (len(typed) + len(found[1]))


def tab(shell: str, line: str) -> list[str]:
    """Proposals of a shell at the end of a command line."""
    words = line.split(" ")
    state = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    environment = os.environ | state | {"_MEDDENOISE_COMPLETE": f"complete_{shell}"}
    code = "import sys; sys.argv[0] = 'meddenoise'; from meddenoise.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if shell == "zsh":
        return re.findall(r'"((?:[^"\\]|\\.)*?)":', done.stdout) or re.findall(r'"([^"]*)"', done.stdout)
    return [text.split("\t")[0] for text in lines if text]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_values(shell: str) -> None:
    assert tab(shell, "meddenoise de") == ["denoise"]
    assert tab(shell, "meddenoise denoise --mo") == ["--mode", "--modality"]
    assert tab(shell, "meddenoise denoise --method bef") == ["befoi", "befoi-mixing", "befoi-faithful"]


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("meddenoise denoise --modality ", list(CODES)),
        ("meddenoise denoise --weights v", [name for name in published() if name.startswith("v")]),
        ("meddenoise denoise --method ", ["auto", *METHODS]),
        ("meddenoise denoise --format n", ["nifti", "nrrd"]),
        ("meddenoise upscale --device c", ["cpu", "cuda"]),
        ("meddenoise phantom ", list(PHANTOMS)),
        ("meddenoise weights show medcdiff-", ["medcdiff-upscale", "medcdiff-inpaint"]),
        ("meddenoise train --recipe diffdenoise-o", ["diffdenoise-own"]),
    ],
)
def test_values_come_from_the_tables(line: str, proposed: list[str]) -> None:
    assert tab("bash", line) == proposed


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_script_for_bash_is_one_that_bash_can_run(tmp_path: Path) -> None:
    code = "import sys; sys.argv[0] = 'meddenoise'; from meddenoise.cli.main import run; run()"
    program = tmp_path / "meddenoise"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    script = subprocess.run(
        [program], env=os.environ | {"_MEDDENOISE_COMPLETE": "source_bash"}, capture_output=True, text=True
    ).stdout
    name = re.search(r"-F (\S+)", script)
    assert name is not None
    line = "COMP_WORDS=(meddenoise denoise --meth) COMP_CWORD=2"
    ask = f"{script}\n{line}\n{name[1]} {program}\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("--method", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    study = tmp_path / "study"
    study.mkdir()
    png(study / "a.png", RNG(0).normal(99, 9, (32, 32)).astype("u1"))
    (study / "notes.txt").write_text("no image")
    return study


@pytest.mark.parametrize("command", [("denoise", "--method", "gaussian", "--device", "cpu"), ("info",)])
def test_verbose_names_the_files_that_are_skipped(command: tuple[Any, ...], folder: Path) -> None:
    told = run(*command, folder, "-v").stderr
    assert "files without an image, skipped: 1." in told
    assert f"skipped: {folder / 'notes.txt'}\n" in told
    plain = run(*command, folder).stderr
    assert "skipped: 1." in plain
    assert "notes.txt" not in plain

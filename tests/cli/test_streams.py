"""Standard streams that are closed, full or without a reader, and names no terminal should see raw."""

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from meddenoise.cli import streams
from meddenoise.cli.main import app

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and streams")

CT = Path(str(get_testdata_file("CT_small.dcm")))
PROGRAM = f"{sys.executable} -m meddenoise"
QUICK = "--method gaussian --device cpu --sigma 20"


def shell(command: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    return subprocess.run(["bash", "-c", command], capture_output=True, env=environment, timeout=60)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return Path(shutil.copy(CT, tmp_path / "ct.dcm"))


@pytest.mark.parametrize(
    ("streams", "code", "told"),
    [
        ("--json <&- >&- 2>&-", 0, b""),
        ("-v 2> >(exec 0<&-)", 0, b""),
        ("--json > /dev/full", 1, b"stdout cannot be written (No space left on device)"),
    ],
)
def test_the_image_is_written_whatever_the_streams_are(
    image: Path, streams: str, code: int, told: bytes
) -> None:
    done = shell(f"{PROGRAM} denoise {image} {QUICK} {streams}")
    assert done.returncode == code, done.stderr
    assert told in done.stderr and b"Traceback" not in done.stderr and b"failed" not in done.stderr
    # nothing that was meant for a closed stream ended in the file that got its number
    result = image.with_name("ct_denoised.dcm")
    assert pydicom.dcmread(result).pixel_array.shape == (128, 128)
    assert result.stat().st_size < CT.stat().st_size + 4000


@pytest.mark.parametrize("command", ["--help", "methods", "weights list --json"])
def test_a_full_stdout_is_one_sentence(command: str) -> None:
    done = shell(f"{PROGRAM} {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        b"meddenoise: what is printed cannot be read or written (No space left on device): "
        b"check the place and its space.\n"
    )


def call(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program with its commands replaced by `code`."""
    start = f"import warnings, sys; from meddenoise.cli import main; main.app = lambda: {code}; main.run()"
    return subprocess.run([sys.executable, "-c", start, *arguments], capture_output=True, text=True)


def test_an_error_nobody_thought_of_is_a_sentence_too_but_for_debug() -> None:
    done = call("{}['missing']")
    assert done.returncode == 1
    assert done.stderr == (
        "meddenoise: stopped for an unknown reason (KeyError: 'missing'): "
        "run again with --debug first and report it.\n"
    )
    assert "Traceback" in call("{}['missing']", "--debug").stderr


def test_warnings_of_libraries_are_not_shown_and_ours_are_sentences() -> None:
    ours = (
        "warnings.warn_explicit('the cache is full', UserWarning, 'hub.py', 9, module='meddenoise.weights')"
    )
    theirs = "warnings.warn_explicit('overflow', RuntimeWarning, 'x.py', 9, module='numpy.core')"
    assert call(f"({ours}, {theirs})").stderr == "warning: the cache is full\n"
    assert "overflow" in call(theirs, "--debug").stderr


def test_a_name_that_is_no_utf8_is_read_denoised_and_reported(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.dcm"
    shutil.copy(CT, raw)
    done = shell(f"{PROGRAM} info --json {tmp_path}", LC_ALL="C.UTF-8", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 0, done.stderr
    assert os.fsencode(json.loads(done.stdout)["input"]) == raw
    done = shell(f"{PROGRAM} denoise {tmp_path} {QUICK} --json -v -o {tmp_path}/out")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    report = json.loads((tmp_path / "out" / "meddenoise-report.json").read_text(encoding="utf-8"))
    for row in (report["series"][0], json.loads(done.stdout)):
        assert os.fsencode(row["input"]) == raw
    assert os.path.exists(os.fsencode(tmp_path) + b"/out/caf\xe9.dcm")  # noqa: PTH110


def test_control_characters_in_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    bad = tmp_path / "\x1b[31mred\nline.dcm"
    bad.write_bytes(CT.read_bytes()[:3000])
    shutil.copy(CT, tmp_path / "\x1b]0;title\x07.dcm")
    for command in (["info"], ["denoise", *QUICK.split(), "-v"]):
        done = CliRunner().invoke(app, [*command, str(tmp_path)])
        assert done.exit_code == 1
        for stream in (done.stdout, done.stderr):
            assert not set(stream) & set("\x1b\x07\r")
        assert r"\x1b[31mred\nline.dcm" in done.stderr


def test_a_path_longer_than_the_system_allows_is_a_sentence() -> None:
    done = CliRunner().invoke(app, ["denoise", "n" * 300 + ".dcm"])
    assert done.exit_code == 3
    assert "cannot be read (File name too long)" in done.stderr


def test_a_name_too_long_for_its_result_is_a_failure_like_others(tmp_path: Path) -> None:
    source = Path(shutil.copy(CT, tmp_path / f"{'n' * 250}.dcm"))
    done = CliRunner().invoke(app, ["denoise", str(source), *QUICK.split()])
    assert done.exit_code == 1
    assert "cannot be written (File name too long)" in done.stderr
    assert "0 series written, 1 failed" in done.stderr


def test_lists_may_be_separated_by_nul_and_xargs_works(tmp_path: Path) -> None:
    for number, name in enumerate(("a b.dcm", "new\nline.dcm")):
        image = pydicom.dcmread(CT)
        image.SeriesInstanceUID = f"1.2.{number}"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}.1"
        image.save_as(tmp_path / name)
    for pipe in (f"{PROGRAM} denoise {QUICK} --files-from -", f"xargs -0 {PROGRAM} denoise {QUICK}"):
        done = shell(
            f"find {tmp_path} -maxdepth 1 -name '*.dcm' -print0 | {pipe} -o {tmp_path}/out --overwrite"
        )
        assert done.returncode == 0, done.stderr
        assert sorted(path.name for path in (tmp_path / "out").glob("*.dcm")) == ["a b.dcm", "new\nline.dcm"]


def test_a_list_that_is_no_text_names_what_it_takes_for_a_path() -> None:
    done = CliRunner().invoke(app, ["denoise", "--files-from", "-"], input=CT.read_bytes()[:2000])
    assert done.exit_code == 3
    assert "cannot be read" in done.stderr and "Traceback" not in done.stderr


def on_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines that the program prints on a terminal of so many columns, stdout and stderr."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "meddenoise", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=settings | {"TERM": "xterm", "OMP_NUM_THREADS": "1"},
    )
    os.close(terminal)
    shown = b""
    # Linux ends a terminal that nobody holds any more with an error
    with suppress(OSError):
        while part := os.read(reader, 65536):
            shown += part
    os.close(reader)
    process.wait(timeout=60)
    return shown.decode().replace("\r\n", "\n").splitlines()


def test_a_terminal_gets_the_whole_of_methods_with_no_word_broken() -> None:
    lines = on_terminal(80, "methods")
    assert max(map(len, lines)) <= 80
    piped = shell(f"{PROGRAM} methods").stdout.decode()
    assert max(map(len, piped.splitlines())) > 80
    assert " ".join(lines).split() == piped.split()


def test_a_terminal_gets_errors_with_no_word_broken_and_a_pipe_one_line() -> None:
    arguments = ("info", "a study that is nowhere on this disk.dcm")
    lines = on_terminal(80, *arguments)
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    piped = shell(f"{PROGRAM} {shlex.join(arguments)}").stderr.decode()
    assert piped.count("\n") == 1 and " ".join(lines) == piped.strip()


def test_a_word_longer_than_the_terminal_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "columns_of", lambda stream: 20)
    path = "/data/" + 30 * "x"
    told = streams.fitted(f"a: {path} cannot be read\n  so it 画像画像画像画像", sys.stderr, indent="    ")
    assert told == f"a:\n    {path}\n    cannot be read\n  so it\n    画像画像画像画像"


@pytest.mark.parametrize(("settings", "colour"), [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(image: Path, settings: dict[str, str], colour: bool) -> None:
    if shutil.which("script") is None:
        pytest.skip("needs util-linux's script for a terminal")
    settings = {"TERM": "xterm"} | settings
    done = shell(f"script -qec '{PROGRAM} denoise {image} {QUICK}' /dev/null", **settings)
    assert b"1 series written: 1 " in done.stdout
    assert (b"\x1b[3" in done.stdout or b"\x1b[9" in done.stdout) == colour
    verdicts = re.findall(rb"\x1b\[([0-9;]+)m(ok|no effect|look|reject)\x1b\[0m", done.stdout)
    codes = {b"ok": b"32", b"no effect": b"33", b"look": b"33", b"reject": b"1;31"}
    assert not colour or verdicts
    assert all((code == codes[verdict]) == colour for code, verdict in verdicts)


def test_a_pipe_gets_no_colour(image: Path) -> None:
    done = shell(
        f"{PROGRAM} denoise {image} {QUICK} 2>&1 | cat", TERM="xterm-256color", COLORTERM="truecolor"
    )
    assert b"1 series written: 1 " in done.stdout and b"\x1b" not in done.stdout

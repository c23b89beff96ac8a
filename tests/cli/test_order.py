"""Series are listed by input and number on the terminal, in the report and on the page; JSON as it comes."""

import json
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from meddenoise.cli.main import app

CT = Path(str(get_testdata_file("CT_small.dcm")))
NUMBERS = (10, 2, 1)
LISTED = [("study/1", 4), ("study/2", 1), ("study/2", 2), ("study/2", 10), ("study/10", 3)]
"""Folder and number of the series, in the order they are to be listed."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run over three folders, of which one holds three series, each one file."""
    folder = tmp_path_factory.mktemp("order")
    for place, number in ((10, 3), (1, 4), *((2, number) for number in NUMBERS)):
        (folder / f"study/{place}").mkdir(parents=True, exist_ok=True)
        image = pydicom.dcmread(CT)
        image.SeriesNumber = number
        image.SeriesInstanceUID = f"1.2.{99 - number}.{place}"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.{99 - number}.{place}.1"
        image.save_as(folder / f"study/{place}/IM{number}")
    words = ["denoise", str(folder / "study"), "-o", str(folder / "out"), "--json", "--jobs", "3"]
    done = CliRunner().invoke(app, [*words, "--method", "gaussian", "--sigma", "20", "--device", "cpu"])
    assert done.exit_code == 0, done.stderr
    return folder, done


def found(folder: Path, text: str) -> list[tuple[str, int]]:
    """Folders and numbers of the series in a text, in its order, each once."""
    pattern = rf"{re.escape(str(folder))}/(study/\d+)[^>]*?series (\d+) "
    return list(dict.fromkeys((place, int(number)) for place, number in re.findall(pattern, text)))


def test_the_terminal_lists_them_so_whichever_is_finished_first(told: tuple[Path, Any]) -> None:
    folder, done = told
    lines = [line for line in done.stderr.splitlines() if " -> " in line]
    assert found(folder, "\n".join(lines)) == LISTED


def test_the_report_lists_them_so_and_the_page_too(told: tuple[Path, Any]) -> None:
    folder, _ = told
    document = json.loads((folder / "out/meddenoise-report.json").read_text())
    rows = [f"{row['input']} {row['name']} " for row in document["series"]]
    assert found(folder, "\n".join(rows)) == LISTED
    page = (folder / "out/meddenoise-report.html").read_text()
    table = page[page.index('<table class="all">') : page.index("</table>")]
    assert found(folder, table) == LISTED


def test_json_on_stdout_has_every_series(told: tuple[Path, Any]) -> None:
    folder, done = told
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    text = "\n".join(f"{row['input']} {row['name']} " for row in rows)
    assert sorted(found(folder, text)) == sorted(LISTED)

"""The example scripts run as they stand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_nightly_script_denoises_every_study_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "meddenoise"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m meddenoise "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": path}

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        words = list(map(str, command))
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)

    for kind in ("ct", "mr"):
        study = tmp_path / "in" / kind
        made = run("meddenoise", "phantom", kind, tmp_path / kind, "--size", 64, "--slices", 2)
        assert made.returncode == 0, made.stderr
        study.parent.mkdir(exist_ok=True)
        (tmp_path / kind / "noisy").rename(study)
    (tmp_path / "in" / "empty").mkdir()
    command = (ROOT / "examples" / "nightly.sh", tmp_path / "in", tmp_path / "out", "--method", "gaussian")
    first = run(*command)
    assert first.returncode == 0, first.stderr
    assert "empty: no image in it" in first.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "series.jsonl").read_text().splitlines()]
    assert sorted(line["modality"] for line in lines) == ["CT", "MR"]
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.dcm")}
    assert len(written) == 4
    assert run(*command).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.dcm")} == written


@pytest.mark.slow
@pytest.mark.network
def test_the_notebook_runs_from_dicom_to_figure(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    book = nbformat.read(ROOT / "examples" / "dicom_to_figure.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "committed without what it gave"
    kernel = {"metadata": {"path": str(tmp_path)}}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environment)
        nbclient.NotebookClient(book, timeout=300, resources=kernel).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    told = "".join(output.get("text", "") for output in outputs)
    before, after = map(float, re.findall(r"([\d.]+) HU", told)[:2])
    assert 0 < after < before / 2
    assert "verdict: " in told
    assert "ndarray (256, 256) float32" in told
    assert any("image/png" in output.get("data", {}) for output in outputs)

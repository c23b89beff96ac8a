"""The example scripts run as they stand."""

import json
import os
import subprocess
import sys
from pathlib import Path

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

"""`tools/release.py --check`: the checkout builds, and what is wrong with a wheel is told."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools.release import LARGEST_WHEEL, ROOT, check_sdist, check_versions, check_wheel


def test_the_versions_of_this_checkout_agree() -> None:
    assert list(check_versions()) == []


def test_versions_that_differ_are_told(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "meddenoise/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    code = tmp_path / "meddenoise" / "version.py"
    code.write_text(code.read_text().replace('"0.', '"7.'))
    (line,) = check_versions(tmp_path)
    assert "meddenoise/version.py does not" in line


def test_the_versions_of_python_that_are_tested_are_stated() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (tested,) = re.findall(r"python: \[(.*)\]", workflow)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert stated == re.findall(r"[\d.]+", tested)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert [f"- name: {author['name']}" in citation for author in project["authors"]] == [True]


def test_what_a_wheel_lacks_is_told(tmp_path: Path) -> None:
    wheel = tmp_path / "meddenoise-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("meddenoise-0.1.0.dist-info/METADATA", "Name: meddenoise\nVersion: 0.1.0\n\n")
        archive.writestr("tests/x.py", "")
    lines = list(check_wheel(wheel))
    assert {"the metadata state no Author", "no classifier begins with Topic"} <= set(lines)
    assert "the metadata state no Requires-Python" in lines and "the metadata have no description" in lines
    assert any(line.endswith("lacks weights_manifest.toml") for line in lines)
    assert any(line.endswith("lacks checkpoints/direct.safetensors") for line in lines)
    assert any(line.endswith("holds tests/x.py") for line in lines)
    assert LARGEST_WHEEL == 100_000_000


def test_what_an_sdist_lacks_is_told(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(ROOT / "LICENSE", "meddenoise-0.1.0/LICENSE")
    lines = list(check_sdist(tmp_path / "a.tar.gz"))
    assert "a.tar.gz lacks README.md" in lines and "a.tar.gz lacks LICENSE" not in lines


@pytest.mark.slow
def test_this_checkout_builds_and_installs_into_an_empty_environment() -> None:
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    command = [sys.executable, str(ROOT / "tools" / "release.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "-py3-none-any.whl: " in done.stdout and ".tar.gz: " in done.stdout

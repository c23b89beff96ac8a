"""The steps of the containers, without Docker: an empty folder, another user, a package nobody may write."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from meddenoise.batch.node.settings import read_settings
from tests.batch.node.machines import make_series

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NOBODY = 65534
SYSTEM = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
PYTHON = SYSTEM if SYSTEM.exists() else Path(sys.executable)
"""That of the system where it is the same version: others may not be open to all users."""
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
LIBRARIES = [path for path in map(Path, sys.path) if path.name == "site-packages"]
WAYS = (["unshare", "-n", *AS_NOBODY], AS_NOBODY, ["unshare", "-rn"])
"""Without network as another user where root runs the tests, else as much of it as there is."""


@contextmanager
def open_folder():
    """A temporary folder that every user may enter: those of pytest are closed again by its next run."""
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image():
    """Contents of the image: the files that the build takes, read-only, and a program that runs them."""
    with open_folder() as root:
        fill(root)
        yield root


def fill(root):
    taken = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert sorted(shlex.split(" ".join(copied))) == sorted(taken)
    site = root / "site"
    shutil.copytree(ROOT / "meddenoise", site / "meddenoise", ignore=shutil.ignore_patterns("__pycache__"))
    # where the wheel puts it
    shutil.copy(ROOT / "weights_manifest.toml", site / "meddenoise")
    (root / "bin").mkdir()
    (root / "bin" / "python3").write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    (root / "bin" / "meddenoise").write_text(f'#!/bin/sh\nexec {PYTHON} -m meddenoise "$@"\n')
    for path in (root, *root.rglob("*")):
        path.chmod(0o555)


class Container:
    """Runs commands as `docker run --read-only --tmpfs /tmp --network none` would."""

    def __init__(self, image, folder):
        self.image, self.folder = image, folder
        variables = dict(re.findall(r"(\w+)=(\S+)", re.search(r"^ENV (.+)$", DOCKERFILE, re.MULTILINE)[1]))
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        variables |= {
            "PATH": f"{image / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join([str(image / "site"), *map(str, LIBRARIES)]),
            "HOME": str(self.tmp),
            "TMPDIR": str(self.tmp),
            "OMP_NUM_THREADS": "1",
        }
        self.variables = variables
        self.before = next((words for words in WAYS if self._works(words)), [])

    def _works(self, words):
        """True if a way of running a command is open to this user and reaches Python and its libraries."""
        command = [*words, str(self.image / "bin" / "python3"), "-c", "import numpy, pydicom, meddenoise"]
        try:
            done = subprocess.run(command, capture_output=True, cwd="/", env=self.variables)
        except FileNotFoundError:
            return False
        return done.returncode == 0

    def run(self, *command, **variables):
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        for path in (self.folder, *self.folder.rglob("*")):  # whatever the umask
            path.chmod(0o777 if path.is_dir() else 0o644)
        words = [*self.before, *map(str, command)]
        environment = self.variables | variables
        done = subprocess.run(words, cwd=empty, env=environment, capture_output=True, text=True)
        assert not list(empty.iterdir()), "something was written where nothing can be"
        return done


@pytest.fixture
def container(image):
    with open_folder() as folder:
        yield Container(image, folder)


def results(folder):
    return sorted(path.name for path in folder.glob("*.dcm"))


@pytest.mark.slow
def test_denoise_runs_offline_as_another_user_from_a_package_nobody_can_write(container):
    folder = container.folder
    make_series(folder / "in", "container", 2)
    (folder / "out").mkdir()
    done = container.run("meddenoise", "denoise", folder / "in", "-o", folder / "out")
    assert done.returncode == 0, done.stderr
    assert results(folder / "out") == ["000.dcm", "001.dcm"]
    if "setpriv" in container.before:
        assert (folder / "out" / "000.dcm").stat().st_uid == NOBODY


@pytest.mark.slow
def test_the_mercure_module_denoises_with_the_options_of_its_settings(container):
    folder = container.folder
    make_series(folder / "in", "mercure", 2)
    (folder / "out").mkdir()
    module = json.loads((ROOT / "docker" / "mercure-module.json").read_text())["meddenoise"]
    assert json.loads(module["docker_arguments"])["read_only"] is True
    assert module["settings"]["options"].startswith("--method")
    task = {"process": {"settings": {"options": "--method gaussian --strength 0.5"}}}
    (folder / "in" / "task.json").write_text(json.dumps(task))
    places = {"MERCURE_IN_DIR": str(folder / "in"), "MERCURE_OUT_DIR": str(folder / "out")}
    script = ROOT / "docker" / "mercure-entrypoint.sh"
    shutil.copy(script, folder / "docker-entrypoint.sh")
    done = container.run("sh", folder / "docker-entrypoint.sh", **places)
    assert done.returncode == 0, done.stderr
    assert results(folder / "out") == ["000.dcm", "001.dcm"]
    assert "(gaussian)" in dcmread(folder / "out" / "000.dcm").SeriesDescription
    (folder / "in" / "task.json").write_text(json.dumps({"process": {"settings": {"options": "--nothing"}}}))
    assert container.run("sh", folder / "docker-entrypoint.sh", **places).returncode == 2


def test_rules_ports_and_places_of_the_containers_fit_together():
    settings = read_settings(ROOT / "docker" / "node.toml")
    archive = json.loads((ROOT / "docker" / "orthanc.json").read_text())
    compose = (ROOT / "compose.yaml").read_text()
    assert settings.node is not None
    (destination,) = settings.send
    assert (destination.port, destination.ae_title) == (archive["DicomPort"], archive["DicomAet"])
    assert archive["DicomModalities"]["meddenoise"] == [settings.node.ae_title, "node", settings.node.port]
    assert archive["DicomAet"] in settings.node.allow
    assert f"\n  {destination.host}:\n" in compose
    assert f"127.0.0.1:{settings.node.port}:{settings.node.port}" in compose
    assert f"spool:{settings.node.spool}" in compose
    assert f"127.0.0.1:{settings.health_port}/health" in DOCKERFILE
    assert f"EXPOSE {settings.node.port}" in DOCKERFILE
    for source in re.findall(r"- \./(\S+?):", compose):
        assert (ROOT / source).is_file()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "node" in extras
    assert '".[node]"' in DOCKERFILE


def test_the_example_of_the_document_is_a_file_that_is_understood(tmp_path):
    text = (ROOT / "docs" / "node.md").read_text()
    (tmp_path / "node.toml").write_text(re.search(r"```toml\n(.+?)```", text, re.DOTALL)[1])
    settings = read_settings(tmp_path / "node.toml")
    assert [rule.options.method for rule in settings.rules] == ["auto", "direct", "direct", "auto"]
    assert settings.rules[1].options.strength == 0.8

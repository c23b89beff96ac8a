"""The machines around a node, as real programs on loopback: DCMTK as modality, Orthanc as archive."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import generate_uid

from tests.io_samples import ct_slice, save

HOST = "127.0.0.1"
SIZE = 40
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def missing() -> str:
    """The reason why the tests cannot run here; empty if they can."""
    found = {"Orthanc": shutil.which("Orthanc"), "storescu": storescu()}
    names = [name for name, path in found.items() if path is None]
    return f"not installed: {', '.join(names)} (packages orthanc and dcmtk)" if names else ""


@cache
def storescu() -> str | None:
    """Path of DCMTK's storescu: pynetdicom's, of the same name, comes first in its environment."""
    for folder in os.get_exec_path():
        path = shutil.which("storescu", path=folder)
        if path is not None:
            told = subprocess.run([path, "--version"], capture_output=True, check=False)
            if b"dcmtk" in told.stdout:
                return path
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, limit_s: float = 180.0) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {limit_s:.0f} s for {what}")


def make_series(folder: Path, name: str, planes: int = 2, **changes: Any) -> Path:
    """A CT series of a bright square with noise: `name` makes its pixels and its UIDs."""
    rng = np.random.default_rng([*name.encode()])
    scene = np.zeros((SIZE, SIZE))
    scene[12:28, 12:28] = 200
    for number in range(planes):
        dataset = ct_slice(number)
        pixels = (scene + rng.normal(0, 20, scene.shape) + 1024).astype(np.int16)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        dataset.PatientName, dataset.PatientID = "Secret^Person", "SECRET-ID"
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", name])
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", name])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", name, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        save(dataset, folder / f"{number:03d}.dcm")
    return folder


def store(
    files: Sequence[Path],
    port: int,
    *options: str,
    calling: str = "CT1",
    called: str = "MEDDENOISE",
) -> int:
    """The exit code of storescu, which sends files over one association."""
    program = storescu()
    assert program is not None
    command = [program, *options, "-aet", calling, "-aec", called, HOST, str(port), *map(str, files)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


class Machine:
    """A program that is started, stopped and killed; what it writes goes to a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str]) -> None:
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM, limit_s: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(limit_s)
        self.process = None
        return code

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")


class Archive(Machine):
    """Orthanc with an empty store."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self.web = free_port(), free_port()

    def start(self) -> None:
        settings = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "store"),
            "IndexDirectory": str(self.folder / "store"),
            "HttpPort": self.web,
            "DicomPort": self.port,
            "DicomAet": "PACS",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
        }
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        self.launch(["Orthanc", str(self.folder / "orthanc.json")])
        wait_for(self._answers, "Orthanc")

    def get(self, path: str) -> Any:
        """Answer of the REST interface."""
        with urllib.request.urlopen(f"http://{HOST}:{self.web}{path}", timeout=10) as answer:
            content = answer.read()
        return (
            json.loads(content) if answer.headers["Content-Type"].startswith("application/json") else content
        )

    def series(self) -> dict[str, dict[str, Any]]:
        """All series, by SeriesInstanceUID."""
        listed = self.get("/series?expand")
        return {one["MainDicomTags"]["SeriesInstanceUID"]: one for one in listed}

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except OSError:
            return False
        return True


FILTERS = (
    '[[rule]]\ndescription = "leave"\nskip = true\n'
    '[[rule]]\nmodality = "CT"\nmethod = "gaussian"\ndevice = "cpu"\n'
)


class Node(Machine):
    """`meddenoise serve`, by default with rules for quick filters, sending to an archive."""

    def __init__(self, folder: Path, destinations: str, rules: str = FILTERS, **settings: Any) -> None:
        super().__init__(folder)
        self.port, self.health_port = free_port(), free_port()
        quiet = settings.pop("quiet_s", 0.4)
        more = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        (folder / "node.toml").write_text(
            f"quiet_s = {quiet}\nhealth_port = {self.health_port}\nsend_rejected = true\n"
            f'[node]\nport = {self.port}\nallow = ["CT1", "CT2"]\nspool = "spool"\n{more}\n'
            f"{destinations}\n{rules}"
        )

    def start(self) -> None:
        self.launch([sys.executable, "-m", "meddenoise", "serve", str(self.folder / "node.toml"), "-v"])
        wait_for(self.health, "the node")

    def health(self) -> Any:
        """Answer of the health endpoint, None if there is none."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.health_port}/health", timeout=5) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    @property
    def idle(self) -> bool:
        """True if nothing is on its way."""
        state = self.health()
        return state is not None and not (
            state["receiving"] or state["waiting"] or any(state["sending"].values())
        )

    @property
    def spool(self) -> Path:
        return self.folder / "spool"


def by_cstore(archive: Archive, name: str = "pacs", retry_s: float = 1.0) -> str:
    """The table [[send]] for an archive."""
    return (
        f'[[send]]\nname = "{name}"\nhost = "{HOST}"\nport = {archive.port}\nae_title = "PACS"\n'
        f"retry_s = {retry_s}\n"
    )


def by_web(archive: Archive) -> str:
    """The same by DICOMweb."""
    return f'[[send]]\nname = "web"\nurl = "http://{HOST}:{archive.web}/dicom-web"\nretry_s = 1\n'


def kill_all(*machines: Machine) -> None:
    for machine in machines:
        if machine.process is not None and machine.process.poll() is None:
            os.kill(machine.process.pid, signal.SIGKILL)
            machine.process.wait()

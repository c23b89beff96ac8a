"""A Slurm of one node, from Debian's packages, for as long as a test needs it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=2500 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm_site(folder: Path) -> Iterator[Path]:
    """The daemons of a Slurm with its files in `folder`; gives the path of its configuration.

    Skips the test where Slurm is not installed, or may not be started.
    """
    if os.geteuid() != 0 or not all(shutil.which(name) for name in NEEDED):
        pytest.skip("needs root and Debian's slurmctld, slurmd, slurm-client and munge")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key, configuration = folder / "key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2), cores=os.cpu_count())
    configuration.write_text(text)
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    daemons = [
        ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket", *files],
        ["slurmctld", "-D", "-f", str(configuration), "-L", str(folder / "slurmctld.log")],
        ["slurmd", "-D", "-f", str(configuration), "-L", str(folder / "slurmd.log")],
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            if command[0] == "munged":
                _until(lambda: (folder / "munge.socket").exists())
        _until(lambda: "idle" in _sinfo(configuration))
        yield configuration
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=10)
            daemon.kill()


def _sinfo(configuration: Path) -> str:
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    return subprocess.run(
        ["sinfo", "-h"], env=environment, capture_output=True, text=True, check=False
    ).stdout


def _until(done: Callable[[], bool], patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > end:
            pytest.skip("the daemons of Slurm do not come up here")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports

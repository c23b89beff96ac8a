"""A Dask cluster to denoise on: one that runs, one started on this machine, or one asked of Slurm.

Dask is imported when a cluster is opened only (extra `cluster`).
"""

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from meddenoise.batch.slurm import SlurmJobs, missing_package, open_slurm
from meddenoise.errors import ClusterError, UsageError
from meddenoise.io.temporary import temporary_folder

KINDS = ("local", "slurm")
LOOPBACK = "127.0.0.1"
CORES = 4
"""Processor cores of a worker on this machine, where nothing says how many there are to be."""
THREADS = 2
"""Of a worker: while one series is in the network, another is read or written."""
PATIENCE_S = 30.0
"""Time for a scheduler to answer, and for the workers of a cluster that runs to appear."""


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The cluster of --cluster: a `kind` to start with `workers` of its own, or the `address` of another."""

    kind: str = ""
    workers: int | None = None
    address: str = ""


def parse_cluster(text: str) -> ClusterChoice:
    """`local`, `local:4`, `slurm`, `slurm:4`, or an address such as tcp://host:8786. Raises UsageError."""
    kind, _, number = text.partition(":")
    if kind in KINDS:
        if (":" in text and not number.isdecimal()) or number == "0":
            raise UsageError(f"--cluster is {text!r}: give a number of workers, such as {kind}:4.")
        return ClusterChoice(kind, int(number) if number else None)
    if re.fullmatch(r"((tcp|tls|wss?)://)?[^\s/]+:\d+", text):
        return ClusterChoice(address=text)
    raise UsageError(
        f"--cluster is {text!r}: give local, local:N, slurm, slurm:N, or the address of a scheduler, "
        "such as tcp://host:8786."
    )


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open cluster."""

    client: Any
    """Of `distributed`."""
    name: str
    threads: int
    """Of all workers that there are or were asked for: series that can be worked on at a time."""
    jobs: SlurmJobs | None = None
    """The jobs of Slurm, if its workers are such."""

    @property
    def is_gone(self) -> bool:
        """True if the scheduler has ended or is out of reach."""
        comm = self.client.scheduler_comm
        return self.client.status != "running" or comm is None or comm.comm.closed()

    def check_sight(self, source: Path, output: Path) -> None:
        """Raises ClusterError where a worker cannot read the file `source` of this machine under the same
        path, or write to the folder `output`, or into which it is to be made."""
        # exists raises where a name is too long
        there = next(place for place in (output, *output.parents) if os.path.exists(place))  # noqa: PTH110
        for path, access, do in ((source, os.R_OK, "read"), (there, os.W_OK, "write to")):
            for address, may in self.client.run(os.access, str(path), access).items():
                if not may:
                    raise ClusterError(
                        f"the worker {address} cannot {do} {path}: inputs and output must be in folders that "
                        "all workers see under the same path."
                    )

    def listen(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` with every message of workers on a topic."""
        self.client.subscribe_topic(topic, lambda event: handler(event[1]))


@contextmanager
def open_cluster(wanted: ClusterChoice, device: str) -> Iterator[Cluster]:
    """The cluster that is wanted, for work on `device`; what was started for it ends with the block.

    Raises UsageError where the extra is missing or Slurm's settings are incomplete, ClusterError where no
    scheduler or worker answers or a worker has another version of meddenoise.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        jobs = None
        if wanted.kind == "local":
            place: Any = stack.enter_context(_local(wanted.workers, device))
            count = len(place.worker_spec)
            name = f"{count} worker{'s' * (count > 1)} on this machine"
            threads = THREADS * count
        elif wanted.kind == "slurm":
            count = wanted.workers or 1
            jobs = stack.enter_context(open_slurm(count, THREADS))
            place = jobs.cluster
            name, threads = f"{count} job{'s' * (count > 1)} of Slurm", THREADS * count
        else:
            place, name, threads = wanted.address, wanted.address, 0
        try:
            client: Any = stack.enter_context(
                distributed.Client(place, timeout=PATIENCE_S, set_as_default=False)
            )
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {name}: start one with `dask scheduler`, or check the address."
            ) from error
        if not wanted.kind:
            threads = _threads_of(client, name)
        yield Cluster(client, name, threads, jobs)


def _threads_of(client: Any, name: str) -> int:
    """Threads of the workers of a cluster that runs. Raises ClusterError where it has none that fit."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=PATIENCE_S)
    threads: dict[str, int] = client.nthreads()
    if not threads:
        raise ClusterError(f"the cluster at {name} has no workers: start some with `dask worker {name}`.")
    ours = version("meddenoise")
    for address, theirs in client.run(version, "meddenoise", on_error="return").items():
        if theirs != ours:
            has = f"version {theirs}" if isinstance(theirs, str) else "none"
            raise ClusterError(
                f"the worker {address} needs meddenoise {ours}, as here, and has {has}: install it there."
            )
    return sum(threads.values())


@contextmanager
def _local(workers: int | None, device: str) -> Iterator[Any]:
    """Worker processes on this machine, a GPU each where there are some, sharing its cores."""
    import dask
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = _gpus(device)
    count = workers or len(gpus) or max(1, cores // CORES)
    with temporary_folder() as scratch, dask.config.set({"temporary-directory": str(scratch)}):
        options = {
            "host": LOOPBACK,
            "nthreads": THREADS,
            "memory_limit": 0,
            "local_directory": str(scratch),
            "silence_logs": logging.CRITICAL,
        }
        spec = {}
        for number in range(count):
            env = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count)))}
            if gpus:
                env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
            spec[number] = {"cls": Nanny, "options": {**options, "env": env}}
        scheduler = {"cls": Scheduler, "options": {"host": LOOPBACK, "port": 0, "dashboard": False}}
        with ExitStack() as stack:
            with _interrupts_held():
                cluster = stack.enter_context(
                    SpecCluster(workers=spec, scheduler=scheduler, silence_logs=logging.CRITICAL)
                )
            yield cluster


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A block whose threads, and what these ever start, get no SIGINT; one sent to this process comes after.

    Ctrl-C goes to every process of the terminal: the workers, which end with this process, would each print
    a traceback. Dask starts them, and those that take the place of lost ones, from threads of the block.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start, from one of the threads, would let SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _gpus(device: str) -> list[str]:
    """The GPUs to give to workers, as CUDA_VISIBLE_DEVICES names them; none where the user chose one or the
    CPU."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]

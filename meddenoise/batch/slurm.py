"""Workers that are jobs of Slurm: asked for, asked for again where they ended, waited for with a reason."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from meddenoise.errors import ClusterError, UsageError

CORES = 4
"""Processor cores of a job, where Dask's configuration does not say."""
MEMORY = "16GB"
"""Of a job, where Dask's configuration does not say."""
GONE = 2
"""Looks in a row that must find no job before they count as ended: one may be on its way."""

UNKNOWN = "Invalid job id"
"""Answer of `squeue` about a single job that is over."""


@dataclass(slots=True)
class SlurmJobs:
    """The jobs of a run."""

    cluster: Any
    """Of `dask_jobqueue`."""
    count: int
    _empty: int = field(default=0, init=False)

    def ask(self) -> None:
        """Submit as many jobs as are missing."""
        self.cluster.scale(jobs=self.count)

    def look(self, begun: bool) -> str:
        """The reason why no job has begun; empty once one has, and jobs that are over are then renewed.

        Raises ClusterError where all jobs ended without one having begun to work.
        """
        if begun:
            self.ask()
            return ""
        states = self._states()
        self._empty = 0 if states else self._empty + 1
        if self._empty >= GONE:
            raise ClusterError(
                "the jobs of Slurm ended before they began to work: their logs (slurm-*.out, or in "
                "jobqueue.slurm.log-directory of Dask's configuration) say why."
            )
        if not states or any(" RUNNING " in state for state in states):
            return ""
        return (
            f"no job of Slurm has begun yet: {'; '.join(states)}. What a job asks for is set by "
            "jobqueue.slurm in Dask's configuration."
        )

    def _states(self) -> list[str]:
        """Number, state and reason of each job that Slurm has, as `squeue` gives them."""
        numbers = [str(job.job_id) for job in self.cluster.workers.values() if getattr(job, "job_id", None)]
        if not numbers:
            return ["not submitted"]
        command = ["squeue", "--noheader", "--jobs", ",".join(numbers), "--format", "%i %T (%r)"]
        seen = subprocess.run(command, capture_output=True, text=True, check=False)
        if seen.returncode and UNKNOWN not in seen.stderr:  # its controller may be down for a while
            return [seen.stderr.strip()]
        return sorted(seen.stdout.splitlines())


@contextmanager
def open_slurm(count: int, threads: int) -> Iterator[SlurmJobs]:
    """`count` jobs of `threads` threads each, as Dask's configuration (jobqueue.slurm) describes them.

    Raises UsageError where its settings are incomplete or Slurm is not there.
    """
    try:
        import dask
        from dask_jobqueue.slurm import SLURMCluster
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    cores = dask.config.get("jobqueue.slurm.cores", None) or CORES
    memory = dask.config.get("jobqueue.slurm.memory", None) or MEMORY
    try:
        cluster = SLURMCluster(
            cores=cores,
            processes=1,
            memory=memory,
            job_script_prologue=[
                *(dask.config.get("jobqueue.slurm.job-script-prologue", None) or []),
                f"export OMP_NUM_THREADS={cores}",
            ],
            worker_extra_args=[
                *(dask.config.get("jobqueue.slurm.worker-extra-args", None) or []),
                "--nthreads",
                str(threads),
            ],
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--cluster slurm cannot be started ({error}): set jobqueue.slurm in Dask's configuration."
        ) from error
    with cluster:
        jobs = SlurmJobs(cluster, count)
        jobs.ask()
        yield jobs


def missing_package(error: ModuleNotFoundError) -> UsageError:
    """The sentence for a package of the extra `cluster` that is not installed."""
    return UsageError(
        f"--cluster needs the package {error.name!r}: install meddenoise with its extra, "
        "pip install 'meddenoise[cluster]'."
    )

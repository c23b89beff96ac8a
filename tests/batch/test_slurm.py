"""Series as jobs of a real Slurm: held, begun, cancelled on the way, and jobs that cannot begin."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from meddenoise.batch import Outcome, Request, fleet, run
from meddenoise.batch.slurm import GONE, SlurmJobs
from meddenoise.batch.workers import Orders
from meddenoise.errors import ClusterError
from tests.batch.slurm_site import slurm_site
from tests.batch.test_batch import Ears
from tests.batch.test_cluster import SERIES, SLOW, alone, images, study  # noqa: F401 (two are fixtures)

dask = pytest.importorskip("dask")
pytest.importorskip("dask_jobqueue")
JOB = {"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "2GB"}
"""A worker that comes near to its memory is ended by Dask, again and again."""
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with slurm_site(tmp_path_factory.mktemp("slurm")) as configuration:
        yield configuration


@pytest.fixture
def slurm(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(site))
    monkeypatch.setattr(fleet, "LOOK_AT_JOBS_S", 2.0)
    monkeypatch.chdir(tmp_path)  # logs of jobs


def jobs(*command: str) -> list[str]:
    """Output of a command of Slurm, line by line."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


class Operator(Ears):
    """Lets held jobs go once the run says that they wait, and cancels the first after its first series."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()
        self.releasing = threading.Thread(target=self._release)

    def _release(self) -> None:
        while not self.over.wait(1):
            for number in jobs("squeue", "-h", "-t", "PENDING", "-o", "%i"):
                jobs("scontrol", "release", number)

    def noted(self, text: str) -> None:
        super().noted(text)
        if not self.releasing.is_alive():
            self.releasing.start()

    def written(self, row: dict[str, object]) -> None:
        if not self.rows:
            jobs("scancel", *jobs("squeue", "-h", "-o", "%i"))
        super().written(row)


def test_a_held_job_is_told_and_a_cancelled_one_is_asked_for_again(
    study: Path,  # noqa: F811
    alone: dict[str, bytes],  # noqa: F811
    tmp_path: Path,
) -> None:
    operator = Operator()
    orders = Orders(options=SLOW, cluster="slurm:1")
    with dask.config.set(JOB | {"jobqueue.slurm.job-extra-directives": ["--hold"]}):
        request = Request(inputs=(study,), output=tmp_path / "out", orders=orders)
        try:
            outcome = run(request, operator)
        finally:
            operator.over.set()
    note = operator.notes[0]
    assert "PENDING (JobHeldUser)" in note and "jobqueue.slurm" in note
    assert not operator.failures and outcome == Outcome(SERIES, 0, 0)
    assert "1 job of Slurm" in operator.device
    assert images(tmp_path / "out") == alone
    assert len(list(tmp_path.glob("slurm-*.out"))) == 2, "two jobs did it"


def test_jobs_that_end_at_once_end_the_run_with_a_sentence(study: Path, tmp_path: Path) -> None:  # noqa: F811
    orders = Orders(options=SLOW, cluster="slurm:2")
    request = Request(inputs=(study,), output=tmp_path / "out", orders=orders)
    with (
        dask.config.set(JOB | {"jobqueue.slurm.job-script-prologue": ["exit 1"]}),
        pytest.raises(ClusterError, match="ended before they began to work: their logs"),
    ):
        run(request, Ears())


def test_a_controller_that_is_down_is_told_and_does_not_count_as_jobs_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Job:
        job_id = 1

    class Jobs:
        workers: ClassVar = {"0": Job()}

    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    (tmp_path / "slurm.conf").write_text(
        "ClusterName=none\nSlurmctldHost=localhost\nSlurmctldPort=1\nMessageTimeout=1\n"
    )
    asked = SlurmJobs(Jobs(), 1)
    found = [asked.look(begun=False) for _ in range(GONE + 1)]
    assert all("no job of Slurm has begun yet: " in text and "slurm" in text.split(": ")[1] for text in found)

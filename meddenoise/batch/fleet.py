"""The series of a run as tasks of a cluster: sent to its workers, waited for, recorded here."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from uuid import uuid4

from meddenoise.batch.cluster import Cluster
from meddenoise.batch.errand import TOPIC, Answer, Errand, Told, run_errand
from meddenoise.batch.listener import Listener
from meddenoise.batch.workers import Crew, Job, Orders, _Progress, _StoppedError
from meddenoise.errors import ClusterError, InputError, UsageError
from meddenoise.io.temporary import remove_unfinished
from meddenoise.report import Row

AHEAD = 16
"""Fewest series that are with the cluster at a time: workers may join."""
LOOK_S = 0.5
"""Interval of checks whether the run is over or the scheduler gone."""
LOOK_AT_JOBS_S = 20.0
"""The same of what has become of the jobs of Slurm."""


class Fleet(Crew):
    """A crew whose series are denoised by the workers of a cluster; lock, report and progress are here."""

    def __init__(self, orders: Orders, listener: Listener, cluster: Cluster) -> None:
        super().__init__(orders, listener)
        self._cluster = cluster
        self._progress: dict[str, _Progress] = {}
        self._patterns: set[str] = set()
        self._guard = threading.Lock()
        self._looked, self._waits = time.monotonic(), ""
        cluster.listen(TOPIC, lambda message: self._hear(Told(*message)))

    @property
    def threads(self) -> int:
        """Enough to keep every worker busy: each thread here waits for one series."""
        return max(2 * self._cluster.threads, AHEAD)

    def work(self, jobs: Sequence[Job]) -> None:
        """As of a crew. Raises ClusterError where workers do not see the files, or the cluster ends early."""
        if jobs:
            task = jobs[0].task
            self._cluster.check_sight(task.item.files[0], task.targets[0].parent)
        super().work(jobs)

    def tidy(self, jobs: Sequence[Job]) -> None:
        """Remove the unfinished files of workers that were killed, once none of them works on these jobs."""
        folders = {path.parent for job in jobs for path in job.task.targets}
        for pattern in self._patterns:
            remove_unfinished(folders, pattern)

    def _make(self, job: Job, digest: str, progress: _Progress) -> Row:
        """The row of a series that is done by a worker; recorded."""
        place, key = job.place, f"meddenoise-{uuid4()}"
        errand = Errand(key, job.task, self._orders, job.reference, place.wants_drawing, place.brief)
        with self._guard:
            self._progress[key] = progress
        place.begin(digest)
        try:
            answer = self._wait(errand)
        except (ClusterError, _StoppedError):
            place.keep_marks()  # a worker may be about to give files their names
            raise
        finally:
            with self._guard:
                del self._progress[key]
        if answer.is_usage:
            raise UsageError(answer.error)
        if answer.row is None:
            raise InputError(answer.error)
        if answer.drawing is not None and place.wants_drawing:
            place.hang(digest, answer.drawing)
        place.record(answer.row, answer.device, answer.precision)
        return answer.row

    def _wait(self, errand: Errand) -> Answer:
        """The answer of a worker; of another one where the first is lost."""
        from distributed import KilledWorker

        future = self._cluster.client.submit(run_errand, errand, key=errand.key, pure=False)
        try:
            while True:
                self.check()
                if self._cluster.is_gone:
                    raise self._gone()
                try:
                    answer: Answer = future.result(timeout=LOOK_S)
                    return answer
                except TimeoutError:
                    if future.status == "error":
                        raise
                    self._look_at_jobs()
        except CancelledError as error:
            raise self._gone() from error
        except KilledWorker as error:
            raise InputError(
                f"{errand.task.item.path} was given up: {error.allowed_failures + 1} workers ended "
                "while working on it, as they do when memory runs out; denoise it without --cluster."
            ) from error
        finally:
            if not self._cluster.is_gone:
                future.cancel()

    def _look_at_jobs(self) -> None:
        """Tell why jobs of Slurm wait, and have those that are over replaced, now and then."""
        jobs = self._cluster.jobs
        with self._guard:
            if jobs is None or time.monotonic() < self._looked + LOOK_AT_JOBS_S:
                return
            self._looked = time.monotonic()
        waits = jobs.look(begun=self._started)
        if waits and waits != self._waits:
            self._waits = waits
            self.tell(lambda: self._listener.noted(waits))

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler of the cluster ({self._cluster.name}) is gone: finished results stay; "
            "give the same command to go on."
        )

    def _hear(self, told: Told) -> None:
        """Pass on how far a worker is. A second attempt counts once it is further than the first was."""
        with self._guard:
            progress = self._progress.get(told.key)
            if progress is None:
                return
            self._patterns.add(told.pattern)
        if told.started and not self._started:
            self._started = True
            where = f"{self._cluster.name}; the first: {told.started}"
            self.tell(lambda: self._listener.started(where))
        if told.images > progress.done:
            progress.advance(told.images - progress.done)

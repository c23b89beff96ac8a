"""The threads of a run: some series in the engine, one more being read, one being written."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from meddenoise.batch.finished import Finished
from meddenoise.batch.folder import Place
from meddenoise.batch.listener import Listener
from meddenoise.batch.rows import Images, compare, draw, row_of, sentence_of
from meddenoise.batch.tasks import Task, fingerprint, map_path, refuse_existing, stamp
from meddenoise.batch.turns import Turns
from meddenoise.errors import ClusterError, OutputError, UnsupportedError, UsageError
from meddenoise.io import Item, read_item, write
from meddenoise.io.archive import origin
from meddenoise.io.own import MAPS
from meddenoise.pipeline import prepare
from meddenoise.pipeline.options import Options
from meddenoise.report import Failure, Row
from meddenoise.report.picture import as_picture, check_modality
from meddenoise.series import Series

if TYPE_CHECKING:  # torch costs over a second: it is imported while the first series is read
    from meddenoise.engine.device import Device
    from meddenoise.pipeline.result import Result

TIDY_EVERY_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Orders for every series of a run."""

    options: Options = field(default_factory=Options)
    format: str = "same"
    window: str | None = None
    """Display window of pictures; None writes all the values there are."""
    residual: bool = False
    save_noise_map: bool = False
    """True if the noise map that was used is written too."""
    resume: bool = True
    overwrite: bool = False
    replace: bool = False
    """True to write results again whose sources or settings have changed since."""
    jobs: int = 1
    """Series at a time on this machine."""
    cluster: str | None = None
    """Cluster on which series are denoised instead, as `cluster.parse_cluster` reads it."""
    phi: bool = False
    """True if the HTML report may name the patient."""
    mask: Path | None = None
    """Mask of the part to fill in, for the task "inpaint"."""

    @property
    def noise_level_file(self) -> Path | None:
        """The map that the level of the noise is read from."""
        return None if self.options.noise_map is None else Path(self.options.noise_map)

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps written beside every result."""
        asked = (self.residual, self.options.uncertainty, self.save_noise_map)
        return tuple(kind for kind, is_asked in zip(MAPS, asked, strict=True) if is_asked)


@dataclass(frozen=True, slots=True)
class Job:
    """One task, the place its result is recorded at, and what to measure it against."""

    task: Task
    place: Place
    finished: Finished
    """Finished results in the folder of the place."""
    reference: Item | None = None


class Crew:
    """Does jobs in `orders.jobs + 2` threads, of which `orders.jobs` may be in the engine at a time."""

    def __init__(self, orders: Orders, listener: Listener) -> None:
        self._orders = orders
        self._listener = listener
        self._telling = threading.Lock()
        self._turns = Turns()
        self._stopped = threading.Event()
        self._engines = threading.Semaphore(orders.jobs)
        self._started = False
        self._tidy_at = 0.0

    @property
    def threads(self) -> int:
        """Series that are read, denoised or written at a time."""
        return self._orders.jobs + 2

    def work(self, jobs: Sequence[Job]) -> None:
        """Do all jobs; failures are reported to the listener and put into the report.

        Raises UsageError where the orders do not fit a series. On any way out, an interrupt among them,
        the threads stop at their next tile, a write that has begun is finished, and places are closed.
        """
        from meddenoise.engine.threads import all_threads, use_threads

        waiting = Counter(id(job.place) for job in jobs)
        pool = ThreadPoolExecutor(self.threads, "series", use_threads, (all_threads(),))
        try:
            running = {pool.submit(self._do, number, job): job.place for number, job in enumerate(jobs)}
            for future in as_completed(running):
                future.result()
                place = running.pop(future)
                waiting[id(place)] -= 1
                if not waiting[id(place)]:
                    self._close(place)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self.tell(self._turns.flush)
            for job in jobs:
                self._close(job.place)

    def _do(self, number: int, job: Job) -> None:
        progress, row = _Progress(self), None
        try:
            self.check()
            digest = self._digest_of(job)
            if digest is not None:
                row = self._make(job, digest, progress)
                self.tell(partial(self._listener.written, row))
        except (_StoppedError, UsageError, ClusterError, KeyboardInterrupt, SystemExit):
            raise
        # Decoders written in Rust raise from BaseException.
        except BaseException as error:
            _log.debug("%s failed", job.task.item.path, exc_info=True)
            failure = Failure(str(origin(job.task.item.path)), sentence_of(job.task, error))
            with suppress(OutputError):  # reported all the same, and again when the place is closed
                job.place.record(failure)
            self.tell(lambda: self._listener.failed(failure))
        line = None if row is None else partial(self._listener.listed, row)
        self.tell(partial(self._turns.take, number, line))
        progress.advance(job.task.item.frames - progress.done)

    def _digest_of(self, job: Job) -> str | None:
        """The fingerprint of a series that is to be made; None where it was finished before."""
        task, place, orders = job.task, job.place, self._orders
        if task.refused is not None:
            raise task.refused
        place.enter()
        shown = () if orders.window is None else (orders.window,)
        stamps = (*stamp(orders.mask), *stamp(orders.noise_level_file))
        digest = fingerprint(task, orders.options, orders.format, str(orders.maps), *shown, *stamps)
        targets = (*task.targets, *(map_path(task, kind) for kind in orders.maps))
        place.tidy(targets)
        row = job.finished.find(digest) if orders.resume and not orders.overwrite else None
        if row is not None and all(target.exists() for target in targets):
            place.keep(row)
            self.tell(lambda: self._listener.kept(row))
            return None
        if not (orders.overwrite or orders.replace or place.may_replace(digest)):
            refuse_existing(targets)
        return digest

    def _make(self, job: Job, digest: str, progress: "_Progress") -> Row:
        """The row of one series: read, denoised, written and recorded."""
        task, place, orders = job.task, job.place, self._orders
        series = read_item(task.item)
        if orders.maps and series.channels > 1:
            maps = " and ".join(orders.maps).replace("_", " ")
            raise UnsupportedError(
                f"{series.first_file} is in colour, which NIfTI cannot hold: ask for no {maps}."
            )
        self.check()
        with self._beside():
            plan = prepare(series, orders.options, orders.mask)
            check_modality(orders.window or "", plan.taken.seen)
        with self._engines:
            self.check()
            self._announce(plan.device)
            made = plan.run(progress.ticking(series))
        with self._beside():
            result = made.judged()
        place.begin(digest)
        self._write(task, series, result)
        written = self._account(job, series, result, digest)
        job.finished.add(written)
        place.record(written, result.device.label, result.device.precision)
        self._tidy_memory()
        return written

    def _tidy_memory(self) -> None:
        """Give freed memory back, not after every series: the next needs it again."""
        from meddenoise.engine.device import give_back_memory

        if monotonic() > self._tidy_at:
            self._tidy_at = monotonic() + TIDY_EVERY_S
            give_back_memory()

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """For what is done beside the network: with one thread while it works on other series, else all."""
        from meddenoise.engine.threads import one_thread

        is_free = self._engines.acquire(blocking=False)
        if is_free:
            self._engines.release()
        with nullcontext() if is_free else one_thread():
            yield

    def _announce(self, device: "Device") -> None:
        """Say where the first series runs."""
        if not self._started:
            self._started, where = True, f"{device.label}, {device.precision} ({device.reason})"
            self.tell(lambda: self._listener.started(where))

    def _write(self, task: Task, series: Series, result: "Result") -> None:
        from meddenoise.engine.planes import noise_map, subtract

        image = result.series
        if self._orders.window is not None:
            image = as_picture(image, self._orders.window)
        write(image, task.output, format=self._orders.format, root=task.root)
        for kind in self._orders.maps:
            if kind == "residual":
                extra: Series | None = subtract(series, result.series)
            else:
                extra = result.uncertainty if kind == "uncertainty" else noise_map(series, result.noise)
            assert extra is not None
            write(extra, map_path(task, kind), format="nifti")

    def _account(self, job: Job, series: Series, result: "Result", digest: str) -> Row:
        """The row of a result, which is drawn for the place where there is room."""
        row = row_of(job.task, result, self._orders.options, digest)
        row, reference = compare(row, result, series, job.reference)
        if job.place.wants_drawing:
            images = Images(series, result, reference)
            drawing, why = draw(images, brief=job.place.brief, phi=self._orders.phi)
            if drawing is not None:
                job.place.hang(digest, drawing)
            else:
                row = replace(row, warnings=(*row.warnings, why))
        return row

    def _close(self, place: Place) -> None:
        """Close a place; a report that cannot be saved is a failure of its own, not of the other series."""
        try:
            place.close()
        except OutputError as error:
            failure = Failure(str(place.path), str(error))
            self.tell(lambda: self._listener.failed(failure))

    def check(self) -> None:
        """Raises once the run is over."""
        if self._stopped.is_set():
            raise _StoppedError

    def tell(self, message: Callable[[], None]) -> None:
        """Call `message`, one at a time."""
        with self._telling:
            message()

    def advance(self, images: float) -> None:
        """Tell the listener that `images` more are done."""
        self.tell(lambda: self._listener.advanced(images))


class _Progress:
    """Number of images of one series that were reported as done."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.done = 0.0

    def advance(self, images: float) -> None:
        self.done += images
        self._crew.advance(images)

    def ticking(self, series: Series) -> Callable[[int], None]:
        """Callback for a plan: it counts planes as images, and raises once the run is over."""

        def tick(planes: int) -> None:
            self._crew.check()
            if planes:
                self.advance(planes / series.channels)

        return tick


class _StoppedError(Exception):
    """The run is over: another thread was interrupted or found the orders wrong."""

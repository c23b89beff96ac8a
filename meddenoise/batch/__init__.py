"""Many series: found, read, denoised, written and reported, while a failure of one leaves the rest alone."""

import gc
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from meddenoise.batch.finished import Finished
from meddenoise.batch.folder import Place
from meddenoise.batch.listener import Listener
from meddenoise.batch.tasks import Task, plan_tasks
from meddenoise.batch.workers import Crew, Job, Orders
from meddenoise.errors import NothingReadableError, UsageError
from meddenoise.io import Discovery, Item, discover, written_format
from meddenoise.io.own import MARKS
from meddenoise.io.pairing import pair_items
from meddenoise.io.temporary import sweep
from meddenoise.methods.choice import check_names
from meddenoise.pipeline import HOMES
from meddenoise.pipeline.options import check_options
from meddenoise.report import Failure, Report, Row
from meddenoise.report.page.gallery import page_path
from meddenoise.report.picture import check_window
from meddenoise.weights import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run: what to denoise, where to, and how. `command` is told in the report.

    `wanted` picks among the series that are found; None takes all.
    """

    inputs: tuple[Path, ...]
    output: Path | None = None
    reference: Path | None = None
    report: bool = True
    command: str = ""
    wanted: Callable[[Item], bool] | None = None
    orders: Orders = field(default_factory=Orders)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of the series written, kept from an earlier run, and failed; the pages of their reports."""

    written: int
    kept: int
    failed: int
    reports: tuple[Path, ...] = field(default=(), compare=False)


def run(request: Request, listener: Listener) -> Outcome:
    """Denoise every series of a request; the next is read and the last written while one is denoised.

    Raises UsageError for a request that does not fit together, WeightsError for a checkpoint asked for that
    is missing or damaged and NothingReadableError where no input holds an image; any other failure of a
    series is reported to the listener and counted. Interrupted, it leaves finished results, none
    half-written, and raises on.
    """
    _check(request)
    if request.orders.cluster is not None:
        request = _absolute(request)
    # Takes over a second, most of it reading libraries: done while the inputs are looked through.
    orders = request.orders
    loading = threading.Thread(target=load, args=(HOMES[orders.options.task],), daemon=True)
    loading.start()
    with suppress(OSError):  # there may be no temporary folder
        sweep(Path(tempfile.gettempdir()))
    found = discover(request.inputs, results=False)
    tasks = plan_tasks(found.items, request.inputs, request.output, orders.format, MARKS[orders.options.task])
    if not tasks:
        raise _nothing_readable(request, found)
    if request.wanted is not None:
        tasks = [task for task in tasks if request.wanted(task.item)]
    references = _find_references(tasks, request.reference)
    counting = _Counting(listener)
    skipped = [problem.path for problem in found.skipped]
    counting.found(len(tasks), sum(task.item.frames for task in tasks), skipped)
    for note in found.notes:
        counting.noted(note)
    places = _open_places(request, tasks)
    for problem in found.failed:
        failure = Failure(str(problem.path), str(problem.error))
        counting.failed(failure)
        if len(places) == 1:
            places[tasks[0].report].record(failure)
    finished = {folder: Finished(folder) for folder in {task.report.parent for task in tasks}}
    jobs = [
        Job(task, places[task.report], finished[task.report.parent], reference)
        for task, reference in zip(tasks, references, strict=True)
    ]
    # Threads that import modules which import each other may find them half loaded: only now are there more.
    loading.join()
    _work(orders, counting, jobs)
    pages = (page_path(path) for path in places) if request.report else ()
    # is_file raises where a name is too long
    there = tuple(page for page in pages if os.path.isfile(page))  # noqa: PTH113
    return replace(counting.outcome, reports=there)


def load(module: str) -> None:
    """Import a module with all it needs, and look for no garbage meanwhile.

    What is imported stays: to go through it again and again holds the first plane up.
    """
    looked = gc.isenabled()
    gc.disable()
    try:
        import_module(module)
    finally:
        if looked:
            gc.enable()


def _work(orders: Orders, listener: Listener, jobs: Sequence[Job]) -> None:
    """Do the jobs on this machine, or on a cluster."""
    if orders.cluster is None:
        Crew(orders, listener).work(jobs)
        return
    from meddenoise.batch.cluster import open_cluster, parse_cluster
    from meddenoise.batch.fleet import Fleet

    wanted, done = parse_cluster(orders.cluster), False
    fleet = None
    try:
        with open_cluster(wanted, orders.options.device) as cluster:
            fleet = Fleet(orders, listener, cluster)
            fleet.work(jobs)
            done = True
    finally:
        # workers of a cluster that goes on may still be at what was broken off, and tidy up by themselves
        if fleet is not None and (done or wanted.kind):
            fleet.tidy(jobs)


def _absolute(request: Request) -> Request:
    """The request with paths that lead to the same files from any folder, as workers need them."""

    def whole(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    orders = request.orders
    noise_map, weights = orders.options.noise_map, orders.options.weights
    options = replace(
        orders.options,
        noise_map=None if noise_map is None else str(Path(noise_map).absolute()),
        weights=str(Path(weights).absolute()) if weights is not None and Path(weights).is_file() else weights,
    )
    return replace(
        request,
        inputs=tuple(path.absolute() for path in request.inputs),
        output=whole(request.output),
        reference=whole(request.reference),
        orders=replace(orders, options=options, mask=whole(orders.mask)),
    )


class _Counting:
    """A listener that counts and passes on."""

    def __init__(self, listener: Listener) -> None:
        self.found, self.noted = listener.found, listener.noted
        self.started, self.advanced, self.listed = listener.started, listener.advanced, listener.listed
        self._listener = listener
        self.outcome = Outcome(0, 0, 0)

    def written(self, row: Row) -> None:
        self.outcome = replace(self.outcome, written=self.outcome.written + 1)
        self._listener.written(row)

    def kept(self, row: Row) -> None:
        self.outcome = replace(self.outcome, kept=self.outcome.kept + 1)
        self._listener.kept(row)

    def failed(self, failure: Failure) -> None:
        self.outcome = replace(self.outcome, failed=self.outcome.failed + 1)
        self._listener.failed(failure)


def _check(request: Request) -> None:
    options, orders = request.orders.options, request.orders
    if options.task == "denoise":
        check_names(options.method, options.asked_weights)
    elif options.weights is not None:
        verify(options.weights)
    check_options(options)
    written_format("", orders.format)
    if orders.window is not None:
        check_window(orders.window, orders.format)
    if orders.jobs < 1:
        raise UsageError(f"--jobs is {orders.jobs}: give 1 or more.")
    if orders.cluster is not None:
        from meddenoise.batch.cluster import parse_cluster

        parse_cluster(orders.cluster)
        if orders.jobs > 1:
            raise UsageError("--jobs is for this machine only: with --cluster, give local:N instead.")


def _nothing_readable(request: Request, found: Discovery) -> NothingReadableError:
    if found.items:
        return NothingReadableError(f"{request.output} holds all the images found: they are results already.")
    return found.nothing_readable(request.inputs)


def _find_references(tasks: Sequence[Task], path: Path | None) -> Sequence[Item | None]:
    """The reference of every task."""
    if path is None:
        return [None] * len(tasks)
    found = discover([path])
    if not found.items:
        raise found.nothing_readable([path], "--ref")
    return pair_items([task.item for task in tasks], found.items, "--ref")


def _open_places(request: Request, tasks: Sequence[Task]) -> dict[Path, Place]:
    options = request.orders.options
    report = Report(
        command=request.command,
        started=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        device=options.device,
        precision=options.precision,
    )
    counts = Counter(task.report for task in tasks)
    return {
        path: Place(path, report, keep_report=request.report, series=count) for path, count in counts.items()
    }

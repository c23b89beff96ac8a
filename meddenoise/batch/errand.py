"""One series on a worker of a cluster: what is sent to it, what comes back, and how it is done there."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

from meddenoise.batch.finished import Finished
from meddenoise.batch.folder import Place
from meddenoise.batch.tasks import Task
from meddenoise.batch.workers import Crew, Job, Orders
from meddenoise.errors import UsageError
from meddenoise.io import Item
from meddenoise.io.temporary import own_pattern
from meddenoise.pipeline import HOMES
from meddenoise.report import Failure, Report, Row
from meddenoise.report.page import Drawing

TOPIC = "meddenoise"
"""Of the messages that tell how far an errand is."""
EVERY_S = 0.3
"""Least time between two such messages of one errand."""
_loading = threading.Lock()
"""Threads that import modules which import each other may find them half loaded: one of them imports."""
_engine = threading.Semaphore(1)
"""One series of a worker at a time is in the network; others are read and written meanwhile."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A series to do on a worker, where its paths lead to the same files as here."""

    key: str
    task: Task
    orders: Orders
    reference: Item | None
    wants_drawing: bool
    brief: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of an errand: a `row`, or the reason why there is none."""

    row: Row | None = None
    error: str = ""
    is_usage: bool = False
    """True if the error is one of the orders, that no series could be done with."""
    drawing: Drawing | None = None
    device: str | None = None
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Progress of an errand: images done by this attempt, and where it runs once that is known."""

    key: str
    images: float
    started: str
    pattern: str
    """Names of the unfinished files of the process that does it."""


def do(errand: Errand, tell: Callable[[Told], None], is_wanted: Callable[[], bool]) -> Answer:
    """Do an errand as one machine does its series; `tell` is called on the way.

    What was finished by a worker that did not live to say so is not done again.
    """
    with _loading:
        import_module(HOMES[errand.orders.options.task])
    listener = _Relay(errand.key, tell)
    place = _Distant(errand)
    crew = _Hand(errand.orders, listener, is_wanted)
    job = Job(errand.task, place, Finished(errand.task.report.parent), errand.reference)
    try:
        crew.work([job])
    except UsageError as error:
        return Answer(error=str(error), is_usage=True)
    if listener.row is None:
        return Answer(error=listener.error)
    return Answer(listener.row, "", False, place.drawing, place.device, place.precision)


def run_errand(errand: Errand) -> Answer:
    """As `do`, as a task of a Dask worker, which stops where it is cancelled."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(told: Told) -> None:
        worker.log_event(TOPIC, [told.key, told.images, told.started, told.pattern])

    def is_wanted() -> bool:
        state: Any = worker.state.tasks.get(key)
        return state is not None and state.state not in ("cancelled", "released", "forgotten")

    return do(errand, tell, is_wanted)


class _Hand(Crew):
    """A crew that stops where its errand is no longer wanted, and shares the engine of its process."""

    def __init__(self, orders: Orders, listener: "_Relay", is_wanted: Callable[[], bool]) -> None:
        super().__init__(replace(orders, jobs=1, cluster=None), listener)
        self._engines = _engine
        self._is_wanted = is_wanted

    def check(self) -> None:
        """Raises once the errand is no longer wanted."""
        if not self._is_wanted():
            self._stopped.set()
        super().check()


class _Distant(Place):
    """The place of an errand, which another process guards: what is recorded here is sent there."""

    def __init__(self, errand: Errand) -> None:
        super().__init__(
            errand.task.report, Report(command="", started="", device="", precision=""), keep_report=False
        )
        self._errand = errand
        self.drawing: Drawing | None = None
        self.device: str | None = None
        self.precision: str | None = None

    @property
    def brief(self) -> bool:
        """As the place says."""
        return self._errand.brief

    @property
    def wants_drawing(self) -> bool:
        """As the place says."""
        return self._errand.wants_drawing

    def hang(self, fingerprint: str, drawing: Drawing) -> None:
        """Keep the drawing to be sent."""
        self.drawing = drawing

    def enter(self) -> None:
        """The lock is held there."""

    def may_replace(self, fingerprint: str) -> bool:
        """The targets were checked on the other machine."""
        return True

    def record(self, outcome: Row | Failure, device: str | None = None, precision: str | None = None) -> None:
        """Keep where a row was made."""
        self.device, self.precision = device, precision


class _Relay:
    """A listener that sends on how far the only series is, and keeps what became of it."""

    def __init__(self, key: str, tell: Callable[[Told], None]) -> None:
        self.row: Row | None = None
        self.error = ""
        self._told = Told(key, 0.0, "", own_pattern())
        self._tell = tell
        self._send(self._told)

    def found(self, series: int, images: int, skipped: Sequence[Path]) -> None:
        """Known there."""

    def noted(self, text: str) -> None:
        """Known there."""

    def started(self, device: str) -> None:
        """Send on where it runs."""
        self._send(replace(self._told, started=device))

    def advanced(self, images: float) -> None:
        """Send on how far it is."""
        self._told = replace(self._told, images=self._told.images + images)
        if monotonic() - self._sent > EVERY_S:
            self._send(self._told)

    def written(self, row: Row) -> None:
        """Keep the row."""
        self.row = row

    def listed(self, row: Row) -> None:
        """Listed there."""

    def kept(self, row: Row) -> None:
        """Keep the row of a worker that did not live to send it."""
        self.row = row

    def failed(self, failure: Failure) -> None:
        """Keep the sentence."""
        self.error = failure.error

    def _send(self, told: Told) -> None:
        self._told, self._sent = told, monotonic()
        self._tell(told)

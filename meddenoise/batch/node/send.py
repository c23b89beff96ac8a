"""Delivering results: a queue on the disk for each destination, tried again until they are taken."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from meddenoise.batch.node.log import log
from meddenoise.batch.node.settings import Destination
from meddenoise.batch.node.spool import Spool, key_of

POLL_S = 0.2
FIRST_PAUSE_S = 1.0
MOST_REFUSALS = 5
"""Times that a destination may refuse a series before it is put aside."""


class UnreachableError(Exception):
    """The destination cannot be reached, or cannot take anything now: try again later."""


class RefusedError(Exception):
    """The destination does not take an image."""


class Transport(Protocol):
    """A way to a destination."""

    def send(self, files: list[Path], sent: Callable[[Path], None]) -> None:
        """Send files, calling `sent` after each, which may raise to stop.

        Raises UnreachableError and RefusedError.
        """


class Sender(threading.Thread):
    """Delivers what is in the outbox of one destination until `stop` is set."""

    def __init__(
        self, destination: Destination, transport: Transport, spool: Spool, stop: threading.Event
    ) -> None:
        super().__init__(name=f"send {destination.name}", daemon=True)
        self._destination, self._transport, self._spool = destination, transport, spool
        self._stop_asked = stop
        self._refusals: Counter[str] = Counter()
        self._tries = 0
        self.trouble = ""
        """Reason why the last try failed; empty if it did not."""

    def run(self) -> None:
        """Deliver, pausing longer after every failure in a row."""
        while not self._stop_asked.is_set():
            pause = POLL_S
            try:
                self._deliver_all()
                self._tries, self.trouble = 0, ""
            except (UnreachableError, OSError) as error:
                pause = min(FIRST_PAUSE_S * 2**self._tries, self._destination.retry_s)
                self._tries = min(self._tries + 1, 30)
                self.trouble = str(error)
                log.warning("%s: %s; next try in %.0f s", self._destination.name, error, pause)
            self._stop_asked.wait(pause)

    def _deliver_all(self) -> None:
        for job in self._spool.outbox(self._destination.name):
            if self._stop_asked.is_set():
                return
            files = sorted(job.glob("*.dcm"))
            try:
                if files:
                    self._transport.send(files, self._sent)
            except RefusedError as error:
                self._refused(job, str(error))
                continue
            except _StoppingError:
                return
            except (UnreachableError, OSError):
                raise
            # One file that a library stumbles over must not keep all others from their way.
            except Exception as error:
                self._refused(job, f"sending failed with {type(error).__name__}")
                continue
            self._spool.drop(job)
            log.info("series %s: delivered to %s", key_of(job), self._destination.name)

    def _sent(self, file: Path) -> None:
        """An image is delivered: a process killed now does not send it again."""
        file.unlink()
        self._tries = 0
        if self._stop_asked.is_set():
            raise _StoppingError

    def _refused(self, job: Path, why: str) -> None:
        self._refusals[job.name] += 1
        if self._refusals[job.name] < MOST_REFUSALS:
            raise UnreachableError(f"series {key_of(job)} is refused ({why})")
        del self._refusals[job.name]
        log.error("series %s: %s refused it, moved to failed: %s", key_of(job), self._destination.name, why)
        self._spool.give_up(job, f"{self._destination.name} refused it: {why}")


class _StoppingError(Exception):
    """The node is to stop."""

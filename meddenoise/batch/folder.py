"""One place that results are written to: its lock, its report, and what was left unfinished there."""

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from meddenoise.batch.ledger import Ledger
from meddenoise.errors import OutputError
from meddenoise.io.temporary import sweep
from meddenoise.report import Failure, Report, Row, read_report, write_report
from meddenoise.report.page import Drawing
from meddenoise.report.page.gallery import Gallery

SAVE_EVERY_S = 2.0
SAVING = 0.03
"""Most of a run's time that saving its report on the way may take: that of thousands takes seconds."""
PAGE_EVERY_S = 30.0
"""The page with its pictures is long: a run that is killed loses those of so many seconds, and no numbers."""


class Place:
    """The report at `path`, its page and the lock beside it, held from `enter` to `close`; safe for threads.

    The lock file lists the fingerprints whose writing was begun. The operating system frees the lock of a run
    that was killed but leaves the file: what it lists and the
    index of finished results does not is half-written.
    """

    def __init__(self, path: Path, report: Report, *, keep_report: bool, series: int = 1) -> None:
        self.path = path
        self._ledger = Ledger(report)
        self._keep = keep_report
        self._mutex = threading.Lock()
        self._lock: BinaryIO | None = None
        self._made_folder = False
        self._half_written: set[str] = set()
        self._keeps_marks = False
        self._gallery = Gallery(series)
        self._save_at, self._page_at = monotonic() + SAVE_EVERY_S, monotonic() + PAGE_EVERY_S
        self._changed = self._page_changed = False

    @property
    def brief(self) -> bool:
        """True if there are so many series that each is drawn briefly."""
        return self._gallery.brief

    @property
    def wants_drawing(self) -> bool:
        """True if one more series is to be drawn for the page."""
        with self._mutex:
            return self._keep and self._gallery.has_room

    def hang(self, fingerprint: str, drawing: Drawing) -> None:
        """Take the drawing of a result, whose row follows."""
        with self._mutex:
            self._gallery.add(fingerprint, drawing)

    def enter(self) -> None:
        """Take the lock and read what an earlier run reported, the first time it is called.

        Raises OutputError where another run holds the lock, or the folder cannot be written.
        """
        with self._mutex:
            if self._lock is not None:
                return
            try:
                self._lock = self._take_lock()
            except OSError as error:
                raise self._unwritable(error, self.path.parent) from error
            self._half_written = set(self._lock.read().decode(errors="replace").split())
            earlier = read_report(self.path) if self._keep else None
            if earlier is not None:
                self._ledger.go_on(earlier)
                self._gallery.take_over(self.path, earlier.series)

    def keep(self, row: Row) -> None:
        """Take the row of a result that was finished before into the report, where it is missing there."""
        with self._mutex:
            if not self._ledger.holds(row):
                self._ledger.add(row)
                self._changed = self._page_changed = True

    def tidy(self, targets: Sequence[Path]) -> None:
        """Remove what killed runs left beside these files and the report."""
        for folder in {self.path.parent, *(target.parent for target in targets)}:
            sweep(folder)

    def may_replace(self, fingerprint: str) -> bool:
        """True where what lies at the targets was left half-written by a killed run."""
        return fingerprint in self._half_written

    def begin(self, fingerprint: str) -> None:
        """Note that the files of a result are about to appear. Raises OutputError where that cannot be."""
        with self._mutex:
            if self._lock is None:
                return
            try:
                self._lock.write(fingerprint.encode() + b"\n")
            except OSError as error:
                raise self._unwritable(error, self._lock_path) from error

    def keep_marks(self) -> None:
        """Leave the lock file, free, for the next run: others may still be writing what was begun."""
        self._keeps_marks = True

    def record(self, outcome: Row | Failure, device: str | None = None, precision: str | None = None) -> None:
        """Take a row, and where it was made, or a failure into the report; saved at times, and by `close`."""
        with self._mutex:
            self._ledger.made_on(device, precision)
            if isinstance(outcome, Row):
                self._ledger.add(outcome)
            else:
                self._ledger.fail(outcome)
            self._changed = self._page_changed = True
            with suppress(
                OutputError
            ):  # reported when the place is closed: the images are written all the same
                if monotonic() > self._save_at:
                    self._save()
                    if monotonic() > self._page_at:
                        self._save_page()

    def close(self) -> None:
        """Save the report and free the lock; nothing where `enter` did not succeed."""
        with self._mutex:
            if self._lock is None:
                return
            try:
                if self._changed:
                    self._save()
                if self._page_changed:
                    self._save_page()
            finally:
                if not self._keeps_marks:
                    with suppress(OSError):
                        self._lock_path.unlink()
                self._lock.close()
                self._lock = None
                if self._made_folder:
                    with suppress(OSError):  # results are in it
                        self.path.parent.rmdir()

    def _unwritable(self, error: OSError, place: Path) -> OutputError:
        return OutputError(
            f"{place} cannot be written ({error.strerror or error}): give another --output or make room."
        )

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f".{self.path.stem}.lock")

    def _save(self) -> None:
        began = monotonic()
        if self._keep:
            write_report(self._ledger.report, self.path)
        self._save_at = _next(began, SAVE_EVERY_S)
        self._changed = False

    def _save_page(self) -> None:
        began = monotonic()
        if self._keep:
            self._gallery.write(self._ledger.report, self.path)
        self._page_at = _next(began, PAGE_EVERY_S)
        self._page_changed = False

    def _take_lock(self) -> BinaryIO:
        folder = self.path.parent
        self._made_folder = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            # no buffer: what a full disk refused must not be written again when the lock is freed
            stream = self._lock_path.open("ab+", buffering=0)
            try:
                _lock_file(stream)
            except OSError as error:
                stream.close()
                raise OutputError(
                    f"another run of meddenoise is writing to {folder}: "
                    "wait for it, or give another --output."
                ) from error
            # The run that held the lock may have removed the file in between.
            with suppress(FileNotFoundError):
                if os.path.samestat(self._lock_path.stat(), os.fstat(stream.fileno())):
                    stream.seek(0)
                    return stream
            stream.close()


def _next(began: float, every: float) -> float:
    """Time of the next save, after one that began at `began`."""
    now = monotonic()
    return now + max(every, (now - began) / SAVING)


if sys.platform == "win32":
    import msvcrt

    def _lock_file(stream: BinaryIO) -> None:
        """Raises OSError where another process holds the lock."""
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock_file(stream: BinaryIO) -> None:
        """Raises OSError where another process holds the lock."""
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

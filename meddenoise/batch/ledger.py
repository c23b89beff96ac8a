"""Rows and failures of a report while it grows, by the files they are of: thousands cost little."""

from dataclasses import replace

from meddenoise.report import Failure, Report, Row, row_order
from meddenoise.report.packed import MadeAnew, Packer


class Ledger:
    """A report that rows and failures are added to; not safe for threads."""

    def __init__(self, head: Report) -> None:
        self._head = replace(head, series=(), failed=())
        self._rows: dict[str, bytes] = {}
        self._failed: dict[str, Failure] = {}
        self._packer = Packer()
        self._take(head)

    @property
    def report(self) -> Report:
        """The report so far, its rows made anew whenever they are looked at."""
        unpack = self._packer.unpack
        rows = sorted(self._rows.values(), key=lambda packed: row_order(unpack(packed)))
        return replace(self._head, series=MadeAnew(rows, unpack), failed=tuple(self._failed.values()))

    def add(self, row: Row) -> None:
        """Take a row, in place of an older one for the same files; its failure is forgotten."""
        self._rows.pop(row.place, None)
        self._rows[row.place] = self._packer.pack(row)
        self._failed.pop(row.input, None)

    def fail(self, failure: Failure) -> None:
        """Take a failure, in place of an older one for the same input."""
        self._failed.pop(failure.input, None)
        self._failed[failure.input] = failure

    def holds(self, row: Row) -> bool:
        """True if a row of the same result is there."""
        known = self._rows.get(row.place)
        return known is not None and self._packer.unpack(known).fingerprint == row.fingerprint

    def made_on(self, device: str | None, precision: str | None) -> None:
        """Note where rows are made; None leaves what was noted."""
        self._head = replace(
            self._head, device=device or self._head.device, precision=precision or self._head.precision
        )

    def go_on(self, earlier: Report) -> None:
        """Put what an earlier run reported before what is here; the command and its time stay this run's."""
        now, head = self.report, self._head
        self._head = replace(earlier, series=(), failed=(), command=head.command, started=head.started)
        self._rows, self._failed = {}, {}
        self._take(earlier)
        self._take(now)

    def _take(self, report: Report) -> None:
        for row in report.series:
            self.add(row)
        for failure in report.failed:
            self.fail(failure)

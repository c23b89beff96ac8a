"""Denoising one series after another by the rules; weights stay loaded from one to the next."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meddenoise.batch import Request, run
from meddenoise.batch.node.log import log, without_quotes
from meddenoise.batch.node.rules import Rule, Subject, choose_rule, read_subject
from meddenoise.batch.node.settings import Settings
from meddenoise.batch.node.spool import Spool, key_of
from meddenoise.batch.workers import Orders
from meddenoise.errors import MeddenoiseError
from meddenoise.io import discover
from meddenoise.report import Failure, Row


@dataclass(slots=True)
class RunRecord:
    """A listener of `batch.run` that keeps what was said, and ends the run once `stop` is set."""

    stop: threading.Event
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def found(self, series: int, images: int, skipped: Sequence[Path]) -> None:
        """Nothing to keep."""

    def noted(self, text: str) -> None:
        """Nothing to keep."""

    def started(self, device: str) -> None:
        """Nothing to keep."""

    def advanced(self, images: float) -> None:
        """Raises SystemExit to end the run."""
        if self.stop.is_set():
            raise SystemExit

    def written(self, row: Row) -> None:
        """Keep the row."""
        self.rows.append(row)

    def listed(self, row: Row) -> None:
        """Not looked at."""

    def kept(self, row: Row) -> None:
        """Keep the row."""
        self.rows.append(row)

    def failed(self, failure: Failure) -> None:
        """Keep the failure."""
        self.failures.append(failure)


def work_on(job: Path, spool: Spool, settings: Settings, stop: threading.Event) -> None:
    """Denoise a job of the spool and hand its results over, or put it aside with the reason.

    Stopped, it leaves the job waiting. Raises OSError where the spool cannot be written.
    """
    key = key_of(job)
    output = spool.begin(job)
    try:
        rule = choose_rule(settings.rules, _subject(job))
        if rule is None:
            log.info("series %s: skipped by the rules", key)
            spool.drop(job)
            return
        why = _denoise(job, output, rule, settings, stop)
    except MeddenoiseError as error:
        why = str(error)
    except SystemExit:
        return
    except OSError:
        raise
    # One series that a library stumbles over must not stop the node.
    except Exception as error:
        why = f"it failed for a reason meddenoise does not know ({type(error).__name__}): please report it."
    if why:
        log.error("series %s: not denoised, moved to failed: %s", key, without_quotes(why))
        spool.give_up(job, why)
        spool.drop(output)
    else:
        spool.hand_over(job)


def _subject(job: Path) -> Subject:
    found = discover([job])
    if not found.items:
        raise found.nothing_readable([job])
    return read_subject(found.items[0])


def _denoise(job: Path, output: Path, rule: Rule, settings: Settings, stop: threading.Event) -> str:
    """Reason why a job cannot be handed over; empty if it can."""
    watch = RunRecord(stop)
    orders = Orders(options=rule.options, resume=False)
    run(Request(inputs=(job,), output=output, report=False, orders=orders), watch)
    if watch.failures:
        return " ".join(failure.error for failure in watch.failures)
    for row in watch.rows:
        log.info("series %s: %s", key_of(job), summary(row))
        if verdict(row) == "reject" and not settings.send_rejected:
            assert row.trust is not None
            reasons = " ".join(str(reason) for reason in row.trust["reasons"])
            return f"the verdict on the result is reject: {reasons}"
    return ""


def verdict(row: Row) -> str:
    """The verdict on a result; empty where there is none."""
    return "" if row.trust is None else row.trust["verdict"] or ""


def summary(row: Row) -> str:
    """Line without names on the work done on a series."""
    before, after = row.noise["sigma_before"], row.noise["sigma_after"]
    noise = ""
    if before is not None and after is not None:
        noise = f", noise {before:.3g} -> {after:.3g} {row.noise['unit']}".rstrip()
    judged = f", {verdict(row)}" if verdict(row) else ""
    return (
        f"{row.modality or 'image'}, {row.shape[0]} planes, {row.method}{noise}{judged}, {row.seconds:.1f} s"
    )

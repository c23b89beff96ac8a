"""The output of a run: lines for people on stderr, JSON for pipelines on stdout."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from meddenoise.cli.streams import drop_stdout, printable
from meddenoise.cli.tables import format_number, name_series
from meddenoise.trust.advice import say_advice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Task

    from meddenoise.batch import Outcome
    from meddenoise.report import Failure, Row


_VERDICTS = {
    "ok": "green",
    "no effect": "yellow",
    "look": "yellow",
    "reject": "bold red",
    "not judged": "dim",
}
"""Verdicts as they are counted, and how they look where there is colour."""
MOST_REPORTS = 3
_CINES = ("XA", "RF", "US")
"""Modalities whose planes follow each other in time."""


class Display:
    """A listener of `batch.run`. The bar shows on a terminal only; `verbosity` is -1 (quiet), 0 or 1."""

    def __init__(self, *, verbosity: int, as_json: bool, doing: str = "denoising") -> None:
        self._console = _Console(stderr=True, highlight=False)
        self._verbosity = verbosity
        self._as_json = as_json
        self._doing = doing
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            _SpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=verbosity < 0 or not self._console.is_terminal or self._console.is_dumb_terminal,
            transient=True,
        )
        self._bar = self._progress.add_task("reading", total=None)
        self._verdicts: Counter[str] = Counter()
        self.lost = ""
        """Reason why stdout did not take a row; empty if it took all, or its reader left by itself."""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def found(self, series: int, images: int, skipped: "Sequence[Path]") -> None:
        """Start the bar; tell of files that are no images, and which, where more is to be said."""
        self._progress.update(self._bar, description=self._doing, total=images)
        if skipped:
            self._say(f"files without an image, skipped: {len(skipped)}.", least=0)
        for path in skipped:
            self._say(f"skipped: {path}", least=1)

    def noted(self, text: str) -> None:
        """Tell what was left out of the inputs, and why."""
        self._say(text, least=0)

    def started(self, device: str) -> None:
        """Tell the device."""
        self._say(f"running on {device}.", least=0 if self._console.is_terminal else 1)

    def advanced(self, images: float) -> None:
        """Move the bar."""
        self._progress.advance(self._bar, images)

    def written(self, row: "Row") -> None:
        """One JSON object for a pipeline, at once."""
        if row.trust is not None:
            self._verdicts[_verdict(row)] += 1
        self._write_json(row)

    def listed(self, row: "Row") -> None:
        """One line and its warnings for people."""
        method = row.method if row.weights is None else f"{row.method} ({row.weights['name']})"
        done = f"{_named(row)} -> {row.output}: {_deed(row)}{_gain(row)}"
        verdict: list[str | Text] = [] if row.trust is None else [", ", _styled(_verdict(row))]
        self._say(done, *verdict, f"; {method}, {row.seconds:.1f} s{_rate(row)}", least=0)
        taken = ", ".join(filter(None, (row.modality, row.modality_from)))
        self._say(f"modality: {_named(row)}: {taken}.", least=1)
        self._tell_trust(row)
        for warning in row.warnings:
            self._say(f"warning: {_named(row)}: {warning}", least=0)

    def _tell_trust(self, row: "Row") -> None:
        """Print why a result is not good, and what to try."""
        if row.trust is None:
            return
        verdict = _verdict(row)
        reasons = [] if verdict == "ok" else [*row.trust["reasons"], *row.trust["notes"]]
        why = ": " + "; ".join(reason.rstrip(".") for reason in reasons) if reasons else ""
        why += f"; {say_advice(advice)}" if (advice := row.trust.get("advice")) else ""
        if why:
            self._say(f"trust: {_named(row)}: ", _styled(verdict), why, least=0)

    @property
    def rejected(self) -> int:
        """Series whose verdict is `reject`, those of an earlier run too."""
        return self._verdicts["reject"]

    def kept(self, row: "Row") -> None:
        """As `written`, for what an earlier run has finished."""
        if row.trust is not None:
            self._verdicts[_verdict(row)] += 1
        self._say(f"{_named(row)}: {row.output} is finished and was kept.", least=1)
        self._write_json(row)

    def failed(self, failure: "Failure") -> None:
        """The sentence, whatever the verbosity."""
        self._say(f"meddenoise: {failure.error}", least=-1)

    def summary(self, outcome: "Outcome") -> None:
        """One last line, and where the reports are."""
        written, kept, failed = outcome.written, outcome.kept, outcome.failed
        parts = [f"{written} series written"]
        parts += [f"{kept} kept from an earlier run"] if kept else []
        parts += [f"{failed} failed"] if failed else []
        told = [(name, self._verdicts[name]) for name in _VERDICTS if self._verdicts[name]]
        counts: list[str | Text] = []
        for place, (name, count) in enumerate(told):
            counts += [", " if place else ": ", f"{count} ", _styled(name)]
        self._say(", ".join(parts), *counts, ".", least=0)
        for path in outcome.reports[:MOST_REPORTS]:
            self._say(f"report: {path}", least=0)
        if len(outcome.reports) > MOST_REPORTS:
            self._say(f"and {len(outcome.reports) - MOST_REPORTS} more reports next to the results", least=0)

    def _say(self, *parts: "str | Text", least: int) -> None:
        if self._verbosity >= least:
            plain = (printable(part) if isinstance(part, str) else part for part in parts)
            try:
                # a terminal would break lines within words, a pipe must not have them broken
                self._console.print(Text.assemble(*plain), soft_wrap=not self._console.is_terminal)
            except OSError:
                self._console.quiet = True

    def _write_json(self, row: "Row") -> None:
        if not self._as_json:
            return
        from meddenoise.report import row_as_json

        try:
            # in ASCII: every locale can print it, and names that are no UTF-8 stay what they are
            sys.stdout.write(json.dumps(row_as_json(row)) + "\n")
            sys.stdout.flush()
        except OSError as error:
            # The images are still wanted.
            self._as_json = False
            drop_stdout()
            if not isinstance(error, BrokenPipeError):
                self.lost = error.strerror or str(error)
                self._say(
                    f"meddenoise: stdout cannot be written ({self.lost}): the rest is not shown.", least=-1
                )


def _named(row: "Row") -> str:
    """The input, and which of its series."""
    return name_series(row.input, row.description, row.name)


def _verdict(row: "Row") -> str:
    return str((row.trust or {}).get("verdict") or "not judged")


def _styled(verdict: str) -> Text:
    return Text(verdict, style=_VERDICTS.get(verdict, ""))


def _deed(row: "Row") -> str:
    """Summary of a series: noise before, after and removed, or another task in its own numbers."""
    if row.done is not None:
        from meddenoise.report import describe_done

        return describe_done(row.done, row.shape)
    noise = row.noise
    unit = f" {noise['unit']}" if noise["unit"] else ""
    if noise["sigma_before"] is None:
        if not noise.get("sigma_used"):
            return "noise not measured: no flat place"
        used = format_number(noise["sigma_used"], digits=3)
        return f"noise {used}{unit} ({noise['source']}), no flat place to compare"
    numbers = (noise[name] for name in ("sigma_before", "sigma_after", "removed_rms"))
    before, after, removed = (format_number(value, digits=3) for value in numbers)
    return f"noise {before} -> {after}{unit} ({removed} removed)"


def _gain(row: "Row") -> str:
    """PSNR of the input and of the result; nothing without a reference."""
    told = ""
    for name, unit in (("psnr", " dB"), ("ssim", "")):
        before, after = row.noisy_metrics.get(name), row.metrics.get(name)
        if before is not None and after is not None:
            values = " -> ".join(format_number(value, name) for value in (before, after))
            told += f", {name.upper()} {values}{unit}"
    return told


def _rate(row: "Row") -> str:
    """Speed of a series of several planes; nothing for a single one."""
    if row.shape[0] < 2:
        return ""
    return f" ({row.slices_per_second:.1f} {'frames' if row.modality in _CINES else 'slices'}/s)"


class _Console(Console):
    """Falls silent where nobody reads: Rich's own would end the program and close stdout too."""

    def on_broken_pipe(self) -> None:
        """Called by Rich where stderr has no reader."""
        self.quiet = True


class _SpeedColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: "Task") -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s", style="progress.data.speed")


@contextmanager
def show_bar(quiet: bool = False) -> Iterator[Callable[[str, float, float], None]]:
    """The function to tell what is next, how many things are done, and of how many.

    The bar shows on a terminal only, and is gone when all is done.
    """
    console = Console(stderr=True)
    is_hidden = quiet or not console.is_terminal or console.is_dumb_terminal
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=is_hidden, transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)

"""What was done and what came of it: rows written as meddenoise-report.json and .csv."""

import csv
import io
import json
import math
import re
from bisect import insort
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from meddenoise.io.atomic import staged
from meddenoise.version import __version__

SCHEMA = 1
REPORT = "meddenoise-report.json"
"""Of a folder of results; that of a single file is named after it."""
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One series that was written. Numbers that could not be measured are None, with a warning saying why."""

    input: str
    output: str
    format: str
    modality: str
    shape: tuple[int, int, int]
    """Planes, rows, columns."""
    spacing_mm: tuple[float, float, float] | None
    """Between planes, rows, columns; None where the file states none."""
    method: str
    mode: str | None
    """"diffusion", or what its one pass is called, for methods with a sampler, as it ran; None for others."""
    weights: dict[str, str] | None
    """`name` and `sha256` of the checkpoint; None for methods that learn nothing."""
    seed: int
    noise: dict[str, Any]
    """`sigma_before`, `sigma_after`, `removed_rms` in `unit`, on the same flat places; `by_plane` before and
    after. None where there is no flat place, and of tasks that remove no noise."""
    metrics: dict[str, float | None]
    """Those of METRICS against a reference; of self-supervised methods those of `selfcheck` without one."""
    noisy_metrics: dict[str, float | None] = field(default_factory=dict)
    """The same of the input against that reference; empty without one."""
    seconds: float
    slices_per_second: float
    peak_memory_mib: int
    warnings: tuple[str, ...] = ()
    trust: dict[str, Any] | None = None
    """`verdict`, `reasons`, `notes`, `values` by names of `trust.CHECKS`, `bins`; None for other tasks."""
    done: dict[str, Any] | None = None
    """`task`, and its `factor` or number of `pixels`, of tasks other than removing noise."""
    modality_from: str = ""
    """Who or what told the modality, as a part of a sentence."""
    name: str = ""
    """Number and end of the identifier of the series, where its files state them."""
    description: str = ""
    """Its description in the file."""
    fingerprint: str = ""
    """Digests of the files written, and of the sources and settings: what resuming compares."""

    @property
    def place(self) -> str:
        """The same for all results that were written to the same files."""
        return self.fingerprint.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """One input that was not written, and the sentence why."""

    input: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run, or several that wrote into the same place one after another."""

    command: str
    started: str
    """ISO 8601 with time zone."""
    device: str
    precision: str
    series: tuple[Row, ...] = field(default=())
    failed: tuple[Failure, ...] = field(default=())

    def with_row(self, row: Row) -> Self:
        """This report with `row` in place of an older one for the same files; its failure is forgotten.

        Rows are in the order of their inputs, and series of one input in that of their numbers.
        """
        rows = [old for old in self.series if old.place != row.place]
        insort(rows, row, key=_order)
        failed = tuple(old for old in self.failed if old.input != row.input)
        return replace(self, series=tuple(rows), failed=failed)

    def with_failure(self, failure: Failure) -> Self:
        """This report with `failure` in place of an older one for the same input."""
        return replace(self, failed=(*(old for old in self.failed if old.input != failure.input), failure))


def _order(row: Row) -> list[list[tuple[int, str]]]:
    """Sorts numbers in names by their value: 2 before 10."""
    return [
        [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(text)]
        for text in (row.input, row.name)
    ]


def row_as_json(row: Row) -> dict[str, Any]:
    """The row as JSON can hold it: NaN and infinity become null."""
    cleaned: dict[str, Any] = finite(asdict(row))
    return cleaned


def write_report(report: Report, path: Path) -> None:
    """Write `path` (.json) and the same rows as a table beside it (.csv), each complete or not at all.

    Raises OutputError where a file cannot be written.
    """
    content = {"schema": SCHEMA, "meddenoise": __version__, **finite(asdict(report))}
    table = path.with_suffix(".csv")
    with staged([path, table]) as staging:
        for target, text in (
            (path, json.dumps(content, indent=1, ensure_ascii=False)),
            (table, _as_csv(report)),
        ):
            with staging.file(target) as stream:
                # names that are no UTF-8 become escapes, which JSON reads back as they were
                stream.write(text.encode(errors="backslashreplace"))


def read_report(path: Path) -> Report | None:
    """The report at `path`; None where there is none, or none that this version can continue."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return None
        rows = tuple(parse_row(entry) for entry in content["series"])
        failed = tuple(Failure(entry["input"], entry["error"]) for entry in content["failed"])
        run = {name: str(content[name]) for name in ("command", "started", "device", "precision")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Report(**run, series=rows, failed=failed)


def parse_row(entry: dict[str, Any]) -> Row:
    """The row that `row_as_json` made an entry of. Raises TypeError where values are missing."""
    tuples = ("shape", "spacing_mm", "warnings")
    known = {item.name for item in fields(Row)}
    values: dict[str, Any] = {
        name: tuple(value) if name in tuples and value is not None else value
        for name, value in entry.items()
        if name in known
    }
    return Row(**values)


def describe_done(done: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """`done` of a row in words, for results of `shape`."""
    if done["task"] == "upscale":
        return f"upscaled {done['factor']:g} times to {shape[1]} x {shape[2]} pixels"
    return f"{done['pixels']} pixels filled in"


def finite(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinity become None, tuples lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _as_csv(report: Report) -> str:
    """One line a series and a failure; nested entries flattened to `noise_sigma_before`, `metrics_psnr`."""
    lines = [flatten(row_as_json(row)) for row in report.series]
    lines += [{"input": failure.input, "error": failure.error} for failure in report.failed]
    return as_table(lines)


def as_table(lines: Sequence[dict[str, Any]]) -> str:
    """The lines as CSV under all of their names."""
    columns = list(dict.fromkeys(name for line in lines for name in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def flatten(row: dict[str, Any]) -> dict[str, Any]:
    """The row without inner entries: `metrics_psnr` for `psnr` in `metrics`, lists as one text.

    Lists of entries, and what there is of every plane, are left to the JSON.
    """
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "by_plane":
            continue
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": content for inner, content in flatten(value).items()}
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            continue
        elif isinstance(value, list):
            flat[name] = " ".join(str(item) for item in value)
        else:
            flat[name] = value
    return flat

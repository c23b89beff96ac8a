"""Report of a run: rows written as meddenoise-report.json and .csv."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from textwrap import indent
from typing import Any

from meddenoise.io.atomic import staged
from meddenoise.io.natural import natural_key
from meddenoise.trust.advice import Tried
from meddenoise.version import __version__

SCHEMA = 1
REPORT = "meddenoise-report.json"
"""Of a folder of results; that of a single file is named after it."""


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
    strength: float = 1.0
    """Up to 1 the share of the change that was made; beyond, how much more noise was assumed."""
    noise: dict[str, Any]
    """`sigma_before`, `sigma_after`, `removed_rms` in `unit`, on the same flat places; `by_plane` before and
    after; None where there is no flat place, and of tasks that remove no noise. `sigma_used` is the level
    that the method was given, `source` where it comes from, `profile` what a profile was measured from."""
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
    """Source of the modality, as a part of a sentence."""
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

    @property
    def tried(self) -> Tried:
        """The options that advice after this run goes by."""
        return Tried(self.method, self.strength, str(self.noise.get("source", "")).startswith("--"))


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
    series: Sequence[Row] = field(default=())
    failed: tuple[Failure, ...] = field(default=())


def row_order(row: Row) -> list[list[tuple[int, str]]]:
    """Sort key of rows in a report, by input and series: numbers in names by their value, 2 before 10."""
    return [natural_key(text) for text in (row.input, row.name)]


def row_as_json(row: Row) -> dict[str, Any]:
    """The row as JSON can hold it: NaN and infinity become null."""
    return {item.name: finite(getattr(row, item.name)) for item in fields(row)}


def write_report(report: Report, path: Path) -> None:
    """Write `path` (.json) and the same rows as a table beside it (.csv), each complete or not at all.

    Raises OutputError where a file cannot be written.
    """
    table = path.with_suffix(".csv")
    with staged([path, table]) as staging:
        for target, pieces in ((path, _as_json(report)), (table, _as_csv(report))):
            with staging.file(target) as stream:
                for piece in pieces:
                    # names that are no UTF-8 become escapes, which JSON reads back as they were
                    stream.write(piece.encode(errors="backslashreplace"))


def _as_json(report: Report) -> Iterator[str]:
    """The report as JSON in pieces, one a row."""
    head = {"schema": SCHEMA, "meddenoise": __version__, "command": report.command}
    head |= {"started": report.started, "device": report.device, "precision": report.precision}
    yield json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    yield from _as_list("series", map(row_as_json, report.series))
    yield from _as_list("failed", map(asdict, report.failed))
    yield "\n}"


def _as_list(name: str, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One more member of the document: a list, an entry after another."""
    between = f',\n "{name}": ['
    for entry in entries:
        yield between + "\n" + indent(json.dumps(entry, indent=1, ensure_ascii=False), "  ")
        between = ","
    yield f"{between}]" if between != "," else "\n ]"


def read_report(path: Path) -> Report | None:
    """The report at `path`; None where there is none, or none that this version can continue."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return None
        rows = tuple(parse_row(entry) for entry in content["series"])
        failed = tuple(Failure(entry["input"], entry["error"]) for entry in content["failed"])
        run = {name: str(content[name]) for name in ("command", "started", "device", "precision")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
    return f"{done['pixels']} pixels filled in" + (", grain made up" if done.get("grain") else "")


def finite(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinity become None, tuples lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _as_csv(report: Report) -> Iterator[str]:
    """One line a series and a failure; nested entries flattened to `noise_sigma_before`, `metrics_psnr`."""
    columns = dict.fromkeys(name for line in _lines(report) for name in line)
    yield _csv_line(columns)
    for line in _lines(report):
        yield _csv_line([line.get(name, "") for name in columns])


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    for row in report.series:
        yield flatten(row_as_json(row))
    for failure in report.failed:
        yield {"input": failure.input, "error": failure.error}


def _csv_line(values: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def as_table(lines: Sequence[dict[str, Any]]) -> str:
    """The lines as CSV under all of their names."""
    columns = dict.fromkeys(name for line in lines for name in line)
    rows = ([line.get(name, "") for name in columns] for line in lines)
    return "".join(map(_csv_line, [columns, *rows]))


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

"""The drawings of one report, as many as a page can hold, and the page of that report."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from meddenoise.errors import OutputError
from meddenoise.metrics import METRICS, Protocol
from meddenoise.report import Report, Row, describe_done
from meddenoise.report.packed import MadeAnew
from meddenoise.report.page import Drawing, Levels, Page, PageEntry
from meddenoise.report.page.compose import read_drawings, write_page
from meddenoise.report.page.tables import with_unit
from meddenoise.report.page.verdicts import read_trust

MOST_BYTES, MOST_DRAWN = 48_000_000, 100
"""Of all drawings of a page, and series that have one: a browser opens that within seconds."""
MANY = 4
"""Series beyond which each is drawn briefly: smaller, but with the same planes, and cines to play."""


class Gallery:
    """Drawings by the fingerprint of their row; those that came first stay. Guarded by its place."""

    def __init__(self, series: int) -> None:
        self.brief = series > MANY
        """True if each series is drawn smaller."""
        self._drawings: dict[str, Drawing] = {}
        self._bytes = 0

    @property
    def has_room(self) -> bool:
        """True if one more series is to be drawn."""
        return self._bytes < MOST_BYTES and len(self._drawings) < MOST_DRAWN

    def add(self, key: str, drawing: Drawing) -> None:
        """Take a drawing in."""
        self._drawings[key] = drawing
        self._bytes += len(drawing.body)

    def take_over(self, path: Path, rows: Sequence[Row]) -> None:
        """Take in the drawings of an earlier run from its page beside the report at `path`."""
        for key, drawing in read_drawings(page_path(path), {row.fingerprint for row in rows}).items():
            self.add(key, drawing)

    def write(self, report: Report, path: Path) -> None:
        """Write the page beside the report at `path`. Raises OutputError where it cannot be."""
        keys = {row.fingerprint for row in report.series}
        self._drawings = {key: drawing for key, drawing in self._drawings.items() if key in keys}
        self._bytes = sum(len(drawing.body) for drawing in self._drawings.values())
        target = page_path(path)
        try:
            write_page(page_of(report, self._drawings, path.with_suffix(".csv").name), target)
        except OutputError:
            raise
        except Exception as error:  # images and numbers are written: a fault of the page must not end the run
            raise OutputError(
                f"{target} could not be made ({type(error).__name__}: {error}): "
                "the images and the other reports are complete; please report it."
            ) from error


def page_path(report: Path) -> Path:
    """Path of the page of a report."""
    return report.with_suffix(".html")


def page_of(report: Report, drawings: dict[str, Drawing], table: str) -> Page:
    """The page of a report."""
    from meddenoise.version import __version__

    failed = f", {len(report.failed)} failed" if report.failed else ""
    facts = (
        ("Command", report.command),
        ("Started", report.started[:16].replace("T", " ")),
        ("Device", f"{report.device}, {report.precision}"),
        ("Version", f"meddenoise {__version__}"),
        ("Series", f"{len(report.series)} written{failed}"),
    )
    return Page(
        title="meddenoise report",
        facts=facts,
        entries=MadeAnew(report.series, _entry),
        failed=tuple((failure.input, failure.error) for failure in report.failed),
        drawings=drawings,
        table=table,
    )


def _level(row: Row) -> str:
    """The noise level that the method was given, and where it comes from; empty where it is not known."""
    level = row.noise.get("sigma_used")
    if level is None:
        return ""
    return f"{with_unit(level, str(row.noise['unit'] or ''))}, {row.noise['source']}"


def _levels(row: Row) -> Levels:
    noise = row.noise
    measured = noise["sigma_before"], noise["sigma_after"], noise.get("removed_rms")
    return Levels(
        *measured, str(noise["unit"] or ""), noise.get("sigma_used") or None, str(noise.get("source") or "")
    )


def _entry(row: Row) -> PageEntry:
    planes, height, width = row.shape
    size = f"{f'{planes} × ' if planes > 1 else ''}{height} × {width}"
    weights, unit = row.weights or {}, str(row.noise["unit"] or "")
    done = describe_done(row.done, row.shape) if row.done else ""
    strength = "" if row.strength == 1 or row.done else f"strength {row.strength:g}"
    facts = (
        ("Input", row.input),
        ("Output", row.output),
        ("Format", row.format),
        ("Method", " ".join(filter(None, (row.method, f"({row.mode})" if row.mode else "")))),
        ("Strength", "" if row.done else f"{row.strength:g}"),
        ("Noise level used", _level(row)),
        ("Noise profile", row.noise.get("profile") or ""),
        ("Seed", str(row.seed)),
        ("Weights", weights.get("name", "")),
        ("SHA-256 of the weights", weights.get("sha256", "")),
        ("Spacing (mm)", " × ".join(f"{mm:.4g}" for mm in row.spacing_mm or ())),
        ("Time", f"{row.seconds:.3g} s, {row.slices_per_second:.3g} images/s"),
        ("Peak memory", f"{row.peak_memory_mib} MiB" if row.peak_memory_mib else ""),
    )
    return PageEntry(
        key=row.fingerprint,
        title=" · ".join(filter(None, (row.input, row.name))),
        short=row.name or Path(row.input).name,
        about=tuple(filter(None, (row.modality, size, row.method, strength, done))),
        facts=facts,
        noise=_levels(row),
        metrics=row.metrics,
        metrics_before=row.noisy_metrics,
        units=_units(unit, row.spacing_mm and row.spacing_mm[1:]),
        warnings=row.warnings,
        trust=read_trust(row.trust),
        by_plane=row.noise.get("by_plane") or (),
    )


@lru_cache
def _units(unit: str, spacing_mm: tuple[float, float] | None) -> dict[str, str]:
    """The unit of every metric, for images in `unit`."""
    protocol = Protocol(unit=unit, spacing_mm=spacing_mm)
    return {name: metric.unit_in(protocol) for name, metric in METRICS.items()}

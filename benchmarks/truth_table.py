"""The rows of the truth benchmark as one table: what each method gains over the noisy input."""

from collections.abc import Iterable, Sequence
from math import log10, sqrt
from statistics import fmean, median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.truth_targets import targets_of

Row = dict[str, Any]

TITLES = {
    "phantoms": "phantoms, exact truth",
    "repeats": "repeats, by the other scan",
    "cines": "cines, by other frames",
    "natural": "photographs",
    "medical": "medical, little own noise",
    "volumes": "contiguous slices",
    "coarse": "noise coarse for the pixels",
    "contrast": "contrast of discs kept",
    "harm": "little noise, and none",
}
CAPTION = (
    "dB closer to the truth than the noisy image (PSNR in column 3); of repeats and cines, dB of the noise "
    "gone. %: median share of contrast. ±: RMS of the change to an image without noise, 255ths."
)


def print_tables(rows: list[Row]) -> None:
    """The table, and each target with what was reached."""
    console = Console(width=100)
    methods = methods_of(rows)
    console.print(truth_table(rows, methods))
    targets = targets_of(rows)
    if targets:
        console.print(target_table(targets))


def methods_of(rows: Iterable[Row]) -> list[str]:
    """Names of the columns in order."""
    return list(dict.fromkeys(row["method"] for row in rows if "method" in row))


def truth_table(rows: list[Row], methods: Sequence[str]) -> Table:
    """One line for each row of each group, and the mean of each modality in it."""
    table = Table("", "n", "noisy", *methods, box=SIMPLE_HEAD, padding=(0, 0, 0, 1), caption=CAPTION)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        table.add_section()
        table.add_row(TITLES[group], style="bold")
        for name, *cells in lines(mine, methods):
            table.add_row(f" {name}", *cells)
        seconds = [[row["seconds"] for row in mine if row.get("method") == method] for method in methods]
        shown = [f"{median(values):.2f} s" if values else "" for values in seconds]
        table.add_row(" seconds a plane", "", "", *shown, style="dim")
    return table


def lines(rows: list[Row], methods: Sequence[str]) -> list[list[str]]:
    """Cells of each line of a group: its rows by modality, and the mean where a modality has several."""
    made = []
    for modality in dict.fromkeys(row["modality"] for row in rows):
        mine = [row for row in rows if row["modality"] == modality]
        named = lines_of(mine)
        for name, line in named.items():
            made.append([name, *cells(line, methods)])
        if len([line for line in named.values() if mean_of(line)]) > 1:
            made.append([f"{modality} mean", *cells(mine, methods)])
    return made


def lines_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their line; frame 0 of a cine has its own."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        name = row["row"]
        if row["group"] == "cines":
            name += " frame 0" if row["part"] == "frame 0" else " other frames"
        named.setdefault(name, []).append(row)
    return named


def mean_of(rows: Sequence[Row], method: str | None = None) -> float | None:
    """Mean gain of a method (None: of all), dB."""
    gains = [
        row["gain_db"]
        for row in rows
        if method in (None, row.get("method")) and row.get("gain_db") is not None
    ]
    return fmean(gains) if gains else None


def psnr(mean_square: float, peak: float) -> float:
    """Peak signal to noise ratio, dB."""
    return 10 * log10(peak**2 / mean_square)


def cells(rows: list[Row], methods: Sequence[str]) -> list[str]:
    """Number of images, frames or discs, PSNR of the noisy ones, and each method."""
    ones = {(row["row"], row["image"], row["part"]): row for row in rows if "method" in row}
    if not ones:
        return ["0", "", *["none"] * len(methods)]
    noisy = [psnr(row["noise_ms"], row["peak"]) for row in ones.values() if row["noise_ms"]]
    values = [_value([row for row in rows if row.get("method") == method]) for method in methods]
    return [str(len(ones)), f"{fmean(noisy):.1f}" if noisy else "", *values]


def _value(rows: list[Row]) -> str:
    """Mean gain in dB; the median share in percent of discs; the change of an image without noise."""
    shares = [row["share"] for row in rows if row["share"] is not None]
    if shares:
        return f"{100 * median(shares):.0f} %"
    gain = mean_of(rows)
    if gain is not None:
        return f"{gain:+.2f}"
    changes = [255 * sqrt(row["left_ms"]) / row["peak"] for row in rows if row["left_ms"] is not None]
    return f"±{fmean(changes):.2f}" if changes else ""


def target_table(targets: Sequence[tuple[str, str, dict[str, str]]]) -> Table:
    """Each target, the least that is wanted, and what each method reached."""
    names = list(dict.fromkeys(name for _, _, reached in targets for name in reached))
    table = Table("target", "wanted", *names, box=SIMPLE_HEAD, title="Targets: * not met")
    for column in table.columns[1:]:
        column.justify = "right"
    for text, wanted, reached in targets:
        table.add_row(text, wanted, *(reached.get(name, "") for name in names))
    return table

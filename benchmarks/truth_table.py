"""The rows of the truth benchmark as one table: what each method gains over the noisy input."""

from collections.abc import Sequence
from math import log10
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def print_tables(rows: list[Row]) -> None:
    """Mean gain of each method by group and row."""
    console = Console(width=100)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for group in dict.fromkeys(row["group"] for row in rows):
        console.print(group_table(group, [row for row in rows if row["group"] == group], methods))


def group_table(group: str, rows: list[Row], methods: Sequence[str]) -> Table:
    """One line for each row of the group, and the means of its modalities."""
    table = Table(
        "", "n", "noisy", *methods, title=f"{group}: {TITLES.get(group, 'gain over the noisy image, dB')}"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for modality in dict.fromkeys(row["modality"] for row in rows):
        mine = [row for row in rows if row["modality"] == modality]
        lines = lines_of(mine)
        for name, line in lines.items():
            table.add_row(name, *cells(line, methods))
        if len(lines) > 1:
            table.add_row(f"{modality}, mean", *cells(mine, methods), style="bold", end_section=True)
    return table


TITLES = {
    "repeats": "noise that is gone, judged by the other acquisition, dB",
    "cines": "noise that is gone, judged by the other frames, dB",
}


def lines_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their line; frame 0 of a cine has its own."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        name = row["row"]
        if row["group"] == "cines":
            name += " frame 0" if row["part"] == "frame 0" else " other frames"
        lines.setdefault(name, []).append(row)
    return lines


def cells(rows: list[Row], methods: Sequence[str]) -> list[str]:
    """Number of images or frames, the noisy image, and each method."""
    ones = {(row["row"], row["image"], row["part"]): row for row in rows}
    noisy = [psnr(row["noise_ms"], row["peak"]) for row in ones.values() if row["noise_ms"]]
    values = [_text(mean_gain(rows, method)) for method in methods]
    return [str(len(ones)), f"{fmean(noisy):.2f}" if noisy else "-", *values]


def mean_gain(rows: Sequence[Row], method: str) -> float | None:
    """Mean gain of a method, dB."""
    gains = [row["gain_db"] for row in rows if row["method"] == method and row["gain_db"] is not None]
    return fmean(gains) if gains else None


def psnr(mean_square: float, peak: float) -> float:
    """Peak signal to noise ratio, dB."""
    return 10 * log10(peak**2 / mean_square)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"

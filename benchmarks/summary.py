"""The rows of the quality benchmark as tables: mean PSNR a case, gains over BM3D, mismatch, harm."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers import GIVEN_MODEL, is_learned

Row = dict[str, Any]

TARGETS = {"CT": 1.0, "DX": 1.5, "MR": 0.5, "XA": 1.0}
"""Wanted mean gain over BM3D on white noise, dB."""
CLASSICAL = ("nlm", "wavelet", "tv", "bm3d", GIVEN_MODEL)
MISMATCH_LIMIT = 0.5
"""dB that a level told 20 % wrong may cost."""


def print_summary(rows: list[Row]) -> None:
    """All tables the rows allow."""
    console = Console(width=160)
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        console.print(_case_table(group, mine, "psnr", "{:.2f}"))
        if group in ("white", "physics"):
            console.print(_case_table(group, mine, "ssim", "{:.4f}"))
            console.print(_case_table(group, mine, "bias_over_sigma", "{:+.3f}"))
            if any(is_learned(row["method"]) for row in mine):
                console.print(_gain_table(group, mine))
        elif group == "harm":
            console.print(_case_table("harm: gain over the input (below 0 is harm)", mine, "gain", "{:+.2f}"))
            console.print(_case_table("harm: error left, of 255", mine, "rmse_of_255", "{:.2f}"))
        elif group == "mismatch":
            console.print(_mismatch_table(mine))


def _case_table(title: str, rows: list[Row], key: str, form: str) -> Table:
    """Mean of one number for each modality and case (rows) and method (columns)."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    table = Table("modality", "case", "n", "noisy", *methods, title=f"{title}: {key}")
    for modality, case in dict.fromkeys((row["modality"], row["case"]) for row in rows):
        mine = [row for row in rows if (row["modality"], row["case"]) == (modality, case)]
        noisy = _mean(row["psnr_noisy"] for row in mine) if key == "psnr" else None
        count = len({row["picture"] for row in mine})
        cells = [_mean(row[key] for row in mine if row["method"] == method) for method in methods]
        table.add_row(modality, case, str(count), _text(noisy, form), *(_text(cell, form) for cell in cells))
    return table


def _gain_table(group: str, rows: list[Row]) -> Table:
    """Mean gain of each learned column over BM3D and over the best classical method of each case."""
    ours = [name for name in dict.fromkeys(row["method"] for row in rows) if is_learned(name)]
    titles = [f"{name} - {peer}" for name in ours for peer in ("bm3d", "best classical")]
    table = Table("modality", *titles, "target", title=f"{group}: mean gain, dB")
    for modality in dict.fromkeys(row["modality"] for row in rows):
        mine = [row for row in rows if row["modality"] == modality]
        cells = []
        for name in ours:
            cells.append(_text(_gain(mine, name, ("bm3d",)), "{:+.2f}"))
            cells.append(_text(_gain(mine, name, CLASSICAL), "{:+.2f}"))
        target = TARGETS.get(modality) if group == "white" else None
        table.add_row(modality, *cells, _text(target, "{:+.1f}"))
    return table


def _gain(rows: list[Row], name: str, peers: tuple[str, ...]) -> float | None:
    """Mean over cases of the mean PSNR of `name` minus that of the best of `peers` in that case."""
    gains = []
    for case in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == case]
        means = {
            method: _mean(row["psnr"] for row in mine if row["method"] == method) for method in (name, *peers)
        }
        best = [value for method in peers if (value := means[method]) is not None]
        own = means[name]
        if own is not None and best:
            gains.append(own - max(best))
    return fmean(gains) if gains else None


def _mismatch_table(rows: list[Row]) -> Table:
    """Loss of each method with a wrong level, dB against the right one."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    table = Table("modality", "case", *methods, title=f"mismatch: change in dB (limit -{MISMATCH_LIMIT})")
    for modality in dict.fromkeys(row["modality"] for row in rows):
        mine = [row for row in rows if row["modality"] == modality]
        right = {
            method: _mean(r["psnr"] for r in mine if r["method"] == method and r["case"] == "told x 1")
            for method in methods
        }
        for case in dict.fromkeys(row["case"] for row in mine if row["case"] != "told x 1"):
            cells = []
            for method in methods:
                wrong = _mean(r["psnr"] for r in mine if r["method"] == method and r["case"] == case)
                true = right[method]
                cells.append(_text(None if wrong is None or true is None else wrong - true, "{:+.2f}"))
            table.add_row(modality, case, *cells)
    return table


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)

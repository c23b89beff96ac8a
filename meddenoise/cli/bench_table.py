"""The output of `meddenoise bench` on stderr: one table of 80 columns."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meddenoise.cli.streams import printable
from meddenoise.cli.tables import format_number

_WIDTH = 80
_STYLES = {"ok": "green", "no effect": "yellow", "look": "yellow", "reject": "red"}


def show(document: dict[str, Any]) -> None:
    """The table of a document of `trial_report.as_document`, then what to know of it, then the suggestion."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(_table(document))
    for line in _lines(document):
        console.print(printable(line), markup=False, soft_wrap=not console.is_terminal)


def _table(document: dict[str, Any]) -> Table:
    """A row a method that gave a result."""
    table = Table("method", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    with_ref = document["reference"] is not None
    unit = f" [{document['unit']}]" if document["unit"] else ""
    heads = ["s/plane", "noise left"]
    heads += ["PSNR", "SSIM"] if with_ref else [f"est. error{unit}"]
    for head in (*heads, "discs kept", "trust"):
        table.add_column(escape(head), justify="left" if head == "trust" else "right", no_wrap=True)
    for row in document["methods"]:
        if row["error"]:
            continue
        verdict, values = row["trust"]["verdict"] or "-", row["trust"]["values"]
        share = values.get("noise_left", 1.0 if verdict == "no effect" else None)
        numbers = [
            format_number(row["seconds_per_plane"], digits=3),
            "-" if share is None else f"{share:.0%}",
        ]
        if with_ref:
            numbers += [format_number(row["metrics"].get(name), name) for name in ("psnr", "ssim")]
        else:
            numbers += [format_number(row["estimated_error"], digits=3)]
        kept = values.get("lesion_survival")
        style = _STYLES.get(verdict, "")
        table.add_row(
            escape(row["method"]),
            *numbers,
            "-" if kept is None else f"{kept:.0%}",
            f"[{style}]{verdict}[/]" if style else verdict,
        )
    return table


def _lines(document: dict[str, Any]) -> list[str]:
    planes = document["planes"]
    lines = [f"measured on {len(planes)} of {document['planes_in_all']} planes; times without loading."]
    lines += [
        f"{row['method']}: {row['trust']['verdict']}: {'; '.join(row['trust']['reasons'])}"
        for row in document["methods"]
        if not row["error"] and row["trust"]["reasons"]
    ]
    lines += [f"failed: {row['method']}: {row['error']}" for row in document["methods"] if row["error"]]
    reasons: dict[str, list[str]] = {}
    for name, why in document["left_out"].items():
        reasons.setdefault(why, []).append(name)
    lines += [f"left out, {why}: {', '.join(names)}." for why, names in reasons.items()]
    lines.append(f"picture: {document['picture']}")
    if document["suggested"]:
        ties = document["suggested"]["ties"]
        level = f", level with {' and '.join(ties)} but quicker" if ties else ""
        lines.append(f"use {document['suggested']['method']}: {document['suggested']['why']}{level}.")
    elif not document["sigma"]:
        lines.append("no method is suggested: the image shows no noise.")
    else:
        lines.append("no method is suggested: no result can be trusted.")
    return lines

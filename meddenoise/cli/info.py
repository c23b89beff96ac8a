"""`meddenoise info`: what would be read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meddenoise.cli.streams import printable, tell

if TYPE_CHECKING:
    from meddenoise.io import Item
    from meddenoise.series import Series

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Files or folders.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object a series.")]


def register(app: typer.Typer) -> None:
    """Add the `info` command to the program."""
    app.command()(info)


def info(inputs: Inputs, as_json: AsJson = False) -> None:
    """Show what would be read: series, geometry, bit depth, photometric interpretation, noise.

    Example: meddenoise info study/
    """
    from meddenoise.errors import InputError, NothingReadableError
    from meddenoise.io import discover, read_item

    found = discover(inputs)
    failures = [problem.error for problem in found.failed]
    shown = 0
    for item in found.items:
        try:
            facts = _describe(item, read_item(item))
        except InputError as error:
            failures.append(error)
            continue
        shown += 1
        typer.echo(json.dumps(facts) if as_json else _as_text(facts))
    if found.skipped:
        tell(f"meddenoise: files without an image, skipped: {len(found.skipped)}.")
    if not found.items:
        names = ", ".join(map(str, inputs))
        raise NothingReadableError(
            str(failures[0]) if failures else f"{names} holds no image that can be read: give images."
        )
    for failure in failures:
        tell(f"meddenoise: {failure}")
    if failures:
        raise typer.Exit(1)


def _describe(item: "Item", series: "Series") -> dict[str, Any]:
    from meddenoise.level import estimate_series

    planes, height, width = series.pixels.shape
    noise = estimate_series(series)
    low, high = series.stored_range
    is_float = series.pixels.dtype.kind == "f"
    return {
        "input": str(item.path),
        "files": len(item.files),
        "format": series.format,
        "modality": series.modality,
        "shape": [planes // series.channels, height, width],
        "spacing_mm": list(series.geometry.spacing_mm) if series.geometry.known else None,
        "origin_mm": list(series.geometry.origin_mm) if series.geometry.known else None,
        "frame_time_ms": series.frame_time_ms,
        "pixel_type": str(series.pixels.dtype),
        "bits": None if is_float else max(int(high) - int(low), 1).bit_length(),
        "photometric": _photometric(series),
        "unit": series.unit,
        "noise": {
            "sigma": noise.sigma,
            "range": list(noise.range()),
            "bands": list(noise.middle.bands),
            "model": noise.middle.model,
        },
        "warnings": list(series.warnings),
    }


def _photometric(series: "Series") -> str:
    if series.channels == 3:
        return "RGB"
    return "MONOCHROME1" if series.inverted else "MONOCHROME2"


def _as_text(facts: dict[str, Any]) -> str:
    spacing = facts["spacing_mm"]
    bits = f"{facts['bits']} bits" if facts["bits"] else facts["pixel_type"]
    lines = [
        printable(facts["input"]),
        f"  {facts['format']} {facts['modality']}".rstrip() + f", files: {facts['files']}",
        "  " + " x ".join(map(str, facts["shape"])) + f" pixels, {bits}, {facts['photometric']}",
        "  spacing " + (" x ".join(f"{value:g}" for value in spacing) + " mm" if spacing else "not stated"),
        _noise_line(facts["noise"], facts["unit"]),
    ]
    if facts["frame_time_ms"]:
        lines.append(f"  {facts['frame_time_ms']:g} ms a frame")
    lines += [f"  warning: {text}" for text in facts["warnings"]]
    return "\n".join(lines)


def _noise_line(noise: dict[str, Any], unit: str) -> str:
    """The level, and its range along the series where two of its digits can tell the ends apart."""
    line = f"  noise {noise['sigma']:.4g} {unit}".rstrip() + f" ({noise['model']})"
    low, high = (f"{level:.2g}" for level in noise["range"])
    return line if low == high else f"{line}, {low} to {high} along the series"

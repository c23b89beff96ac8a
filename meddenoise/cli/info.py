"""`meddenoise info`: what would be read."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meddenoise.cli.image_options import Modality
from meddenoise.cli.streams import fitted, printable, tell
from meddenoise.cli.tables import name_series

if TYPE_CHECKING:
    from meddenoise.io import Item
    from meddenoise.io.modality import Taken
    from meddenoise.series import Series

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Files or folders.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, one object a series.")]

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Name the files that are skipped.")]


def register(app: typer.Typer) -> None:
    """Add the `info` command to the program."""
    app.command()(info)


def info(
    inputs: Inputs, modality: Modality = None, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Show what would be read: series, modality, geometry, bit depth, photometric interpretation, noise.

    Example: meddenoise info study/
    """
    import json

    from meddenoise.errors import InputError
    from meddenoise.io import discover, read_item
    from meddenoise.io.modality import check_code, take

    code = None if modality is None else check_code(modality)
    found = discover(inputs)
    failures = [problem.error for problem in found.failed]
    shown = 0
    for item in found.items:
        try:
            facts = _describe(item, take(read_item(item), code))
        except InputError as error:
            failures.append(error)
            continue
        shown += 1
        typer.echo(json.dumps(facts) if as_json else fitted(_as_text(facts), sys.stdout, indent="    "))
    if found.skipped:
        tell(f"meddenoise: files without an image, skipped: {len(found.skipped)}.")
        for problem in found.skipped if verbose else ():
            tell(f"skipped: {problem.path}")
    for note in found.notes:
        tell(f"meddenoise: {note}")
    if not found.items:
        raise found.nothing_readable(inputs)
    for failure in failures:
        tell(f"meddenoise: {failure}")
    if failures:
        raise typer.Exit(1)


def _describe(item: "Item", taken: "Taken") -> dict[str, Any]:
    from meddenoise.engine.level import estimate_series
    from meddenoise.io.archive import origin

    series = taken.seen
    planes, height, width = series.pixels.shape
    noise = estimate_series(series)
    low, high = series.stored_range
    is_float = series.pixels.dtype.kind == "f"
    return {
        "input": str(origin(item.path)),
        "name": series.label,
        "description": series.name,
        "files": len(item.files),
        "format": series.format,
        "modality": series.modality,
        "modality_from": taken.why,
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
        "warnings": [*series.warnings, *taken.warnings],
    }


def _photometric(series: "Series") -> str:
    if series.channels == 3:
        return "RGB"
    return "MONOCHROME1" if series.inverted else "MONOCHROME2"


def _as_text(facts: dict[str, Any]) -> str:
    spacing = facts["spacing_mm"]
    bits = f"{facts['bits']} bits" if facts["bits"] else facts["pixel_type"]
    lines = [
        printable(name_series(facts["input"], facts["description"], facts["name"])),
        f"  {facts['format']}, files: {facts['files']}",
        "  modality " + ", ".join(filter(None, (facts["modality"], facts["modality_from"]))),
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
    low, high = noise["range"]
    apart = f"{low:.2g}" != f"{high:.2g}"
    return f"{line}, {low:.4g} to {high:.4g} along the series" if apart else line

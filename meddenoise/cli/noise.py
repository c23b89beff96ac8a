"""`meddenoise noise`: measure the noise of a device and keep it as a profile."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meddenoise.cli.image_options import Modality
from meddenoise.cli.streams import tell

if TYPE_CHECKING:
    from meddenoise.noise.profile import NoiseProfile
    from meddenoise.pipeline.profile import MeasuredProfile

Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="A cine, repeated scans of one scene, or one image.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write the profile here, as TOML.")]
From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="auto|frames|repeats|image",
        help="The kind of input: frames for a stack that is not marked as a cine.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a profile that exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the profile as JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the `noise` command to the program."""
    app.command()(noise)


def noise(
    inputs: Inputs,
    output: Output = None,
    source: From = "auto",
    modality: Modality = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure noise: gain and offset, spectrum, correlation, recursive filter, level of every frame.

    The profile is for `denoise --noise-profile`, `simulate --noise profile.toml` and `train --noise-profile`.

    Example: meddenoise noise cine.dcm -o profile.toml

    Example: meddenoise noise scan1/ scan2/ scan3/ -o profile.toml
    """
    import json

    from meddenoise.errors import OutputError
    from meddenoise.noise.profile.file import write_profile
    from meddenoise.pipeline.profile import measure_profile

    if output is not None and output.exists() and not overwrite:
        raise OutputError(f"{output} exists already: choose another output, or add --overwrite.")
    measured = measure_profile(_read(inputs, modality), source)  # type: ignore[arg-type]
    if output is not None:
        write_profile(measured.profile, output)
    if as_json:
        typer.echo(json.dumps(_facts(measured)))
    else:
        _show(measured.profile)
    for note in measured.notes:
        tell(f"note: {note}")
    if output is not None and not as_json:
        typer.echo(output)


def _read(inputs: list[Path], modality: str | None) -> list[Any]:
    """All series of the inputs, of `modality` where their files state none.

    Raises the first problem: a part of the frames is no measurement.
    """
    from meddenoise.io import discover, read_item
    from meddenoise.io.modality import check_code, take

    code = None if modality is None else check_code(modality)
    found = discover(inputs, results=False)
    if found.failed:
        raise found.failed[0].error
    if not found.items:
        raise found.nothing_readable(inputs)
    for note in found.notes:
        tell(f"note: {note}")
    return [take(read_item(item), code).series for item in found.items]


def _facts(measured: "MeasuredProfile") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(measured.profile), "notes": list(measured.notes)}


def _show(profile: "NoiseProfile") -> None:
    """The profile as a table on stderr."""
    from rich.console import Console
    from rich.table import Table

    unit = f" {profile.unit}" if profile.unit else ""
    counts = profile.counts
    table = Table(title="noise profile", show_header=False, width=72)
    table.add_column(no_wrap=True)
    table.add_column()
    rows = [
        ("measured from", f"{profile.source}: {counts.planes} planes, {counts.settled} of them at one level"),
        ("left out", f"{counts.moved:.1%} moved, {counts.saturated:.1%} saturated"),
        ("level", f"{profile.sigma:.4g}{unit} ({profile.model})"),
        ("level of each plane", _levels(profile)),
        ("variance at mean m", _line(profile)),
        ("spectrum", ", ".join(f"{f:g}: {p:.2f}" for f, p in _spectrum(profile)) + " (white: 1)"),
        ("correlated over", f"{profile.correlation_px:.2f} pixels along a line (white: 1)"),
        ("lag of frames", f"{profile.rho:.2f}" + (" (recursive filter)" if profile.rho > 0.1 else "")),
    ]
    # less noise than the first step has is at no step
    rows += [("diffusion steps", _span(profile))] if max(profile.steps) > 0 else []
    for name, text in rows:
        table.add_row(name, text)
    Console(stderr=True, highlight=False, width=80).print(table)


def _line(profile: "NoiseProfile") -> str:
    if profile.gain == 0:
        return f"{profile.offset:.4g}, at any brightness"
    return f"{profile.gain:.4g} m {'+' if profile.offset >= 0 else '-'} {abs(profile.offset):.4g}"


def _levels(profile: "NoiseProfile") -> str:
    """The range, and that of the first plane, which begins a run."""
    low, high = min(profile.sigmas), max(profile.sigmas)
    return f"{low:.4g} to {high:.4g}, the first {profile.sigmas[0]:.4g}"


def _spectrum(profile: "NoiseProfile") -> list[tuple[float, float]]:
    """Power at a few frequencies, cycles a pixel."""
    import numpy as np

    shown = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    return [(f, float(np.interp(f, profile.frequency, profile.power))) for f in shown]


def _span(profile: "NoiseProfile") -> str:
    from meddenoise.noise.profile import SCHEDULE

    low, middle, high = (
        sorted(profile.steps)[k] for k in (0, len(profile.steps) // 2, len(profile.steps) - 1)
    )
    return f"{middle} of {SCHEDULE} ({low} to {high})"

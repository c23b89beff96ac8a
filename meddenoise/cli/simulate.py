"""`meddenoise simulate`: calibrated noise on clean images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meddenoise.io import Item

Input = Annotated[Path, typer.Argument(metavar="INPUT", help="A file or a folder.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="A folder, or a file if INPUT is a single image.")]
Noise = Annotated[
    list[str],
    typer.Option(
        "--noise",
        metavar="NOISE",
        help="gaussian:SIGMA, correlated:SIGMA[:KERNEL_PX], rician:PERCENT[:COILS], "
        "ct-dose:FRACTION[:PHOTONS], xray:QUANTA[:ELECTRONIC] or salt-pepper:FRACTION, "
        "or the profile.toml of `meddenoise noise`; "
        "repeat to add several in order.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same noise.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]

RECORD = "simulate.json"


def register(app: typer.Typer) -> None:
    """Add the `simulate` command to the program."""
    app.command()(simulate)


def simulate(input: Input, out: Out, noise: Noise, seed: Seed = 0, overwrite: Overwrite = False) -> None:
    """Add calibrated, physics-based noise to clean images; OUT keeps their format and geometry.

    SIGMA is in image units, PERCENT of the brightest signal, QUANTA a pixel at the image's mean.
    simulate.json in OUT states what was added: level, spectrum, seed.

    Example: meddenoise simulate clean/ noisy/ --noise ct-dose:0.25

    Example: meddenoise simulate brain.nii.gz noisy.nii.gz --noise rician:5 --seed 7

    Example: meddenoise simulate clean.dcm noisy.dcm --noise profile.toml
    """
    from rich.console import Console

    from meddenoise.errors import MeddenoiseError, UsageError
    from meddenoise.io import discover

    found = discover([input], results=False)
    failures: list[MeddenoiseError] = [problem.error for problem in found.failed]
    if not found.items:
        raise found.nothing_readable([input])
    output, root, record = _plan(input, out, found.items, overwrite)
    rows = []
    for index, item in enumerate(found.items):
        try:
            rows.append(_simulate_item(item, output, root, noise, (seed, index)))
        except UsageError:
            raise
        except MeddenoiseError as error:
            failures.append(error)
    if rows:
        _write_record(record, noise, seed, rows)
    console = Console(stderr=True, highlight=False)
    for note in found.notes:
        console.print(note, markup=False, soft_wrap=True)
    for failure in failures:
        console.print(f"meddenoise: {failure}", markup=False, soft_wrap=True)
    for row in rows:
        for warning in row["warnings"]:
            console.print(f"warning: {row['input']}: {warning}", markup=False, soft_wrap=True)
    console.print(f"{len(rows)} series written, {len(failures)} failed.", markup=False)
    if rows:
        typer.echo(out)
    if failures:
        raise typer.Exit(1)


def _plan(input: Path, out: Path, items: "Sequence[Item]", overwrite: bool) -> tuple[Path, Path | None, Path]:
    """Output and root for `io.write`, and the path of the record.

    Raises OutputError where a result exists or would be one of the inputs, UsageError where its name is that
    of another format than the input's.
    """
    from meddenoise.errors import OutputError, UsageError
    from meddenoise.io import output_paths, written_format
    from meddenoise.io.layout import IMAGE_SUFFIXES, meant_format, refuse_sources, stem

    named = out.name.lower().endswith(IMAGE_SUFFIXES) and not out.is_dir()
    single = input.is_file() and len(items[0].files) == 1
    if named and not single:
        raise OutputError(f"{out} is the name of one image, {input} gives several files: name a folder.")
    written = written_format(items[0].format, "same")
    if named and meant_format(out) != written:
        raise UsageError(
            f"the output {out} has a name for {meant_format(out)}, but {written} is written, as {input} is: "
            "change the name."
        )
    root = None if named else items[0].root
    record = out.with_name(f"{stem(out)}.{RECORD}") if named else out / RECORD
    targets = [path for item in items for path in output_paths(item, out, root=root)]
    refuse_sources([file for item in items for file in item.files], targets)
    taken = [path for path in (*targets, record) if path.exists()]
    if taken and not overwrite:
        raise OutputError(f"{taken[0]} exists already: choose another output, or add --overwrite.")
    return out, root, record


def _simulate_item(
    item: "Item", output: Path, root: Path | None, noise: "Sequence[str]", seed: tuple[int, int]
) -> dict[str, Any]:
    """Write one noisy series; returns its row of the record."""
    from meddenoise.io import read_item, write
    from meddenoise.noise.insert import insert_noise

    series = read_item(item)
    result = insert_noise(series, noise, *seed)
    warnings = list(series.warnings)
    if result.cut > 1e-3:
        warnings.append(f"{result.cut:.1%} of the pixels were clipped at the ends of the stored range")
    return {
        "input": str(item.path),
        "output": [str(path) for path in write(result.series, output, root=root)],
        "shape": list(series.pixels.shape),
        "unit": series.unit,
        "noise": [info.summary() for info in result.infos],
        "cut": result.cut,
        "warnings": warnings,
    }


def _write_record(path: Path, noise: "Sequence[str]", seed: int, rows: "Sequence[dict[str, Any]]") -> None:
    import json

    from meddenoise.io.atomic import write_whole
    from meddenoise.version import __version__

    record = {"meddenoise": __version__, "noise": list(noise), "seed": seed, "series": list(rows)}
    write_whole(path, (json.dumps(record, indent=2) + "\n").encode())

"""`meddenoise phantom`: a simulated study with a known truth."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import complete

DEFAULT_PLANES = "ct 8, mr 8, xray 1, fluoro 16"
DEFAULT_DOSE = "ct 0.1, xray 0.1, fluoro 1"
"""As PHANTOMS has them, whose import would slow down the help."""

Name = Annotated[
    str,
    typer.Argument(metavar="KIND", help="ct, mr, xray or fluoro.", autocompletion=complete.phantom),
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder for OUT/noisy and OUT/clean.")]
Size = Annotated[int, typer.Option("--size", help="Rows and columns, pixels.")]
Planes = Annotated[
    int | None,
    typer.Option(
        "--slices",
        "--frames",
        help="Slices (ct, mr), frames (fluoro) or images (xray).",
        show_default=DEFAULT_PLANES,
    ),
]
Dose = Annotated[
    float | None,
    typer.Option(
        "--dose",
        help="Fraction of a normal dose (ct, xray, fluoro).",
        show_default=DEFAULT_DOSE,
    ),
]
Noise = Annotated[
    list[str] | None,
    typer.Option(
        "--noise",
        metavar="NOISE",
        help="Noise in place of the dose's, as in `meddenoise simulate`; repeat to add several in order.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Another seed, another patient and another noise.")]
Format = Annotated[
    str,
    typer.Option(
        "--format", help="dicom, nifti, nrrd, mha, png or tiff.", autocompletion=complete.format_of_phantom
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a study in OUT.")]


def register(app: typer.Typer) -> None:
    """Add the `phantom` command to the program."""
    app.command()(phantom)


def phantom(
    kind: Name,
    out: Out,
    size: Size = 256,
    slices: Planes = None,
    dose: Dose = None,
    noise: Noise = None,
    seed: Seed = 0,
    format: Format = "dicom",
    overwrite: Overwrite = False,
) -> None:
    """Write a physics-simulated study: OUT/noisy and OUT/clean, same geometry, valid DICOM.

    Example: meddenoise phantom ct study --dose 0.1

    Example: meddenoise phantom fluoro cine --frames 32 --format nifti
    """
    from rich.console import Console

    from meddenoise.errors import UsageError
    from meddenoise.phantom import make_phantom
    from meddenoise.phantom.acquire import dose_noise, named_noise
    from meddenoise.phantom.study import check_folder, write_study

    if noise and dose is not None:
        raise UsageError("--dose and --noise exclude each other: give one of them.")
    check_folder(out, overwrite)
    made = make_phantom(kind, size=size, planes=slices, seed=seed)
    noises = named_noise(made, noise) if noise else dose_noise(made, dose)
    study = write_study(made, noises, out, seed=seed, format=format)
    count = len(study.files["noisy"])
    Console(stderr=True, highlight=False).print(
        f"{kind} phantom of {' x '.join(map(str, made.truth.shape))} pixels, seed {seed}: {count} noisy and "
        f"{count} clean file{'s' if count > 1 else ''} in {out}; the noise is stated in {study.record}.",
        markup=False,
        soft_wrap=True,
    )
    for part in study.files:
        typer.echo(out / part)

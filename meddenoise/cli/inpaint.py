"""`meddenoise inpaint`: what a mask marks, filled in."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import options as shared
from meddenoise.cli.image_options import Modality
from meddenoise.cli.request import start

Mask = Annotated[
    Path,
    typer.Option(
        "--mask",
        help="The pixels to fill in: those that are not 0 in this image, series or DICOM segmentation. "
        "A single plane is used for every plane.",
    ),
]

Grain = Annotated[
    bool,
    typer.Option(
        "--grain",
        help="Add noise like that of the image to what is filled in, so that it does not look like a smooth "
        "patch. It is made up, and says so in the result.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the `inpaint` command to the program."""
    app.command()(inpaint)


def inpaint(
    mask: Mask,
    inputs: shared.Inputs = None,
    files_from: shared.FilesFrom = None,
    output: shared.InpaintedOutput = None,
    grain: Grain = False,
    mode: shared.Mode = None,
    weights: shared.Weights = None,
    modality: Modality = None,
    steps: shared.Steps = None,
    samples: shared.Samples = 1,
    seed: shared.Seed = 0,
    device: shared.DeviceName = "auto",
    precision: shared.Precision = "auto",
    tile: shared.Tile = None,
    overlap: shared.Overlap = None,
    batch_size: shared.BatchSize = "auto",
    format: shared.FormatName = "same",
    window: shared.Window = None,
    uncertainty: shared.Uncertainty = False,
    residual: shared.Residual = False,
    report: shared.WithReport = True,
    resume: shared.Resume = True,
    overwrite: shared.Overwrite = False,
    jobs: shared.Jobs = 1,
    as_json: shared.AsJson = False,
    verbose: shared.Verbose = None,
) -> None:
    """Fill in what MASK marks in files, folders or series (Med-cDiff inpainting).

    Every other pixel keeps every bit. What is filled in is generated: not for diagnostic use.

    Example: meddenoise inpaint chest.dcm --mask pacemaker.nii.gz
    """
    from meddenoise.errors import UsageError

    if not mask.exists():
        raise UsageError(f"--mask {mask} does not exist: give an image, a series or a DICOM segmentation.")
    start(inputs, files_from, output=output, task="inpaint", method="medcdiff-inpaint", mask=mask, mode=mode,
        grain=grain, weights=weights, modality=modality, steps=steps, samples=samples, seed=seed,
        device=device, precision=precision, tile=tile, overlap=overlap, batch_size=batch_size, format=format,
        window=window, uncertainty=uncertainty, residual=residual, report=report, resume=resume,
        overwrite=overwrite, jobs=jobs, as_json=as_json, verbose=verbose)  # fmt: skip

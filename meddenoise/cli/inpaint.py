"""`meddenoise inpaint`: what a mask marks, filled in."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import denoise
from meddenoise.cli.image_options import Modality
from meddenoise.cli.request import gather, start

Mask = Annotated[
    Path,
    typer.Option(
        "--mask",
        help="What is to be filled in: pixels that are not 0 of an image or series, or of a DICOM "
        "segmentation. A single plane is for every plane.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the `inpaint` command to the program."""
    app.command()(inpaint)


def inpaint(
    mask: Mask,
    inputs: denoise.Inputs = None,
    files_from: denoise.FilesFrom = None,
    output: denoise.InpaintedOutput = None,
    mode: denoise.Mode = None,
    weights: denoise.Weights = None,
    modality: Modality = None,
    steps: denoise.Steps = None,
    samples: denoise.Samples = 1,
    seed: denoise.Seed = 0,
    device: denoise.DeviceName = "auto",
    precision: denoise.Precision = "auto",
    tile: denoise.Tile = None,
    overlap: denoise.Overlap = None,
    batch_size: denoise.BatchSize = "auto",
    format: denoise.FormatName = "same",
    uncertainty: denoise.Uncertainty = False,
    residual: denoise.Residual = False,
    report: denoise.WithReport = True,
    resume: denoise.Resume = True,
    overwrite: denoise.Overwrite = False,
    jobs: denoise.Jobs = 1,
    as_json: denoise.AsJson = False,
    quiet: denoise.Quiet = False,
    verbose: denoise.Verbose = False,
) -> None:
    """Fill in what MASK marks in files, folders or series (Med-cDiff inpainting).

    Every other pixel keeps every bit. What is filled in is generated: not for diagnostic use.

    Example: meddenoise inpaint chest.dcm --mask pacemaker.nii.gz
    """
    options = gather(
        task="inpaint", method="medcdiff-inpaint", weights=weights, modality=modality, mode=mode,
        steps=steps, samples=samples, seed=seed, device=device, precision=precision, tile=tile,
        overlap=overlap, batch_size=batch_size, uncertainty=uncertainty,
    )  # fmt: skip
    start(options, inputs, files_from, output=output, report=report, verbosity=verbose - quiet,
        as_json=as_json, format=format, residual=residual, mask=mask, resume=resume,
        overwrite=overwrite, jobs=jobs)  # fmt: skip

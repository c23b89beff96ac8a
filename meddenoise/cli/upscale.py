"""`meddenoise upscale`: the same field of view on a finer grid."""

from typing import Annotated

import typer

from meddenoise.cli import denoise
from meddenoise.cli.image_options import Modality
from meddenoise.cli.request import gather, start

Factor = Annotated[
    float,
    typer.Option(metavar="2..16", help="Pixels of the result in one of the input, down and across."),
]


def register(app: typer.Typer) -> None:
    """Add the `upscale` command to the program."""
    app.command()(upscale)


def upscale(
    inputs: denoise.Inputs = None,
    factor: Factor = 2.0,
    files_from: denoise.FilesFrom = None,
    output: denoise.UpscaledOutput = None,
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
    report: denoise.WithReport = True,
    resume: denoise.Resume = True,
    overwrite: denoise.Overwrite = False,
    jobs: denoise.Jobs = 1,
    as_json: denoise.AsJson = False,
    quiet: denoise.Quiet = False,
    verbose: denoise.Verbose = False,
) -> None:
    """Write files, folders or series on a grid FACTOR times as fine (Med-cDiff super-resolution).

    In plane only: slices stay as thick as they are. Spacing and position follow, the field of view stays.
    Detail between the measured pixels is generated: not for diagnostic use.

    Example: meddenoise upscale knee.nii.gz --factor 4
    """
    options = gather(
        task="upscale", method="medcdiff-upscale", factor=factor, weights=weights, modality=modality,
        mode=mode, steps=steps, samples=samples, seed=seed, device=device, precision=precision, tile=tile,
        overlap=overlap, batch_size=batch_size, uncertainty=uncertainty,
    )  # fmt: skip
    start(options, inputs, files_from, output=output, report=report, verbosity=verbose - quiet,
        as_json=as_json, format=format, resume=resume, overwrite=overwrite, jobs=jobs)  # fmt: skip

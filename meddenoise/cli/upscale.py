"""`meddenoise upscale`: the same field of view on a finer grid."""

from typing import Annotated

import typer

from meddenoise.cli import options as shared
from meddenoise.cli.image_options import Modality
from meddenoise.cli.request import start

Factor = Annotated[
    float,
    typer.Option(metavar="2..16", help="Pixels of the result per pixel of the input, down and across."),
]


def register(app: typer.Typer) -> None:
    """Add the `upscale` command to the program."""
    app.command()(upscale)


def upscale(
    inputs: shared.Inputs = None,
    factor: Factor = 2.0,
    files_from: shared.FilesFrom = None,
    output: shared.UpscaledOutput = None,
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
    report: shared.WithReport = True,
    resume: shared.Resume = True,
    overwrite: shared.Overwrite = False,
    jobs: shared.Jobs = 1,
    as_json: shared.AsJson = False,
    verbose: shared.Verbose = None,
) -> None:
    """Write files, folders or series on a grid FACTOR times as fine (Med-cDiff super-resolution).

    In plane only: slices stay as thick as they are. Spacing and position follow, the field of view stays.
    Detail between the measured pixels is generated: not for diagnostic use.

    Example: meddenoise upscale knee.nii.gz --factor 4
    """
    start(inputs, files_from, output=output, task="upscale", method="medcdiff-upscale", factor=factor,
        mode=mode, weights=weights, modality=modality, steps=steps, samples=samples, seed=seed, device=device,
        precision=precision, tile=tile, overlap=overlap, batch_size=batch_size, format=format, window=window,
        uncertainty=uncertainty, report=report, resume=resume, overwrite=overwrite, jobs=jobs,
        as_json=as_json, verbose=verbose)  # fmt: skip

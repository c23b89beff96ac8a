"""`meddenoise denoise`: options in, a request to `meddenoise.batch` out."""

from typing import Annotated

import typer

from meddenoise.cli.image_options import Modality, NoiseMap, Profile, Sigma, Strength
from meddenoise.cli.options import (
    _TALKING,
    _WRITING,
    AsJson,
    BatchSize,
    BlindRadius,
    Cluster,
    DeviceName,
    FilesFrom,
    FormatName,
    Fusion,
    Inputs,
    Jobs,
    MethodName,
    Mode,
    Output,
    Overlap,
    Overwrite,
    Phi,
    Precision,
    Quality,
    Reference,
    Residual,
    Resume,
    Samples,
    Seed,
    Steps,
    Tile,
    Uncertainty,
    Verbose,
    Weights,
    Window,
    WithReport,
)
from meddenoise.cli.request import start

SaveNoiseMap = Annotated[
    bool,
    typer.Option(
        "--save-noise-map",
        help="Also write the noise map that was used, as float32 NIfTI named NAME_noise_map.nii, for "
        "--noise-map.",
        rich_help_panel=_WRITING,
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 1 if a verdict is reject.", rich_help_panel=_TALKING)
]


def register(app: typer.Typer) -> None:
    """Add the `denoise` command to the program."""
    app.command()(denoise)


def denoise(
    inputs: Inputs = None,
    files_from: FilesFrom = None,
    output: Output = None,
    method: MethodName = "auto",
    mode: Mode = None,
    quality: Quality = "standard",
    weights: Weights = None,
    steps: Steps = None,
    samples: Samples = 1,
    fusion: Fusion = True,
    blind_radius: BlindRadius = "auto",
    seed: Seed = 0,
    sigma: Sigma = "auto",
    profile: Profile = None,
    noise_map: NoiseMap = None,
    modality: Modality = None,
    strength: Strength = 1.0,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    overlap: Overlap = None,
    batch_size: BatchSize = "auto",
    format: FormatName = "same",
    window: Window = None,
    uncertainty: Uncertainty = False,
    residual: Residual = False,
    save_noise_map: SaveNoiseMap = False,
    ref: Reference = None,
    report: WithReport = True,
    phi: Phi = False,
    resume: Resume = True,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    strict: Strict = False,
    as_json: AsJson = False,
    verbose: Verbose = None,
) -> None:
    """Denoise files, folders or series; write them back in the same format, with a report.

    Example: meddenoise denoise study/ -o denoised/
    """
    start(inputs, files_from, output=output, method=method, weights=weights, mode=mode, quality=quality,
        steps=steps, samples=samples, seed=seed, fusion=fusion, blind_radius=blind_radius, sigma=sigma,
        noise_profile=profile, noise_map=noise_map, modality=modality, strength=strength, device=device,
        precision=precision, tile=tile, overlap=overlap, batch_size=batch_size, format=format, window=window,
        uncertainty=uncertainty, residual=residual, save_noise_map=save_noise_map, reference=ref, phi=phi,
        report=report, resume=resume, overwrite=overwrite, jobs=jobs, cluster=cluster, strict=strict,
        as_json=as_json, verbose=verbose)  # fmt: skip

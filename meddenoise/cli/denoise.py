"""`meddenoise denoise`: options in, a request to `meddenoise.batch` out."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import complete
from meddenoise.cli.image_options import Modality, NoiseMap, Profile, Sigma, Strength
from meddenoise.cli.request import gather, start

_COMPUTING = "Computing"
_WRITING = "Writing"
_TALKING = "Telling"

Inputs = Annotated[list[Path] | None, typer.Argument(metavar="INPUT", help="Files or folders.")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE|-", help="Read more inputs from a file or stdin, one a line.")
]


def _output(mark: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        "-o",
        "--output",
        help=f"Where to write. Default: NAME_{mark}.EXT beside a file, NAME_{mark}/ beside a folder.",
        rich_help_panel=_WRITING,
    )
    return option


Output = Annotated[Path | None, _output("denoised")]
UpscaledOutput = Annotated[Path | None, _output("upscaled")]
InpaintedOutput = Annotated[Path | None, _output("inpainted")]
MethodName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="A name of `meddenoise methods`; auto: the best for the modality.",
        autocompletion=complete.method_or_auto,
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        metavar="distilled|diffusion", help="One pass, or the full sampler.", autocompletion=complete.mode
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH|hf://...",
        help="The checkpoint. Default: by modality, from the manifest.",
        autocompletion=complete.checkpoint,
    ),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Sampler steps; selects --mode diffusion.")]
Samples = Annotated[
    int, typer.Option(metavar="N", help="Draws that are averaged; more than 1 select --mode diffusion.")
]
Fusion = Annotated[
    bool,
    typer.Option(
        "--fusion/--no-fusion", help="Weigh the result against the noisy image, for methods that can."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same pixels on a device.")]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda[:N]|mps",
        help="auto: a GPU that works, else the CPU.",
        autocompletion=complete.device,
        rich_help_panel=_COMPUTING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|bf16",
        help="auto: the fastest within 0.02 dB of fp32.",
        autocompletion=complete.precision,
        rich_help_panel=_COMPUTING,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Side of the patches. Default: the method's own.", rich_help_panel=_COMPUTING
    ),
]
Overlap = Annotated[
    int | None, typer.Option(metavar="N", help="Pixels patches share.", rich_help_panel=_COMPUTING)
]
BatchSize = Annotated[
    str, typer.Option(metavar="auto|N", help="Patches at a time.", rich_help_panel=_COMPUTING)
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="same|dicom|nifti|png|tiff",
        help="Format written.",
        autocompletion=complete.format,
        rich_help_panel=_WRITING,
    ),
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Also write the standard deviation of every pixel, as float32 NIfTI named "
        "NAME_uncertainty.nii; selects --mode diffusion.",
        rich_help_panel=_WRITING,
    ),
]
Residual = Annotated[
    bool,
    typer.Option(
        "--residual",
        help="Also write input minus output, as float32 NIfTI named NAME_residual.nii.",
        rich_help_panel=_WRITING,
    ),
]
SaveNoiseMap = Annotated[
    bool,
    typer.Option(
        "--save-noise-map",
        help="Also write the noise map that was used, as float32 NIfTI named NAME_noise_map.nii, for "
        "--noise-map.",
        rich_help_panel=_WRITING,
    ),
]
BlindRadius = Annotated[
    str,
    typer.Option(metavar="auto|N", help="Pixels over which noise is taken as correlated; auto measures it."),
]
Reference = Annotated[
    Path | None,
    typer.Option("--ref", help="Also measure against this file or folder.", rich_help_panel=_WRITING),
]
WithReport = Annotated[
    bool, typer.Option("--report/--no-report", help="Write the report files.", rich_help_panel=_WRITING)
]
Phi = Annotated[
    bool, typer.Option("--phi", help="Name the patient in the HTML report.", rich_help_panel=_WRITING)
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Keep and skip finished outputs.", rich_help_panel=_WRITING),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write outputs anew that exist.", rich_help_panel=_WRITING)
]
Jobs = Annotated[int, typer.Option(metavar="N", help="Series at a time.", rich_help_panel=_COMPUTING)]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 1 where a verdict is reject.", rich_help_panel=_TALKING)
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object a series on stdout, as each finishes.", rich_help_panel=_TALKING
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say less.", rich_help_panel=_TALKING)]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.", rich_help_panel=_TALKING)]


def register(app: typer.Typer) -> None:
    """Add the `denoise` command to the program."""
    app.command()(denoise)


def denoise(
    inputs: Inputs = None,
    files_from: FilesFrom = None,
    output: Output = None,
    method: MethodName = "auto",
    mode: Mode = None,
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
    uncertainty: Uncertainty = False,
    residual: Residual = False,
    save_noise_map: SaveNoiseMap = False,
    ref: Reference = None,
    report: WithReport = True,
    phi: Phi = False,
    resume: Resume = True,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    strict: Strict = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Denoise files, folders or series; write them back in the same format, with a report.

    Example: meddenoise denoise study/ -o denoised/
    """
    options = gather(method=method, weights=weights, mode=mode, steps=steps, samples=samples, seed=seed,
        fusion=fusion, sigma=sigma, noise_profile=profile, noise_map=noise_map, modality=modality,
        uncertainty=uncertainty, strength=strength, precision=precision, tile=tile, overlap=overlap,
        device=device, batch_size=batch_size, blind_radius=blind_radius)  # fmt: skip
    start(options, inputs, files_from, output=output, reference=ref, report=report, as_json=as_json,
        verbosity=verbose - quiet, format=format, residual=residual, noise_map=save_noise_map, phi=phi,
        resume=resume, overwrite=overwrite, jobs=jobs, strict=strict)  # fmt: skip

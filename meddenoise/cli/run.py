"""`meddenoise denoise`: options in, a request to `meddenoise.batch` out."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from meddenoise.batch import Request
    from meddenoise.noise.profile import NoiseProfile

Number = TypeVar("Number", int, float)

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
    str, typer.Option(metavar="NAME", help="A name of `meddenoise methods`; auto: the best for the modality.")
]
Mode = Annotated[
    str | None, typer.Option(metavar="distilled|diffusion", help="One pass, or the full sampler.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH|hf://...", help="The checkpoint. Default: by modality, from the manifest."
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
Sigma = Annotated[
    str, typer.Option(metavar="auto|FLOAT", help="Noise level in the image's unit; auto estimates it.")
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--noise-profile",
        metavar="PROFILE.toml",
        help="The noise by a file of `meddenoise noise`, in place of an estimate.",
    ),
]
Strength = Annotated[float, typer.Option(metavar="FLOAT", help="0 gives the input back, 1 the full result.")]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda[:N]|mps",
        help="auto: a GPU that works, else the CPU.",
        rich_help_panel=_COMPUTING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|bf16", help="auto: the fastest within 0.02 dB of fp32.", rich_help_panel=_COMPUTING
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
        "--format", metavar="same|dicom|nifti|png|tiff", help="Format written.", rich_help_panel=_WRITING
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
    strength: Strength = 1.0,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    tile: Tile = None,
    overlap: Overlap = None,
    batch_size: BatchSize = "auto",
    format: FormatName = "same",
    uncertainty: Uncertainty = False,
    residual: Residual = False,
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
    from meddenoise import batch, crew
    from meddenoise.options import Options

    options = Options(method=method, weights=weights, mode=mode, steps=steps, samples=samples,
        seed=seed, fusion=fusion, sigma=parse("--sigma", sigma, float), noise_profile=load_profile(profile),
        uncertainty=uncertainty, strength=strength, precision=precision, tile=tile, overlap=overlap,
        device=device, batch_size=parse("--batch-size", batch_size, int),
        blind_radius=parse("--blind-radius", blind_radius, int))  # fmt: skip
    orders = crew.Orders(options=options, format=format, residual=residual, phi=phi, resume=resume,
        overwrite=overwrite, jobs=jobs)  # fmt: skip
    request = batch.Request(inputs=collect(inputs or [], files_from), output=output, reference=ref,
        report=report, command=shlex.join(["meddenoise", *sys.argv[1:]]), orders=orders)  # fmt: skip
    run_request(request, verbosity=verbose - quiet, as_json=as_json, strict=strict)


def load_profile(path: Path | None) -> "NoiseProfile | None":
    """The noise profile in a file, None for none."""
    if path is None:
        return None
    from meddenoise.noise.profile_file import read_profile

    return read_profile(path)


def run_request(request: "Request", *, verbosity: int, as_json: bool, strict: bool = False) -> None:
    """Run a request, tell how it goes, and raise typer.Exit where something failed or `strict` forbids it."""
    from meddenoise.batch import run
    from meddenoise.cli.display import Display

    doing = request.orders.options.task.removesuffix("e") + "ing"
    with Display(verbosity=verbosity, as_json=as_json, doing=doing) as display:
        outcome = run(request, display)
    display.summary(outcome.written, outcome.kept, outcome.failed)
    if outcome.failed or display.lost or (strict and display.rejected):
        raise typer.Exit(1)


def collect(inputs: list[Path], files_from: str | None) -> tuple[Path, ...]:
    """The inputs of the command line, then those of the list."""
    from meddenoise.errors import UsageError

    paths = (*inputs, *(_read_list(files_from) if files_from is not None else ()))
    if not paths:
        raise UsageError("there is no input: give files or folders, or a list with --files-from.")
    return paths


def _read_list(source: str) -> list[Path]:
    """Paths one a line, or between NUL as `find -print0` writes them; bytes that are no UTF-8 are kept."""
    from meddenoise.errors import UsageError

    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(
            f"--files-from {source} cannot be read ({error.strerror or error}): give a text file."
        ) from error
    lines = raw.split(b"\0") if b"\0" in raw else raw.splitlines()
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def parse(option: str, text: str, number: Callable[[str], Number]) -> Number | None:
    """The number, or None for auto."""
    from meddenoise.errors import UsageError

    if text == "auto":
        return None
    try:
        return number(text)
    except ValueError as error:
        raise UsageError(f"{option} is {text!r}: give auto or a number.") from error

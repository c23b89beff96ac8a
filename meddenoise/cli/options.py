"""Options that `denoise`, `upscale` and `inpaint` share, and the way from them to a request."""

from pathlib import Path
from typing import Annotated

import typer

from meddenoise.cli import complete

_COMPUTING = "Computing"
_WRITING = "Writing"
_TALKING = "Messages"

Inputs = Annotated[list[Path] | None, typer.Argument(metavar="INPUT", help="Files or folders.")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE|-", help="Read more inputs from a file or stdin, one a line.")
]


def _output(mark: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        "-o",
        "--output",
        help=f"Where to write. Default: NAME_{mark}.EXT next to a file, NAME_{mark}/ next to a folder.",
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
Quality = Annotated[
    str,
    typer.Option(
        metavar="fast|standard|best",
        help="For one pass. fast: a smaller, quicker network; best: the mean of 8 passes, the plane rotated "
        "and mirrored.",
        autocompletion=complete.quality,
    ),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Sampler steps; selects --mode diffusion.")]
Samples = Annotated[
    int, typer.Option(metavar="N", help="Draws to average; more than 1 selects --mode diffusion.")
]
Fusion = Annotated[
    bool,
    typer.Option(
        "--fusion/--no-fusion", help="Weigh the result against the noisy image (methods with fusion)."
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
        metavar="N",
        help="Side of the patches of a network. Default: that of the method.",
        rich_help_panel=_COMPUTING,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(metavar="N", help="Pixels that neighbouring patches share.", rich_help_panel=_COMPUTING),
]
BatchSize = Annotated[
    str, typer.Option(metavar="auto|N", help="Patches at a time.", rich_help_panel=_COMPUTING)
]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="same|dicom|nifti|nrrd|mha|png|tiff",
        help="Format written.",
        autocompletion=complete.format,
        rich_help_panel=_WRITING,
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="CENTRE,WIDTH|NAME",
        help="With --format png: write 8-bit pictures in this display window: 40,400, soft-tissue, lung, "
        "bone, "
        "brain or auto. Default: all values, 16 bit.",
        autocompletion=complete.window,
        rich_help_panel=_WRITING,
    ),
]
Uncertainty = Annotated[
    bool,
    typer.Option(
        "--uncertainty",
        help="Also write the standard deviation of every pixel, as float32 NIfTI with "
        "`_uncertainty` after its name; the sampler makes it, which takes long.",
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
    typer.Option(
        metavar="auto|N", help="Reach of the correlation of the noise, in pixels; auto measures it."
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--ref", help="Also compare with this reference, a file or folder.", rich_help_panel=_WRITING
    ),
]
WithReport = Annotated[
    bool, typer.Option("--report/--no-report", help="Write the reports.", rich_help_panel=_WRITING)
]
Phi = Annotated[
    bool, typer.Option("--phi", help="Name the patient in the HTML report.", rich_help_panel=_WRITING)
]
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Keep and skip finished outputs.", rich_help_panel=_WRITING),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write existing outputs again.", rich_help_panel=_WRITING)
]
Jobs = Annotated[int, typer.Option(metavar="N", help="Series at a time.", rich_help_panel=_COMPUTING)]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local[:N]|slurm[:N]",
        help="Spread series over a Dask cluster: a running one, N workers on this machine, or N Slurm jobs.",
        rich_help_panel=_COMPUTING,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object a series on stdout, as each finishes.", rich_help_panel=_TALKING
    ),
]
Verbose = Annotated[
    bool | None,
    typer.Option("--verbose/--quiet", "-v/-q", help="Print more, or less.", rich_help_panel=_TALKING),
]


def verbosity_of(verbose: bool | None) -> int:
    """1 for --verbose, -1 for --quiet, 0 for neither."""
    return 0 if verbose is None else 1 if verbose else -1

"""`meddenoise eval`: measure results against references, or by what was removed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meddenoise.cli import complete

if TYPE_CHECKING:
    from collections.abc import Collection

    from meddenoise.evaluation import Evaluation
    from meddenoise.evaluation.pair import EvaluationOptions
    from meddenoise.evaluation.rerun import Lesions

Results = Annotated[
    list[Path],
    typer.Argument(metavar="RESULT...", help="Denoised files or folders; folders are compared side by side."),
]
Ref = Annotated[Path | None, typer.Option("--ref", help="File or folder of references (low noise).")]
Noisy = Annotated[Path | None, typer.Option(help="File or folder of the images the results were made from.")]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="R of PSNR and SSIM: ct-hu (2000 HU), ct-window:CENTRE:WIDTH (both clipped to it), "
        "patient-range (maximum minus minimum of the reference), 8bit (255), or auto by the kind of image.",
    ),
]
Range = Annotated[
    float | None,
    typer.Option("--data-range", help="R of PSNR and SSIM in the image's unit, instead of a protocol's."),
]
PerPlane = Annotated[bool, typer.Option("--per-plane", help="Mean over planes instead of pooled planes.")]
MaskFile = Annotated[
    Path | None,
    typer.Option("--mask", help="Measure these pixels only: an image or DICOM segmentation, anything but 0."),
]
Crop = Annotated[
    str | None, typer.Option(metavar="ROW,COLUMN,HEIGHT,WIDTH", help="Measure this part only, in pixels.")
]
Rois = Annotated[
    list[str] | None,
    typer.Option(
        "--roi",
        metavar="ROW,COLUMN,HEIGHT,WIDTH[@PLANE]",
        help="A flat region, for SNR and the noise spectrum; twice, for CNR too.",
    ),
]
Edge = Annotated[
    str | None,
    typer.Option(
        metavar="ROW,COLUMN,HEIGHT,WIDTH|ROW,COLUMN,RADIUS",
        help="A box with a straight slanted edge, or a round edge, for the MTF; @PLANE as for --roi.",
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        "--metrics", metavar="NAME,NAME...", help="Only these; lpips and fid (extra `perceptual`) if named."
    ),
]
Networks = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with the weights of lpips and fid. Default: fetched on first use.",
    ),
]
Discs = Annotated[
    bool,
    typer.Option(
        "--lesions",
        help="Put small discs into --noisy, denoise again as the report next to the result says, and "
        "measure what is left of them.",
    ),
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="For --lesions: the method, if no report next to the result names it.",
        autocompletion=complete.method,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Also write this .json file, with a .csv and an .html next to it."),
]
Phi = Annotated[bool, typer.Option("--phi", help="Name the patient in the HTML report.")]


def register(app: typer.Typer) -> None:
    """Add the `eval` command to the program."""
    app.command("eval")(evaluate)


def evaluate(
    results: Results,
    ref: Ref = None,
    noisy: Noisy = None,
    protocol: ProtocolName = "auto",
    data_range: Range = None,
    per_plane: PerPlane = False,
    mask: MaskFile = None,
    crop: Crop = None,
    roi: Rois = None,
    edge: Edge = None,
    metrics: Names = None,
    networks: Networks = None,
    lesions: Discs = False,
    method: MethodName = None,
    as_json: AsJson = False,
    output: Output = None,
    phi: Phi = False,
) -> None:
    """Measure results against references (--ref), and by what was removed (--noisy).

    Results find their partners by the images they were made from, name, position in the patient, or order.

    Example: meddenoise eval nlm/ direct/ --ref clean/ --noisy noisy/
    """
    from meddenoise.evaluation.pair import EvaluationOptions
    from meddenoise.metrics.measure import Wanted
    from meddenoise.metrics.presets import parse_preset
    from meddenoise.metrics.regions import parse_box, parse_edge

    options = EvaluationOptions(
        data_range=_checked_range(data_range, protocol),
        per_plane=per_plane,
        preset=parse_preset(protocol),
        mask=mask,
        crop=None if crop is None else parse_box(crop, "--crop"),
        rois=tuple(parse_box(text, "--roi") for text in roi or ()),
        edge=None if edge is None else parse_edge(edge, "--edge"),
        wanted=Wanted(None if metrics is None else _known_names(metrics)),
        networks=networks,
        lesions=_lesions(lesions, method, noisy),
    )
    _check(options, ref, output)
    evaluation = _measure((results, ref, noisy), options)
    written = [] if output is None else _write(evaluation, output, phi)
    _tell(evaluation, as_json, written)


def _measure(
    paths: tuple[list[Path], Path | None, Path | None], options: "EvaluationOptions"
) -> "Evaluation":
    """The evaluation, with a bar on a terminal."""
    from meddenoise.cli.display import show_bar
    from meddenoise.cli.streams import printable
    from meddenoise.evaluation import evaluate as measure

    with show_bar() as tell:
        return measure(*paths, options, lambda what, *done: tell(printable(what)[-40:], *done))


def _write(evaluation: "Evaluation", output: Path, phi: bool) -> list[Path]:
    """Numbers, table and page, whose paths are given back; what could not be drawn is told."""
    import shlex

    from meddenoise.cli.streams import tell
    from meddenoise.evaluation.document import as_document, write_document
    from meddenoise.evaluation.page import write_evaluation

    page = output.with_suffix(".html")
    written = [*write_document(as_document(evaluation), output), page]
    command = shlex.join(["meddenoise", *sys.argv[1:]])
    for problem in write_evaluation(evaluation, page, command=command, phi=phi):
        tell(f"warning: {problem}")
    return written


def _tell(evaluation: "Evaluation", as_json: bool, written: list[Path]) -> None:
    """JSON or tables, what was written, and exit code 1 where a result could not be measured."""
    from meddenoise.cli.streams import tell
    from meddenoise.evaluation.document import as_document
    from meddenoise.evaluation.document import as_json as as_text

    if as_json:
        sys.stdout.write(as_text(as_document(evaluation)))
    else:
        from meddenoise.cli.eval_table import show

        show(evaluation)
    if written:
        tell(f"report: {', '.join(map(str, written))}")
    if evaluation.failed:
        raise typer.Exit(1)


def _lesions(wanted: bool, method: str | None, noisy: Path | None) -> "Lesions | None":
    from meddenoise.errors import UsageError
    from meddenoise.evaluation.rerun import Lesions
    from meddenoise.methods.choice import check_names

    if method is not None and not wanted:
        raise UsageError(
            "--method is the method to denoise with again for --lesions: give --lesions too, or leave "
            "out --method."
        )
    if not wanted:
        return None
    if noisy is None:
        raise UsageError("--lesions puts discs into the noisy image: give that with --noisy.")
    if method is not None:
        check_names(method, None)
    return Lesions(method)


def _checked_range(data_range: float | None, protocol: str) -> float | None:
    from meddenoise.errors import UsageError

    if data_range is not None and not 0 < data_range < float("inf"):
        raise UsageError(
            f"--data-range {data_range:g} has no meaning: give a positive range, or leave it out."
        )
    if data_range is not None and protocol != "auto":
        raise UsageError(f"--data-range and --protocol {protocol} both choose R: give one of them.")
    return data_range


def _known_names(text: str) -> "Collection[str]":
    from meddenoise.errors import unknown_name
    from meddenoise.metrics import METRICS

    names = [name.strip().lower().replace("-", "_") for name in text.split(",") if name.strip()]
    known = [name for name, row in METRICS.items() if row.needs != "method"]
    for name in names:
        if name not in known:
            raise unknown_name("metric", name, known)
    return names


def _check(options: "EvaluationOptions", ref: Path | None, output: Path | None) -> None:
    """Check the options before anything is read."""
    from meddenoise.errors import UsageError
    from meddenoise.evaluation.document import SUFFIXES

    if options.crop is not None and (options.crop.first, options.crop.last) != (1, 0):
        raise UsageError("--crop does not take a plane: write it as ROW,COLUMN,HEIGHT,WIDTH.")
    if len(options.rois) > 2:
        raise UsageError("--roi is given more than twice: give one region, or two for CNR.")
    if ref is None and options.preset.name != "auto":
        raise UsageError(
            f"--protocol {options.preset.name} is for metrics against a reference: give --ref too."
        )
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--output {output} is not the name of an evaluation: end it in .json, .csv or .html, "
            "all three are written."
        )

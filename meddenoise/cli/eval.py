"""`meddenoise eval`: measure results against references, or by what was removed."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from meddenoise.evaluation import Evaluation, Pair
    from meddenoise.metrics.measure import Measurement

SCHEMA = 1
_FILE_WIDTH = 200
"""Columns of the table where stderr is no terminal."""

Results = Annotated[list[Path], typer.Argument(metavar="RESULT", help="Denoised files or folders.")]
Ref = Annotated[Path | None, typer.Option("--ref", help="File or folder of references (low noise).")]
Noisy = Annotated[Path | None, typer.Option(help="File or folder of what the results were made from.")]
Range = Annotated[
    float | None,
    typer.Option(
        "--data-range",
        min=0.0,
        help="R of PSNR and SSIM, in the image's unit. "
        "Default: CT 2000 HU, 8-bit 255, others maximum minus minimum of the reference series.",
    ),
]
PerPlane = Annotated[bool, typer.Option("--per-plane", help="Mean over planes instead of pooled planes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Also write the JSON to this file, and pictures beside it as .html."),
]
Phi = Annotated[bool, typer.Option("--phi", help="Name the patient in the HTML report.")]


def register(app: typer.Typer) -> None:
    """Add the `eval` command to the program."""
    app.command("eval")(evaluate)


def evaluate(
    results: Results,
    ref: Ref = None,
    noisy: Noisy = None,
    data_range: Range = None,
    per_plane: PerPlane = False,
    as_json: AsJson = False,
    output: Output = None,
    phi: Phi = False,
) -> None:
    """Measure results against references (--ref), and by what was removed (--noisy).

    Results find their partners by file name, place in the patient, or order.

    Example: meddenoise eval denoised/ --ref clean/ --noisy noisy/
    """
    from meddenoise.errors import UsageError
    from meddenoise.evaluation import Options
    from meddenoise.evaluation import evaluate as measure

    if data_range == 0:
        raise UsageError("--data-range 0 has no meaning: give a positive range, or leave it out.")
    if output is not None and output.suffix.lower() == ".html":
        raise UsageError(f"--output {output} names the JSON, the page goes beside it: give a name in .json.")
    evaluation = measure(results, ref, noisy, Options(data_range, per_plane))
    text = json.dumps(_as_json(evaluation), indent=2, allow_nan=False) + "\n"
    if output is not None:
        _write(output, text)
        _draw(evaluation, (results, ref, noisy), output, phi)
    if as_json:
        sys.stdout.write(text)
    else:
        _show(evaluation)
    if evaluation.failed:
        raise typer.Exit(1)


def _as_json(evaluation: "Evaluation") -> dict[str, Any]:
    from meddenoise import __version__

    document: dict[str, Any] = {
        "schema": SCHEMA,
        "meddenoise": __version__,
        "pairs": [_pair_as_json(pair) for pair in evaluation.pairs],
        "mean": evaluation.mean.values,
        "warnings": list(evaluation.mean.warnings),
        "failed": [{"input": str(path), "error": error} for path, error in evaluation.failed],
    }
    if evaluation.mean_before is not None:
        document["mean_noisy"] = evaluation.mean_before.values
    return document


def _pair_as_json(pair: "Pair") -> dict[str, Any]:
    protocol = pair.protocol
    document: dict[str, Any] = {
        "result": str(pair.result),
        "reference": None if pair.reference is None else str(pair.reference),
        "noisy": None if pair.noisy is None else str(pair.noisy),
        "metrics": pair.metrics.values,
        "noise": {
            "sigma_before": protocol.sigma,
            "sigma_after": pair.sigma_after,
            "unit": protocol.unit,
        },
        "protocol": {
            "data_range": protocol.data_range,
            "range_source": protocol.range_source,
            "unit": protocol.unit,
            "mask": protocol.mask_source,
            "scope": protocol.scope,
        },
        "warnings": list(pair.warnings),
    }
    if pair.before is not None:
        document["noisy_metrics"] = pair.before.values
    return document


def _show(evaluation: "Evaluation") -> None:
    """Table, protocols, warnings and failures on stderr."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if evaluation.pairs:
        console.print(_table(evaluation))
    protocols = sorted({pair.protocol.describe() for pair in evaluation.pairs})
    lines = [f"measured with: {line}" for line in protocols]
    lines += [f"warning: {pair.result}: {text}" for pair in evaluation.pairs for text in pair.warnings]
    lines += [f"warning: {text}" for text in evaluation.mean.warnings]
    lines += [f"failed: {error}" for _, error in evaluation.failed]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(evaluation: "Evaluation") -> "Table":
    """A row a result, below it the noisy image's own where there is one, the means last."""
    from rich.markup import escape
    from rich.table import Table

    names = list(evaluation.mean.values)
    table = Table("result", "sigma before", "sigma after", "R", *names)

    def add(
        name: str, known: tuple[str, str, str], values: "Measurement", noisy: "Measurement | None"
    ) -> None:
        table.add_row(escape(name), *known, *_cells(values, names))
        if noisy is not None:
            table.add_row("  noisy", "", "", "", *_cells(noisy, names), style="dim")

    for pair in evaluation.pairs:
        protocol = pair.protocol
        known = _number(protocol.sigma), _number(pair.sigma_after), _number(protocol.data_range)
        add(str(pair.result), known, pair.metrics, pair.before)
    if len(evaluation.pairs) > 1:
        table.add_section()
        add("mean", ("", "", ""), evaluation.mean, evaluation.mean_before)
    return table


def _cells(measurement: "Measurement", names: list[str]) -> list[str]:
    return [_number(measurement.values.get(name)) for name in names]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _draw(
    evaluation: "Evaluation", given: tuple[list[Path], Path | None, Path | None], output: Path, phi: bool
) -> None:
    """The page beside the JSON; what could not be drawn is told."""
    from meddenoise.cli.streams import tell
    from meddenoise.page.evaluated import Sources, write_evaluation

    command, page = shlex.join(["meddenoise", *sys.argv[1:]]), output.with_suffix(".html")
    for problem in write_evaluation(evaluation, Sources(*given), page, command=command, phi=phi):
        tell(f"warning: {problem}")


def _write(path: Path, text: str) -> None:
    from meddenoise.io.atomic import staged

    with staged([path]) as staging, staging.file(path) as stream:
        stream.write(text.encode())

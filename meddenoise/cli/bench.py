"""`meddenoise bench`: which method should I use for this image?"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meddenoise.cli import complete
from meddenoise.cli.image_options import Modality

if TYPE_CHECKING:
    from meddenoise.evaluation.trial import Candidates, Sample
    from meddenoise.series import Series

Input = Annotated[Path, typer.Argument(metavar="INPUT", help="A file or a folder with one series.")]
Ref = Annotated[Path | None, typer.Option("--ref", help="File or folder of the reference (low noise).")]
Names = Annotated[
    str | None,
    typer.Option("--methods", metavar="NAME,NAME...", help="These methods instead of all that fit."),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="The picture. Default: NAME_bench.png next to the input."),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda[:N]|mps",
        help="auto: a GPU that works, else the CPU.",
        autocompletion=complete.device,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]


def register(app: typer.Typer) -> None:
    """Add the `bench` command to the program."""
    app.command()(bench)


def bench(
    input: Input,
    ref: Ref = None,
    methods: Names = None,
    output: Output = None,
    modality: Modality = None,
    device: DeviceName = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Try every installed method that fits on some planes of an image: time, quality, trust, a picture.

    Example: meddenoise bench scan/ --methods direct,nlm
    """
    import json

    from meddenoise.cli.bench_table import show
    from meddenoise.cli.display import show_bar
    from meddenoise.cli.streams import tell as say
    from meddenoise.evaluation.trial import try_methods
    from meddenoise.evaluation.trial_report import as_document, exhibits
    from meddenoise.io.modality import take
    from meddenoise.pipeline.options import Options, check_options
    from meddenoise.report.contact_sheet import draw_sheet

    options = Options(device=device, modality=modality)
    check_options(options)
    target = _target(input, output)
    taken = take(_read(input, "INPUT"), modality)
    chosen = _choose(methods, taken.seen.modality)
    sample = _sample(taken.series, input, ref)
    order = {name: place for place, name in enumerate(chosen.names)}
    with show_bar(quiet) as tell:
        trials = try_methods(
            sample,
            chosen.names,
            options,
            lambda name, share: tell(f"{name:12}", order[name] + share, len(order)),
            lambda sentence: say(f"warning: {sentence}"),
        )
    draw_sheet(exhibits(sample, trials), target)
    document = as_document(sample, trials, chosen.left_out) | {"picture": str(target)}
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        show(document)
    if all(trial.error for trial in trials):
        raise typer.Exit(1)


def _target(source: Path, output: Path | None) -> Path:
    from meddenoise.errors import UsageError
    from meddenoise.io.layout import stem

    if output is None:
        return source.with_name(f"{stem(source.resolve())}_bench.png")
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {output} is not the name of a picture: end it in .png.")
    return output


def _read(path: Path, what: str) -> "Series":
    """The one series under a path; the largest of several, and a warning.

    Raises NothingReadableError where there is none.
    """
    from meddenoise.cli.streams import tell
    from meddenoise.io import discover, read_item

    found = discover([path], results=False)
    if not found.items:
        raise found.nothing_readable([path])
    for note in found.notes:
        tell(f"warning: {what}: {note}")
    item = max(found.items, key=lambda item: item.frames)
    if len(found.items) > 1:
        tell(f"warning: {what} {path} holds {len(found.items)} series: {item.path} is used, the largest.")
    return read_item(item)


def _sample(series: "Series", source: Path, ref: Path | None) -> "Sample":
    """The planes to try of a series and its reference; without one, and a warning, if that is the series."""
    from dataclasses import replace

    from meddenoise.cli.streams import tell
    from meddenoise.evaluation.trial import take_sample

    sample = take_sample(series, None if ref is None else _read(ref, "--ref"))
    if not sample.is_its_own_reference:
        return sample
    tell(f"warning: --ref {ref} is {source} itself, noise and all: it is judged without a reference.")
    return replace(sample, reference=None)


def _choose(names: str | None, modality: str) -> "Candidates":
    from meddenoise.errors import UsageError
    from meddenoise.evaluation.trial import Candidates, fitting
    from meddenoise.methods.choice import check_names

    if names is None:
        return fitting(modality)
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise UsageError("--methods is empty: name some of `meddenoise methods`, or leave it out.")
    for name in wanted:
        check_names(name, None)
    return Candidates(tuple(wanted))

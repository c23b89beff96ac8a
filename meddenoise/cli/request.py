"""From what was typed to a run of `meddenoise.batch`: options, inputs, and how it goes."""

import codecs
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from meddenoise.cli.options import verbosity_of

if TYPE_CHECKING:
    from meddenoise.batch import Request
    from meddenoise.noise.profile import NoiseProfile
    from meddenoise.pipeline.options import Options

Number = TypeVar("Number", int, float)


def gather(
    *,
    sigma: str = "auto",
    batch_size: str = "auto",
    blind_radius: str = "auto",
    noise_profile: Path | None = None,
    noise_map: Path | None = None,
    **others: Any,
) -> "Options":
    """The options of a run from what was typed. Raises UsageError for what is no number or no profile."""
    from meddenoise.pipeline.options import Options

    return Options(
        sigma=parse("--sigma", sigma, float),
        batch_size=parse("--batch-size", batch_size, int),
        blind_radius=parse("--blind-radius", blind_radius, int),
        noise_profile=load_profile(noise_profile),
        noise_map=None if noise_map is None else str(noise_map),
        **others,
    )


def start(
    inputs: list[Path] | None,
    files_from: str | None,
    *,
    output: Path | None,
    report: bool,
    verbose: bool | None,
    as_json: bool,
    reference: Path | None = None,
    strict: bool = False,
    **settings: Any,
) -> None:
    """Run what the command line asks for; `settings` are fields of `workers.Orders`, or else as of `gather`.

    Raises UsageError for what cannot be used, typer.Exit as `run_request`.
    """
    import shlex
    from dataclasses import fields

    from meddenoise.batch import Request
    from meddenoise.batch.workers import Orders

    ordered = {field.name for field in fields(Orders)}
    options = gather(**{name: value for name, value in settings.items() if name not in ordered})
    orders = {name: value for name, value in settings.items() if name in ordered}
    request = Request(
        inputs=collect(inputs or [], files_from),
        output=output,
        reference=reference,
        report=report,
        command=shlex.join(["meddenoise", *sys.argv[1:]]),
        orders=Orders(options=options, **orders),
    )
    run_request(request, verbosity=verbosity_of(verbose), as_json=as_json, strict=strict)


def run_request(request: "Request", *, verbosity: int, as_json: bool, strict: bool = False) -> None:
    """Run a request, tell how it goes, and raise typer.Exit where something failed or `strict` forbids it."""
    from meddenoise.batch import run
    from meddenoise.cli.display import Display

    doing = request.orders.options.task.removesuffix("e") + "ing"
    with Display(verbosity=verbosity, as_json=as_json, doing=doing) as display:
        outcome = run(request, display)
    display.summary(outcome)
    if outcome.failed or display.lost or (strict and display.rejected):
        raise typer.Exit(1)


def collect(inputs: list[Path], files_from: str | None) -> tuple[Path, ...]:
    """The inputs of the command line, then those of the list."""
    from meddenoise.errors import UsageError

    paths = (*inputs, *(_read_list(files_from) if files_from is not None else ()))
    if not paths:
        raise UsageError("no input is given: name files or folders, or a list with --files-from.")
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
    raw = raw.removeprefix(codecs.BOM_UTF8)
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


def load_profile(path: Path | None) -> "NoiseProfile | None":
    """The noise profile in a file, None for none."""
    if path is None:
        return None
    from meddenoise.noise.profile.file import read_profile

    return read_profile(path)

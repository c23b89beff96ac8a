"""`meddenoise weights`: list, show, pull, verify and locate checkpoints."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meddenoise.cli import complete
from meddenoise.cli.tables import WIDTH, name_codes, render_table

if TYPE_CHECKING:
    from pathlib import Path

    from meddenoise.methods.table import CheckpointUse
    from meddenoise.weights import WeightsRow

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
_GAINS = "dB over\nNLM / BM3D"
Spec = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A name of the list, a path, or hf://OWNER/REPO/FILE[@REV].",
        autocompletion=complete.checkpoint,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the `weights` commands to the program."""
    group = typer.Typer(help="The checkpoints: bundled, cached and remote.", no_args_is_help=True)
    for command in (list_, show, pull, verify, path):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="weights")


def list_(as_json: AsJson = False) -> None:
    """List the published checkpoints: what each is for, modalities, place, size, licence, cost.

    The cost is processor time for a plane, 1 for `direct`, as in `meddenoise methods`.

    Example: meddenoise weights list
    """
    from meddenoise.weights import published

    rows = list(published().values())
    if as_json:
        _print_json([_describe(row) for row in rows])
        return
    uses = [_use(row) for row in rows]
    if sys.stdout.isatty():
        columns: tuple[str, ...] = ("name", "for what", "modality", "place", "MiB", "cost", _GAINS)
        lines: list[tuple[str, ...]] = [
            (row.name, use.purpose, name_codes(row.modality), *_where(row), _times(use), _gains(row))
            for row, use in zip(rows, uses, strict=True)
        ]
    else:
        columns = ("name", "method", "modality", "place", "MiB", "licence", "for what", "cost")
        lines = [
            (
                row.name,
                row.method,
                ",".join(row.modality),
                *_where(row),
                row.licence,
                use.purpose,
                _times(use),
            )
            for row, use in zip(rows, uses, strict=True)
        ]
    _print_lines(columns, lines)


def _where(row: "WeightsRow") -> tuple[str, str]:
    """Its place and size in MiB."""
    return _place(row)[0], f"{row.bytes / 2**20:.1f}"


def _times(use: "CheckpointUse") -> str:
    return "" if use.cost is None else f"{use.cost:g}"


def _use(row: "WeightsRow") -> "CheckpointUse":
    """Its purpose and cost: its own, else those of its method; empty for a method that is not here."""
    from meddenoise.methods import rows
    from meddenoise.methods.table import USES, CheckpointUse

    method = rows().get(row.method)
    return USES.get(row.name) or CheckpointUse(*(("",) if method is None else (method.purpose, method.cost)))


def _gains(row: "WeightsRow") -> str:
    """Over NLM and BM3D; empty where nothing was judged."""
    pair = _mean(row.gains("nlm")), _mean(row.gains("bm3d"))
    return " / ".join(text or "-" for text in pair) if any(pair) else ""


def _mean(gains: Mapping[str, float]) -> str:
    """The mean over the modalities that were judged; empty where none was."""
    return f"{sum(gains.values()) / len(gains):+.1f}" if gains else ""


def show(name: Spec, as_json: AsJson = False) -> None:
    """Show all that is known of one checkpoint: its row of the manifest, or what the file says of itself.

    A file of the Hub that is not on this machine is fetched first.

    Example: meddenoise weights show ./my-network.safetensors
    """
    from dataclasses import asdict

    from meddenoise.weights import locate, published
    from meddenoise.weights.checkpoint import read_metadata

    if name in published():
        facts = _describe(published()[name])
    else:
        found = locate(name)
        metadata, sha256 = read_metadata(found.path, sha256=None)
        facts = {"path": str(found.path), "sha256": sha256, **asdict(metadata)}
    if as_json:
        _print_json(facts)
    else:
        _print_lines(("field", "value"), [(field, _as_text(value)) for field, value in facts.items()])


def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names of the list, or hf:// addresses.")
    ],
) -> None:
    """Fetch checkpoints into the cache, check every byte, and print their paths.

    Example: meddenoise weights pull hf://OWNER/REPO/FILE.safetensors@v1
    """
    from meddenoise import weights
    from meddenoise.errors import MeddenoiseError

    failures: list[MeddenoiseError] = []
    for name in names:
        try:
            typer.echo(weights.pull(name).path)
        except MeddenoiseError as error:
            failures.append(error)
    _raise_all(failures, len(names), "pulled")


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all of the list.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of the checkpoints on this machine: ok, damaged, or absent (not pulled yet).

    Example: meddenoise weights verify
    """
    from meddenoise import weights
    from meddenoise.errors import MeddenoiseError, WeightsError

    states: dict[str, str] = {}
    failures: list[MeddenoiseError] = []
    for name in names or weights.published():
        try:
            states[name] = "ok" if weights.verify(name) else "absent"
            if names and states[name] == "absent":
                failures.append(
                    WeightsError(f"{name} is not on this machine: run `meddenoise weights pull {name}`.")
                )
        except MeddenoiseError as error:
            states[name] = "damaged" if isinstance(error, WeightsError) else "unknown"
            failures.append(error)
    if as_json:
        _print_json(states)
    else:
        _print_lines(("name", "state"), list(states.items()))
    _raise_all(failures, len(states), "verified")


def path(name: Spec) -> None:
    """Print the path of a checkpoint's file on this machine, without fetching it.

    Example: meddenoise weights path NAME
    """
    from meddenoise.errors import WeightsError
    from meddenoise.weights import locate_local

    found = locate_local(name)
    if found is None:
        raise WeightsError(f"{name} is not on this machine: run `meddenoise weights pull {name}`.")
    typer.echo(found.path)


def _describe(row: "WeightsRow") -> dict[str, Any]:
    """A row of the manifest as JSON holds it, with its place and, if it is on this machine, its path."""
    from dataclasses import asdict

    place, path = _place(row)
    gains = {f"over_{other}_db": row.gains(other) for other in ("nlm", "bm3d")}
    return {**asdict(row), **gains, **asdict(_use(row)), "place": place, "path": str(path) if path else None}


def _place(row: "WeightsRow") -> "tuple[str, Path | None]":
    from meddenoise.errors import WeightsError
    from meddenoise.weights import CHECKPOINTS, locate_local

    try:
        found = locate_local(row.name)
    except WeightsError:
        return "missing", None
    if found is None:
        return "remote", None
    return "bundled" if found.path.parent == CHECKPOINTS else "cached", found.path


def _as_text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stderr where a person looks on, else tab-separated lines on stdout."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    typer.echo(render_table(columns, rows, shutil.get_terminal_size((WIDTH, 24)).columns), err=True)


def _raise_all(failures: "Sequence[Exception]", total: int, done: str) -> None:
    """Raise a lone failure as it is, several as one error of the same kind that tells each."""
    from meddenoise.errors import WeightsError

    if len(failures) == 1 and total == 1:
        raise failures[0]
    if failures:
        reasons = " ".join(map(str, failures))
        raise WeightsError(f"{len(failures)} of {total} checkpoints could not be {done}. {reasons}")

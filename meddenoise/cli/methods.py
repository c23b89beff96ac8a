"""`meddenoise methods`: what there is to choose from."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from meddenoise.methods import MethodRow

_SAMPLER_OPTIONS = ("--mode diffusion", "--steps", "--samples", "--uncertainty")
_BLIND_OPTIONS = ("--no-fusion", "--blind-radius")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the `methods` command to the program."""
    app.command()(methods)


def methods(as_json: AsJson = False) -> None:
    """List the methods: what each is for, its paper, its checkpoints and their scores.

    Example: meddenoise methods --json
    """
    from meddenoise.methods import rows

    facts = [_describe(name, row) for name, row in rows().items()]
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for number, entry in enumerate(facts):
        lines = [entry["name"], f"  {entry['purpose']}", f"  {entry['citation']}"]
        lines += [f"  licence: {entry['licence']}"] if entry["licence"] != "Apache-2.0" else []
        lines += [f"  options of its own: {', '.join(entry['options'])}"] if entry["options"] else []
        lines += [f"  pip install 'meddenoise[{entry['extra']}]'"] if entry["extra"] else []
        for checkpoint in entry["checkpoints"]:
            scores = ", ".join(f"{name} {score:g}" for name, score in checkpoint["scores"].items())
            lines.append(f"  {checkpoint['name']} ({', '.join(checkpoint['modality'])}): {scores}")
        typer.echo("\n" * bool(number) + "\n".join(lines))


def _describe(name: str, row: "MethodRow") -> dict[str, Any]:
    from meddenoise.weights import published

    checkpoints = [
        {"name": weights.name, "modality": list(weights.modality), "scores": dict(weights.scores)}
        for weights in published().values()
        if weights.method in (name, *row.shares)
    ]
    return {
        "name": name,
        "purpose": row.purpose,
        "citation": row.citation,
        "family": row.family,
        "licence": row.licence,
        "extra": row.extra,
        "options": [*(_SAMPLER_OPTIONS if row.sampler else ()), *(_BLIND_OPTIONS if row.fusion else ())],
        "checkpoints": checkpoints,
    }

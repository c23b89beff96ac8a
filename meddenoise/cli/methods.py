"""`meddenoise methods`: what there is to choose from."""

import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meddenoise.cli.streams import columns_of, fitted
from meddenoise.cli.tables import WIDTH, name_codes, render_table

if TYPE_CHECKING:
    from meddenoise.methods import MethodRow

_SAMPLER_OPTIONS = ("--mode diffusion", "--steps", "--samples", "--uncertainty")
_JUDGED = ("CT", "MR", "DX", "XA")
"""Modalities with a known truth in the manifest; CR and RF share those of DX and XA."""
_CINES = ("XA", "RF")
_BLIND_OPTIONS = ("--no-fusion", "--blind-radius")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the `methods` command to the program."""
    app.command()(methods)


def methods(as_json: AsJson = False) -> None:
    """List the methods: what each is for, its paper, its checkpoints and their scores.

    Example: meddenoise methods --json
    """
    import json

    from meddenoise.methods import rows

    facts = [_describe(name, row) for name, row in rows().items()]
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    width = min(columns_of(sys.stdout) or WIDTH, WIDTH)
    typer.echo(fitted(_as_text(facts, width), sys.stdout, indent="    "))


def _as_text(facts: list[dict[str, Any]], width: int) -> str:
    """Two tables that fit `width` columns, then what is particular to single methods."""
    shelf = [
        (f["name"], f["purpose"], name_codes(f["modalities"]), f["work"], _times(f["cost"])) for f in facts
    ]
    scores = [
        (
            checkpoint["name"],
            *(_gain(checkpoint, code) for code in _JUDGED),
            " ".join(checkpoint["default_for"]),
        )
        for f in facts
        for checkpoint in f["checkpoints"]
        if f["own"] and checkpoint["over_nlm_db"]
    ]
    parts = [
        render_table(("method", "for what", "modalities", "works by", "cost"), shelf, width),
        "cost: processor time for a plane as the method runs by default, 1 for direct\n"
        "(benchmarks/method_costs.py measures it; blank where it has not).\n",
        "dB closer to the truth than NLM / BM3D given the true noise (docs/truth.md), and\n"
        "for which modalities --method auto takes it:\n",
        render_table(("checkpoint", *_JUDGED, "default for"), scores, width),
        "Papers, and options of single methods:\n",
    ]
    return "\n".join([*parts, *(_particulars(entry) for entry in facts)])


def _times(cost: float | None) -> str:
    return "" if cost is None else f"{cost:g}"


def _gain(checkpoint: dict[str, Any], code: str) -> str:
    pair = [checkpoint[f"over_{other}_db"].get(code) for other in ("nlm", "bm3d")]
    return " / ".join("-" if gain is None else f"{gain:+.1f}" for gain in pair) if any(pair) else ""


def _particulars(entry: dict[str, Any]) -> str:
    told = [f"{entry['name']}: {entry['citation']}"]
    told += [f"  licence: {entry['licence']}"] if entry["licence"] != "Apache-2.0" else []
    told += [f"  options of its own: {', '.join(entry['options'])}"] if entry["options"] else []
    told += [f"  pip install 'meddenoise[{entry['extra']}]'"] if entry["extra"] else []
    return "\n".join(told)


def _describe(name: str, row: "MethodRow") -> dict[str, Any]:
    from meddenoise.weights import published

    mine = [weights for weights in published().values() if weights.method in (name, *row.shares)]
    defaults = _defaults()
    checkpoints = [
        {
            "name": weights.name,
            "modality": list(weights.modality),
            "scores": dict(weights.scores),
            "over_nlm_db": weights.gains("nlm"),
            "over_bm3d_db": weights.gains("bm3d"),
            "default_for": [code for code, best in defaults.items() if best == weights.name],
        }
        for weights in mine
    ]
    modalities = list(dict.fromkeys(code for weights in mine for code in weights.modality))
    return {
        "name": name,
        "purpose": row.purpose,
        "modalities": modalities or ["other"],
        "work": _work(row),
        "cost": row.cost,
        "citation": row.citation,
        "family": row.family,
        "licence": row.licence,
        "extra": row.extra,
        "options": [*(_SAMPLER_OPTIONS if row.sampler else ()), *(_BLIND_OPTIONS if row.fusion else ())],
        "own": not row.shares,
        "checkpoints": checkpoints,
    }


def _work(row: "MethodRow") -> str:
    """Number of network passes, on which the speed depends."""
    if not row.learned:
        return "a filter"
    if not row.sampler:
        return "one pass"
    return "many passes" if row.shares else "one pass, or many"


@cache
def _defaults() -> dict[str, str]:
    """By modality the checkpoint that `--method auto` takes; for XA and RF that of a cine."""
    from meddenoise.methods import rows
    from meddenoise.weights import best_for

    codes = {code: code in _CINES for code in ("CT", "MR", "DX", "CR", "XA", "RF")}
    taken = {}
    for code, is_cine in codes.items():
        general = [
            name for name, row in rows().items() if not row.white_only and (is_cine or not row.temporal)
        ]
        taken[code] = best_for(code, general).name
    return taken

"""Kinds of the parts of a recipe: each fault is one sentence that names the file and the part."""

from math import isfinite
from pathlib import Path
from typing import Any

from meddenoise.errors import TrainingError

TEXTS = ("method", "licence", "start")
TABLES = (
    *("network", "training", "noise", "score", "conditional", "blind", "blind_network"),
    *("diffusion", "diffusion_network", "sampler", "targets", "simulated"),
)


def check_kinds(path: Path, table: dict[str, Any]) -> None:
    """Raises TrainingError for a part of another kind than it must be."""
    own, codes, data = table.get("own_noise", {}), table["modalities"], table["data"]
    wanted = {key: (isinstance(table.get(key, ""), str), "a text") for key in TEXTS}
    wanted |= {key: (isinstance(table.get(key, {}), dict), "a table") for key in TABLES}
    wanted["own_noise"] = isinstance(own, dict) and all(map(is_number, own.values())), "a table of numbers"
    wanted["modalities"] = _is_list(codes, str), 'a list such as ["CT", "MR"]'
    wanted["data"] = _is_list(data, dict), "written as tables [[data]]"
    for key, (fits, kind) in wanted.items():
        if not fits:
            raise TrainingError(f"{path}: {key} is {table[key]!r}, it must be {kind}.")


def is_number(value: object) -> bool:
    """True for a finite number that is not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)

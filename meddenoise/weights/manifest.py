"""The rows of `weights_manifest.toml`: the published checkpoints, and which is best for a modality."""

import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from meddenoise.errors import UsageError, WeightsError
from meddenoise.weights.hub import SCHEME, HubFile

_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "weights_manifest.toml", _PACKAGE.parent / "weights_manifest.toml")
MANIFEST = next((path for path in _PLACES if path.is_file()), _PLACES[0])
"""Inside the package where it was installed from a wheel, at the top of a source checkout."""
OTHER = "other"
"""Stands in a row's modalities for images of every modality no row of the method lists, or of none."""


@dataclass(frozen=True, slots=True)
class WeightsRow:
    """One published checkpoint: what it is, under which terms, how good, and where its file lies."""

    name: str
    method: str
    modality: tuple[str, ...]
    """DICOM modality codes, or OTHER."""
    file: str
    sha256: str
    bytes: int
    licence: str
    training_data: tuple[str, ...]
    """One attribution a data set."""
    scores: Mapping[str, float]
    """By table; `validation-<modality>`, the dB that `choose` compares, is there for each modality."""
    card: str
    recipe: str
    source: Literal["bundled"] | HubFile

    def gains(self, over: str) -> dict[str, float]:
        """dB over another method ("nlm", "bm3d") by modality, where the truth is known; see docs/truth.md."""
        start = f"over-{over}-"
        return {
            name.removeprefix(start).upper(): score
            for name, score in self.scores.items()
            if name.startswith(start)
        }


def published() -> dict[str, WeightsRow]:
    """The published checkpoints by name, in the manifest's order. Raises WeightsError as `read_manifest`."""
    return dict(_read_once(MANIFEST))


def choose(method: str, modality: str, shares: Sequence[str] = ()) -> WeightsRow:
    """The checkpoint of `method` with the best validation score for a DICOM `modality` ("" where unknown).

    `shares` names other methods whose checkpoints will do.
    Raises WeightsError where the method has none for it.
    """
    return _best(_rows_of((method, *shares)), modality, f"method {method!r}")


def choose_any(method: str, shares: Sequence[str] = ()) -> WeightsRow:
    """The checkpoint of `method`, or of those in `shares`, with the best validation score of all.

    Raises WeightsError where there is none.
    """
    rows = _rows_of((method, *shares))
    if not rows:
        raise WeightsError(
            f"the method {method!r} has no checkpoint: give one with --weights, made by `meddenoise train`."
        )
    return max(rows, key=lambda row: max(row.scores[_validation(code)] for code in row.modality))


def best_for(modality: str, methods: Collection[str]) -> WeightsRow:
    """The checkpoint with the best validation score for a DICOM `modality` of any of some methods.

    Raises WeightsError where there is none.
    """
    return _best(_rows_of(methods), modality, "the manifest")


def read_manifest(path: Path) -> dict[str, WeightsRow]:
    """The rows of a manifest file by name.

    Raises WeightsError naming the row and the field for anything missing, unknown or of the wrong kind.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): reinstall meddenoise.") from error
    except ValueError as error:
        raise WeightsError(
            f"{path} is not valid TOML ({error}): correct it, or reinstall meddenoise."
        ) from error
    tables = document.pop("weights", [])
    if document or not isinstance(tables, list):
        raise WeightsError(f"{path} may hold [[weights]] tables only: correct it, or reinstall meddenoise.")
    rows: dict[str, WeightsRow] = {}
    for number, table in enumerate(tables, 1):
        row = _parse_row(f"{path}, [[weights]] number {number}", table)
        if row.name in rows:
            raise WeightsError(f"{path} has two rows named {row.name!r}: rename one.")
        rows[row.name] = row
    return rows


_read_once = cache(read_manifest)


def _rows_of(methods: Collection[str]) -> list[WeightsRow]:
    """The checkpoints of some methods."""
    return [row for row in published().values() if row.method in methods]


def _rank(row: WeightsRow, modality: str) -> tuple[float, float]:
    """Its score in tenths of a dB, less is chance; of level ones the better on the mean counts."""
    every = [row.scores[_validation(code)] for code in row.modality]
    return round(row.scores[_validation(modality)], 1), fmean(every)


def _best(rows: Iterable[WeightsRow], modality: str, where: str) -> WeightsRow:
    rows = list(rows)
    for wanted in (modality, OTHER):
        fitting = [row for row in rows if wanted in row.modality]
        if fitting:
            return max(fitting, key=lambda row: _rank(row, wanted))
    has = ", ".join(sorted({code for row in rows for code in row.modality})) or "none"
    raise WeightsError(
        f"{where} has no checkpoint for modality {modality or 'unknown'!r} (it has: {has}): "
        "choose a method that needs none, or give one with --weights."
    )


def _validation(modality: str) -> str:
    return f"validation-{modality.lower()}"


_FIELDS: dict[str, type] = {
    "name": str,
    "method": str,
    "modality": list,
    "file": str,
    "sha256": str,
    "bytes": int,
    "licence": str,
    "training_data": list,
    "scores": dict,
    "card": str,
    "recipe": str,
}


def _parse_row(where: str, table: Any) -> WeightsRow:
    if not isinstance(table, dict):
        raise WeightsError(f"{where} is not a table: correct it, or reinstall meddenoise.")
    where = f"{where} ({table.get('name', 'without a name')})"
    names = [entry.name for entry in fields(WeightsRow)]
    if unknown := sorted(table.keys() - set(names)):
        raise WeightsError(f"{where} has the unknown field {unknown[0]!r}: valid are {', '.join(names)}.")
    if missing := [name for name in names if name not in table]:
        raise WeightsError(f"{where} lacks the field {missing[0]!r}: add it.")
    for name, kind in _FIELDS.items():
        if type(table[name]) is not kind or (kind is not int and not table[name]):
            raise WeightsError(f"{where}: {name} must be a {kind.__name__} that is not empty: correct it.")
    for name, right, expected in _row_rules(table):
        if not right:
            raise WeightsError(f"{where}: {name} must be {expected}: correct it.")
    source = table["source"] if table["source"] == "bundled" else HubFile(**table["source"])
    lists = {name: tuple(table[name]) for name in ("modality", "training_data")}
    return WeightsRow(**{**table, **lists, "source": source})


def _row_rules(table: dict[str, Any]) -> Iterable[tuple[str, bool, str]]:
    """(field, whether it is right, what it must be) for values that have the right type."""
    codes, scores, source = table["modality"], table["scores"], table["source"]
    yield (
        "modality",
        all(_is_modality(code) for code in codes),
        f"a list of DICOM codes such as 'CT', or {OTHER!r}",
    )
    yield (
        "file",
        re.fullmatch(r"[\w.-]+\.safetensors", table["file"]) is not None,
        "a .safetensors file name, no folder",
    )
    yield (
        "sha256",
        re.fullmatch("[0-9a-f]{64}", table["sha256"]) is not None,
        "64 lower-case hexadecimal digits",
    )
    yield "bytes", table["bytes"] > 0, "the size of the file"
    yield (
        "training_data",
        all(isinstance(text, str) for text in table["training_data"]),
        "a list of attributions",
    )
    numbers = all(type(score) in (int, float) and math.isfinite(score) for score in scores.values())
    yield "scores", numbers, "a table of finite numbers"
    for code in codes:
        yield "scores", _validation(code) in scores, f"a table with {_validation(code)!r} in it"
    yield (
        "source",
        source == "bundled" or _is_hub_file(source),
        "'bundled' or a table of repo, revision and file",
    )


def _is_modality(code: object) -> bool:
    return isinstance(code, str) and (code == OTHER or re.fullmatch("[A-Z]{2,16}", code) is not None)


def _is_hub_file(source: Any) -> bool:
    """True where the table is what an hf:// address of the same parts would be read as."""
    if not isinstance(source, dict) or source.keys() != {"repo", "revision", "file"}:
        return False
    try:
        spec = f"{SCHEME}{source['repo']}/{source['file']}@{source['revision']}"
        return HubFile.parse(spec) == HubFile(**source)
    except UsageError:
        return False

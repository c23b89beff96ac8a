"""Values that the fields of a recipe allow, and a sentence for each fault: file, key, what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from meddenoise.errors import TrainingError, unknown_name

T = TypeVar("T")
LONGEST_SHOWN = 60
"""Characters of a value that a sentence quotes."""


@dataclass(frozen=True, slots=True)
class Within:
    """Range of a number, both ends included; with `above` the lower one is not."""

    least: float
    most: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        return (
            f"above {self.least:g}, at most {self.most:,}"
            if self.above
            else f"from {self.least} to {self.most:,}"
        )


@dataclass(frozen=True, slots=True)
class OneOf:
    """Names of a table."""

    names: tuple[str, ...]

    def __contains__(self, value: str) -> bool:
        return value in self.names

    def __str__(self) -> str:
        return f"out of {', '.join(map(repr, self.names))}"


Count = Annotated[int, Within(1, 1_000_000_000)]
Size = Annotated[int, Within(1, 4096)]
Proportion = Annotated[float, Within(0, 1)]
Positive = Annotated[float, Within(0, 1, above=True)]
Level = Annotated[float, Within(0, 255)]
"""Noise in 255ths of the range of images."""
NOUNS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a table"}


def fill(path: Path, kind: type[T], name: str, table: Mapping[str, Any], **given: Any) -> T:
    """The dataclass `kind` from the recipe's table `name`, whose keys are its fields but for those `given`.

    Raises TrainingError for an unknown key, a value its field does not allow, and values that contradict each
    other, for which `kind` raises ValueError.
    """
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name for field in fields(kind)} - given.keys()  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            raise TrainingError(f"{path}: {unknown_name(f'setting of [{name}]', key, known)}")
        check(path, f"{key} in [{name}]", hints[key], value)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    try:
        return kind(**values, **given)
    except ValueError as error:
        raise TrainingError(f"{path}: [{name}] cannot be used: {error}.") from error


def check(path: Path, name: str, hint: Any, value: object) -> None:
    """Raises TrainingError for a value that the type `hint` does not allow; the file calls it `name`."""
    if not _fits(hint, value):
        raise TrainingError(f"{path}: {name} is {_shown(value)}, it must be {_wanted(hint)}.")


def _fits(hint: Any, value: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(inner[0], value) and value in inner[1]
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple and inner[-1] is ...:
        return isinstance(value, list) and value != [] and all(_fits(inner[0], entry) for entry in value)
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inner) and all(map(_fits, inner, value))
    kinds = (int, float) if hint is float else hint
    return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))


def _wanted(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{NOUNS[inner[0]]} {inner[1]}"
    if origin is Literal:
        return f"a text {OneOf(inner)}"
    if origin is tuple:
        count = "one or more, each" if inner[-1] is ... else f"{len(inner)}, each"
        return f"a list of {count} {_wanted(inner[0])}"
    return NOUNS[hint]


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."

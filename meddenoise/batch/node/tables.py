"""Values of a TOML table: unknown keys and values of another kind end in one sentence."""

from collections.abc import Iterable
from typing import Any, get_args

from meddenoise.errors import UsageError, unknown_name

_NAMES = {str: "a text in quotes", int: "a whole number", bool: "true or false", float: "a number"}


def check_keys(table: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises UsageError for the first key that is not known."""
    names = sorted(known)
    for key in table:
        if key not in names:
            raise unknown_name(f"key of {where}", key, names)


def check_value(key: str, value: object, kind: Any, where: str) -> None:
    """Raises UsageError where a value is not of `kind`: a type, a union, or one named by a text."""
    wanted = str if isinstance(kind, str) else next(iter(get_args(kind)), kind)
    types = (int, float) if wanted is float else wanted
    if not isinstance(value, types) or (isinstance(value, bool) and wanted is not bool):
        raise UsageError(f"{key} of {where} is {value!r}: give {_NAMES[wanted]}.")


def check_range(what: str, value: float, least: float, most: float) -> None:
    """Raises UsageError where a number is out of range."""
    if not least <= value <= most:
        raise UsageError(f"{what} is {value:g}: give {least:g} to {most:g}.")

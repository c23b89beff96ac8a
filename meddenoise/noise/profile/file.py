"""A noise profile as a TOML file, and back with every value checked."""

import math
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from meddenoise.errors import OutputError, UsageError, unknown_name
from meddenoise.io.atomic import write_whole
from meddenoise.noise.profile import SCHEDULE, SOURCES, Counts, NoiseProfile
from meddenoise.version import __version__

FORMAT = 1
SUFFIX = ".toml"
"""Suffix that marks a profile among the words for noise."""
MODELS = ("gaussian", "rician")
TABLES: dict[str, tuple[str, ...]] = {
    "": ("unit", "modality", "source", "spacing_mm"),
    "noise": ("model", "gain", "offset", "sigma", "correlation_px", "rho", "means", "deviations"),
    "nps": ("frequency", "power"),
    "planes": ("window", "sigmas", "steps"),
    "counts": tuple(field.name for field in fields(Counts)),
}
_TEXTS = ("unit", "modality", "source", "model")
_LISTS = ("means", "deviations", "frequency", "power", "window", "sigmas", "spacing_mm")
_LATER: dict[str, tuple[float, ...]] = {"spacing_mm": ()}
"""Fields that files of before do not have, with what is known without them."""
_WHOLE = ("series", "planes", "settled")


def write_profile(profile: NoiseProfile, path: Path) -> None:
    """Write a profile: complete, or not at all. Raises OutputError."""
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f"{path} is not the name of a noise profile: end it in {SUFFIX}.")
    lines = ["# The noise of a device, measured by `meddenoise noise`.", f"format = {FORMAT}"]
    lines += [f'meddenoise = "{__version__}"', f'schedule = "{SCHEDULE}"']
    for table, names in TABLES.items():
        holder = profile.counts if table == "counts" else profile
        lines += ["", f"[{table}]"] if table else []
        lines += [f"{name} = {_toml(getattr(holder, name))}" for name in names]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def read_profile(path: Path) -> NoiseProfile:
    """The profile in a file. Raises UsageError, which names the field, where it is none."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror or error}): give a file of `meddenoise noise`."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a noise profile ({error}): measure it again.") from error
    known = {"format", "meddenoise", "schedule", *TABLES[""], *TABLES}
    for name in table:
        if name not in known:
            raise UsageError(f"{path}: {unknown_name('field', name, known - {''})}")
    if table.get("format") != FORMAT:
        _refuse(path, "format", table.get("format"), f"{FORMAT}, as this meddenoise writes it")
    if table.get("schedule", SCHEDULE) != SCHEDULE:
        _refuse(path, "schedule", table["schedule"], f'"{SCHEDULE}"')
    values = {name: value for part in TABLES for name, value in _values(path, table, part).items()}
    counts = Counts(**{name: values.pop(name) for name in TABLES["counts"]})
    _check(path, values)
    return NoiseProfile(**values, counts=counts)


def _values(path: Path, table: dict[str, Any], part: str) -> dict[str, Any]:
    """The fields of one table, each of its type."""
    holder = table if not part else table.get(part)
    if not isinstance(holder, dict):
        raise UsageError(f"{path} has no table [{part}]: measure it again with `meddenoise noise`.")
    if part:
        for name in holder:
            if name not in TABLES[part]:
                raise UsageError(f"{path}: {unknown_name('field', name, TABLES[part])}")
    return {name: _value(path, name, holder.get(name)) for name in TABLES[part]}


def _value(path: Path, name: str, value: Any) -> Any:
    if value is None and name in _LATER:
        return _LATER[name]
    if value is None:
        raise UsageError(f"{path} has no {name}: measure it again with `meddenoise noise`.")
    if name in _TEXTS:
        return value if isinstance(value, str) else _refuse(path, name, value, "a text")
    if name == "steps":
        whole = isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
        return tuple(value) if whole else _refuse(path, name, value, "a list of whole numbers of at least 0")
    if name in _WHOLE:
        return value if type(value) is int and value >= 1 else _refuse(path, name, value, "a count")
    if name in _LISTS:
        good = isinstance(value, list) and all(map(_is_number, value))
        return tuple(map(float, value)) if good else _refuse(path, name, value, "a list of numbers")
    return float(value) if _is_number(value) else _refuse(path, name, value, "a number")


def _check(path: Path, values: dict[str, Any]) -> None:
    """Refuse what has the right type and no meaning."""
    frequency, power = values["frequency"], values["power"]
    low, high = values["window"] if len(values["window"]) == 2 else (0, 0)
    rules = (
        ("source", values["source"] in SOURCES, f"one of {', '.join(SOURCES)}"),
        ("model", values["model"] in MODELS, f"one of {', '.join(MODELS)}"),
        ("sigma", values["sigma"] >= 0, "at least 0"),
        ("correlation_px", values["correlation_px"] >= 0, "at least 0"),
        ("rho", 0 <= values["rho"] < 1, "from 0 to below 1"),
        ("offset", values["gain"] != 0 or values["offset"] >= 0, "at least 0 if gain is 0"),
        ("deviations", len(values["deviations"]) == len(values["means"]), "as long as means"),
        (
            "frequency",
            list(frequency) == sorted(set(frequency)) and min(frequency, default=-1) >= 0,
            "rising",
        ),
        (
            "power",
            len(power) == len(frequency) and min(power, default=-1) >= 0,
            "as long as frequency, from 0",
        ),
        ("power", max(power, default=0) > 0, "above 0 somewhere"),
        ("window", low < high, "two rising numbers"),
        ("sigmas", min(values["sigmas"], default=-1) >= 0, "one number for each plane, at least 0"),
        (
            "spacing_mm",
            len(values["spacing_mm"]) in (0, 2) and min(values["spacing_mm"], default=1) > 0,
            "two numbers above 0",
        ),
        ("steps", len(values["steps"]) == len(values["sigmas"]), "as long as sigmas"),
    )
    for name, holds, wanted in rules:
        if not holds:
            _refuse(path, name, values[name], wanted)


def _refuse(path: Path, name: str, value: Any, wanted: str) -> NoReturn:
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
    raise UsageError(f"{path}: {name} is {shown}, it must be {wanted}: correct it, or measure it again.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _toml(value: str | float | Iterable[float]) -> str:
    """A value as TOML: floats with the digits that bring them back exactly."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, int | float):
        return repr(value)
    return "[" + ", ".join(map(_toml, value)) + "]"

"""Rules: which series is denoised, and how."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from meddenoise.batch.node.tables import check_keys, check_value
from meddenoise.errors import UsageError
from meddenoise.io import Item
from meddenoise.io.own import is_result
from meddenoise.methods.choice import check_names
from meddenoise.pipeline.options import Options, check_options

CONDITIONS = ("modality", "description", "station")
_NOT_IN_RULES = {"task", "factor", "uncertainty", *CONDITIONS}
"""Options of other commands, or that write more than a result."""
OPTIONS = {item.name: item.type for item in fields(Options) if item.name not in _NOT_IN_RULES}


@dataclass(frozen=True, slots=True)
class Subject:
    """Facts of a series that rules are compared with; empty if it does not state them."""

    modality: str = ""
    description: str = ""
    """SeriesDescription, which may name a patient: for rules only, never for a log."""
    station: str = ""
    result: bool = False
    """True if meddenoise made the series itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions on a series, and the options it is denoised with; `skip` leaves it out."""

    modality: str = ""
    description: str = ""
    """Regular expression, found anywhere in SeriesDescription, in capitals or not."""
    station: str = ""
    """StationName."""
    skip: bool = False
    options: Options = field(default_factory=Options)

    def fits(self, subject: Subject) -> bool:
        """True if the rule applies to a series."""
        return (
            self.modality in ("", subject.modality)
            and self.station in ("", subject.station)
            and re.search(self.description, subject.description, re.IGNORECASE) is not None
        )


def choose_rule(rules: Sequence[Rule], subject: Subject) -> Rule | None:
    """The first rule that fits; None where none does, or where it says to leave the series alone.

    Without rules all are denoised by `auto`. Results of meddenoise are left alone: an archive that sends new
    series back would go round in circles.
    """
    if subject.result:
        return None
    rule = next((rule for rule in rules or (Rule(),) if rule.fits(subject)), None)
    return None if rule is None or rule.skip else rule


def read_subject(item: Item) -> Subject:
    """Subject of the rules, from the first file of an item. Raises InputError."""
    if item.format != "dicom":
        return Subject()
    from meddenoise.io.dicom.header import read_header
    from meddenoise.io.dicom.values import text

    tags = ("Modality", "SeriesDescription", "StationName", "DerivationDescription")
    dataset = read_header(item.files[0], tags).dataset
    modality, description, station, derivation = (text(dataset, tag).strip() for tag in tags)
    return Subject(modality.upper(), description, station, is_result(derivation))


def parse_rule(table: dict[str, Any], where: str, folder: Path) -> Rule:
    """A rule from its table; files it names are relative to `folder`.

    Raises UsageError for unknown keys, values that do not fit and methods that do not exist, WeightsError for
    damaged checkpoints.
    """
    check_keys(table, {*OPTIONS, *CONDITIONS, "skip"}, where)
    conditions = {key: table[key] for key in CONDITIONS if key in table}
    for key, value in conditions.items():
        check_value(key, value, str, where)
    try:
        re.compile(conditions.get("description", ""))
    except re.error as error:
        raise UsageError(
            f"description of {where} is not a regular expression ({error}): correct it, or put \\ before the "
            "character that is meant literally."
        ) from error
    skip = table.get("skip", False)
    check_value("skip", skip, bool, where)
    given = {key: value for key, value in table.items() if key in OPTIONS}
    if "modality" in conditions:
        conditions["modality"] = conditions["modality"].upper()
    return Rule(**conditions, skip=skip, options=_options(given, where, folder))


def _options(given: dict[str, Any], where: str, folder: Path) -> Options:
    from meddenoise.noise.profile.file import read_profile

    for key, value in given.items():
        check_value(key, value, OPTIONS[key], where)
    profile = given.pop("noise_profile", None)
    for key in ("noise_map", "weights"):
        if key in given and (folder / given[key]).exists():
            given[key] = str(folder / given[key])
    options = Options(**given)
    if profile is not None:
        options = replace(options, noise_profile=read_profile(folder / profile))
    try:
        check_names(options.method, options.weights)
        check_options(options)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return options

"""Images held out for validation: those of a list, a share of the patients, or what few images allow."""

import csv
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from meddenoise.errors import TrainingError, UsageError
from meddenoise.series import Series

SPLITS = "SPLITS.csv"
VALIDATION_SHARE = 0.1
LAST_SHARE, LEAST_LAST = 0.2, 3
"""Share of the planes at the end of a single series that is held out, and the fewest of them."""


@dataclass(frozen=True, slots=True)
class Member:
    """A series as the split sees it: whose it is, its name below the data folder, and its planes."""

    patient: str
    group: str
    planes: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Images held out if a share of the patients leaves one side empty: series, or the `last` planes of
    the only one."""

    groups: frozenset[str] = frozenset()
    last: int = 0

    def parts(self, group: str) -> list[tuple[bool, slice]]:
        """The planes of a series: whether they are held out, and which they are."""
        if self.last:
            return [(False, slice(0, -self.last)), (True, slice(-self.last, None))]
        return [(group in self.groups, slice(None))]


@dataclass(frozen=True, slots=True)
class Split:
    """Series of a data folder that are held out: those `listed`, else a `share` of the patients."""

    listed: Mapping[str, str] = field(default_factory=dict)
    """File or folder below the data folder -> train or val."""
    share: float = VALIDATION_SHARE

    def holds_out(self, series: Series, data: Path) -> bool:
        """True if a series of the folder `data` is for validation."""
        if not self.listed:
            return _digest(patient_of(series))[0] < 256 * self.share
        names = {self.listed.get(name) for file in series.files for name in _prefixes(relative(file, data))}
        return "val" in names or "train" not in names  # what the list leaves out never trains


def read_split(data: Path, wanted: str | None = None) -> Split:
    """The split of the folder `data`: as `wanted`, else by its list SPLITS.csv, else a tenth of the patients.

    `wanted` is a share of the patients between 0 and 1, a folder inside `data` to hold out, or a table like
    SPLITS.csv (columns file, split: train or val; files and folders relative to `data`).
    Raises UsageError where it is none of these, TrainingError for a table that cannot be read.
    """
    if wanted is None:
        path = data / SPLITS
        return Split(_read_table(path)) if path.exists() else Split()
    share = _share(wanted)
    if share is not None:
        return Split(share=share)
    path = Path(wanted)
    if path.is_dir() and path.resolve() != data.resolve() and path.resolve().is_relative_to(data.resolve()):
        return Split({relative(path, data): "val", ".": "train"})
    if path.is_file():
        return Split(_read_table(path))
    raise UsageError(
        f"--val is {wanted!r}: give a share of the patients such as 0.2, a folder inside {data}, "
        "or a table with the columns file and split."
    )


def _share(text: str) -> float | None:
    """The number between 0 and 1 that a text is; None for a text that is not a number."""
    try:
        share = float(text)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise UsageError(f"--val is {text}: give a share of the patients between 0 and 1, such as 0.2.")
    return share


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            table = {row["file"].rstrip("/"): row["split"].strip() for row in csv.DictReader(handle)}
    except (OSError, UnicodeError, KeyError, AttributeError, csv.Error) as error:
        raise TrainingError(
            f"{path} cannot be read ({type(error).__name__}: {error}): give a table with the columns "
            "file and split, train or val."
        ) from error
    wrong = next((name for name, side in table.items() if side not in ("train", "val", "test")), None)
    if wrong is not None or not table:
        what = "lists nothing" if wrong is None else f"has {table[wrong]!r} as the split of {wrong}"
        raise TrainingError(f"{path} {what}: list files or folders with train or val.")
    return table


def hold_out(members: Sequence[Member]) -> HeldOut | None:
    """One patient of several, else one series of several, else the last planes of the only one.

    Which one, a hash decides, so that it never changes. None where there is nothing to divide.
    """
    patients = {member.patient for member in members}
    if len(patients) > 1:
        chosen = min(patients, key=_digest)
        return HeldOut(frozenset(member.group for member in members if member.patient == chosen))
    groups = {member.group for member in members}
    if len(groups) > 1:
        return HeldOut(frozenset([min(groups, key=_digest)]))
    planes = sum(member.planes for member in members)
    last = max(LEAST_LAST, round(LAST_SHARE * planes))
    return HeldOut(last=last) if len(members) == 1 and planes >= 2 * last else None


def why_empty(side: str, patch: int, members: Sequence[Member], listed: bool) -> str:
    """The reason why a `side` of a data folder's split, `listed` or not, is empty, and what to do.

    `members` are the series with usable images: of `patch` pixels a side, and not blank.
    """
    if not members:
        return f"gives no image of at least {patch} x {patch} pixels that is not blank: add larger images."
    if listed:
        word = "val" if side == "validation" else "train"
        return (
            f"gives no {side} image of at least {patch} x {patch} pixels: list files or folders with larger "
            f"ones as {word} in the table that splits it ({SPLITS}, or that of --val), or choose with --val."
        )
    planes, least = members[0].planes, 2 * LEAST_LAST
    what = (
        f"one series only, of {planes} planes, where {least} are needed to hold the last {LEAST_LAST} out"
        if planes < least
        else f"one series only, in which the planes for {side} are blank"
    )
    return (
        f"gives no {side} image, for it has {what}: add planes or patients, or a folder of images for "
        "validation inside it, named with --val."
    )


def split_notes(training: Iterable[str], validation: Iterable[str]) -> list[str]:
    """Words on a split that says little, by the group of every image on either side; none on any other."""
    trained, held = Counter(training), Counter(validation)
    if len(held) != 1:
        return []
    (name, count), others = next(iter(held.items())), len(trained.keys() - held.keys())
    if name in trained:
        return [
            f"validation is on the last {count} planes of {name}, the only series: its scores are of this "
            f"patient only; add others, or choose with --val."
        ]
    return [f"validation is only on {name}, one of {others + 1} series; the others train."]


def patient_of(series: Series) -> str:
    """The patient of a series; every file without one is its own."""
    return series.subject or str(series.path)


def relative(path: Path, data: Path) -> str:
    """A path below the data folder as lists name it."""
    return path.resolve().relative_to(data.resolve()).as_posix()


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _prefixes(name: str) -> Iterator[str]:
    """The path itself and every folder above it: a list may name folders."""
    return map(str, itertools.chain([PurePosixPath(name)], PurePosixPath(name).parents))

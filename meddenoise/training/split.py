"""Images held out for validation: those of a list, a share of the patients, or what few images allow."""

import csv
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from meddenoise.series import Series

SPLITS = "SPLITS.csv"
VALIDATION_SHARE = 0.1
LAST_SHARE, LEAST_LAST = 0.2, 3
"""Share of the planes at the end of a single series that is held out, and the fewest of them."""


@dataclass(frozen=True, slots=True)
class Member:
    """A series as the split sees it: whose it is, the file or folder it is, and its planes."""

    patient: str
    group: str
    planes: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is held out where a share of the patients leaves one side empty: series, or the `last` planes of
    the only one."""

    groups: frozenset[str] = frozenset()
    last: int = 0

    def parts(self, group: str) -> list[tuple[bool, slice]]:
        """The planes of a series: whether they are held out, and which they are."""
        if self.last:
            return [(False, slice(0, -self.last)), (True, slice(-self.last, None))]
        return [(group in self.groups, slice(None))]


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


def split_notes(training: Iterable[str], validation: Iterable[str]) -> list[str]:
    """Words on a split that says little, by the group of every image on either side; none on any other."""
    trained, held = Counter(training), Counter(validation)
    if len(held) != 1:
        return []
    (name, count), others = next(iter(held.items())), len(trained.keys() - held.keys())
    if name in trained:
        return [
            f"validation is on the last {count} planes of {name}, the only series: its scores are of this "
            f"patient alone; add others, or list the split in {SPLITS}."
        ]
    return [f"validation is on {name} alone, one of {others + 1} series; the others train."]


def patient_of(series: Series) -> str:
    """Whose series it is; every file without a patient is its own."""
    return series.subject or str(series.path)


def is_validation(series: Series, data: Path, splits: dict[str, str]) -> bool:
    """By the list `splits` of the folder `data`, else a tenth of the patients."""
    if not splits:
        return _digest(patient_of(series))[0] < 256 * VALIDATION_SHARE
    names = {splits.get(name) for file in series.files for name in _prefixes(relative(file, data))}
    return "val" in names or "train" not in names  # what the list leaves out never trains


def read_splits(data: Path) -> dict[str, str]:
    """The list of the folder, file or folder -> train or val; empty where it has none."""
    path = data / SPLITS
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        return {row["file"]: row["split"] for row in csv.DictReader(handle)}


def relative(path: Path, data: Path) -> str:
    """A path below the data folder as lists name it."""
    return path.resolve().relative_to(data.resolve()).as_posix()


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _prefixes(name: str) -> Iterator[str]:
    """The path itself and every folder above it: a list may name folders."""
    return map(str, itertools.chain([PurePosixPath(name)], PurePosixPath(name).parents))

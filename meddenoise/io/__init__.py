"""SHELF of file formats: the `Format` contract, the FORMATS table, and the way in and out of every series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from meddenoise.errors import (
    CopyError,
    InputError,
    NothingReadableError,
    OutputError,
    OutsideError,
    OwnResultError,
    UsageError,
    unknown_name,
)
from meddenoise.series import Series

FORMATS: dict[str, str] = {
    "dicom": "meddenoise.io.dicom.format",
    "nifti": "meddenoise.io.nifti",
    "nrrd": "meddenoise.io.nrrd",
    "mha": "meddenoise.io.mha",
    "png": "meddenoise.io.png",
    "jpeg": "meddenoise.io.jpeg",
    "tiff": "meddenoise.io.tiff",
}
"""Name -> module that satisfies `Format`, imported when first needed; sniffed in this order."""
WRITTEN_AS = {"jpeg": "png"}
"""Formats that are only read -> the one their results have."""
STACKING = ("dicom", "nrrd", "mha")
"""Formats whose new files place every plane above the one before."""
KNOWN = "DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF"


@dataclass(frozen=True, slots=True)
class Entry:
    """Facts from the header of one readable file; `detail` belongs to the format."""

    path: Path
    frames: int
    cine: bool = False
    detail: Any = None
    result: bool = False
    """True where the file says that meddenoise made it of another image."""
    identity: str = ""
    """An identifier that only copies of the file share; empty where the format has none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One series that can be read: its files in plane order, nothing decoded yet.

    `path` is the file, or the folder that holds the files; `root` the folder under which it was found, from
    which an output folder mirrors the layout. `frames` counts images (a colour image is one), `cine` tells
    that they follow each other in time.
    """

    format: str
    path: Path
    files: tuple[Path, ...]
    frames: int
    root: Path
    cine: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that gives no series, and why."""

    path: Path
    error: InputError


@dataclass(frozen=True, slots=True)
class Discovery:
    """Content of a mix of files and folders."""

    items: tuple[Item, ...]
    skipped: tuple[Problem, ...]
    """Files in folders that are no images; not an error."""
    failed: tuple[Problem, ...]
    """Damaged or unsupported images, and files named by the user that hold no image."""
    left_out: tuple[Problem, ...] = ()
    """Results of earlier runs among other images, copies, and links out of their folder; not an error."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each reason why files were left out."""
        kinds = (
            (OwnResultError, "results of meddenoise among other images", "give them by name to use them."),
            (CopyError, "copies of other files", "each image is taken once."),
            (OutsideError, "links that lead out of their folder", "give their targets to use them."),
        )
        told = []
        for kind, what, way in kinds:
            paths = [problem.path for problem in self.left_out if isinstance(problem.error, kind)]
            if paths:
                told.append(f"{what}, skipped: {len(paths)} (first: {paths[0]}); {way}")
        return tuple(told)

    def nothing_readable(self, paths: Sequence[Path], option: str = "") -> NothingReadableError:
        """The error of a search among `paths`, the value of an `option` if named, that found no image."""
        if self.failed:
            return NothingReadableError(str(self.failed[0].error))
        names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        why = f": {self.notes[0]}" if self.notes else f": give {KNOWN}."
        return NothingReadableError(f"{option} {names} holds no image that can be read{why}".lstrip())


def one_each(entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
    """A series of each file: the `group` of formats whose files hold one image or volume."""
    return [(entry,) for entry in entries]


class Format(Protocol):
    """Contract of a module named in FORMATS."""

    SUFFIX: str
    """Suffix of a new file of this format."""

    def sniff(self, path: Path) -> bool:
        """True where the content (not the name) of the regular file `path` claims this format."""

    def scan(self, path: Path) -> Entry:
        """The header of one file. Raises InputError (NotAnImageError for a file without an image)."""

    def group(self, entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
        """The files that make one series each, in plane order."""

    def read(self, item: Item) -> Series:
        """The decoded series. Raises InputError."""

    def write(self, series: Series, targets: Sequence[Path]) -> None:
        """Write all targets of `output_paths`, or none. Raises OutputError."""


def get_format(name: str) -> Format:
    """The format of that name. Raises UsageError for an unknown one."""
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return cast(Format, import_module(FORMATS[name]))


def written_format(source: str, asked: str) -> str:
    """The format of a result, where `asked` is a format's name or "same".

    Raises UsageError for an unknown format, and for one that is only read.
    """
    if asked in WRITTEN_AS:
        raise UsageError(f"{asked} is only read, for it would lose detail: give {WRITTEN_AS[asked]} instead.")
    if asked == "same":
        return WRITTEN_AS.get(source, source)
    writable = [name for name in FORMATS if name not in WRITTEN_AS]
    if asked not in writable:
        raise unknown_name("format", asked, writable)
    return asked


def discover(paths: Iterable[Path], *, results: bool = True) -> Discovery:
    """The series in any mix of files and folders (searched recursively); reads headers only.

    Without `results`, what meddenoise made itself is left out of folders that hold other images too. Links
    out of a folder are not followed.
    """
    from meddenoise.io.walk import search

    return search(paths, results=results)


def read_item(item: Item) -> Series:
    """The series of an item, decoded. Raises InputError."""
    return get_format(item.format).read(item)


def read(path: Path | str) -> list[Series]:
    """Every series in a file or folder.

    Raises the first InputError among its files, or NothingReadableError where there is no image.

    >>> import numpy as np, meddenoise
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> volume = meddenoise.as_series(np.zeros((2, 64, 48), np.int16), modality="MR")
    >>> written = meddenoise.write(volume, f"{folder.name}/brain.nii.gz", format="nifti")
    >>> [series.pixels.shape for series in meddenoise.read(folder.name)]
    [(2, 64, 48)]
    """
    there = _path(path)
    found = discover([there])
    if found.failed:
        raise found.failed[0].error
    if not found.items:
        raise found.nothing_readable([there])
    return [read_item(item) for item in found.items]


def output_paths(
    source: Item | Series, output: Path, *, format: str = "same", root: Path | None = None
) -> list[Path]:
    """The files `write` will make, in the order of the source's files.

    Without `root`, `output` is the file itself where the result is one file, else the folder of the results.
    With `root` (the folder the sources were found under) `output` is always a folder that mirrors it.
    """
    from meddenoise.io.layout import plan

    return plan(source, output, format, root)


def write(
    series: Series, output: Path | str, *, format: str = "same", root: Path | str | None = None
) -> list[Path]:
    """Write the series as `output_paths` says and return those paths: complete, or not at all.

    A series that comes from no file has no "same" format: there the suffix of `output` says it.
    Raises OutputError where a target is one of the sources or cannot be written, InputError for what is no
    series and UsageError for a format that there is not.

    >>> import numpy as np, meddenoise
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> slices = meddenoise.as_series(np.zeros((2, 64, 48), np.uint8))
    >>> [path.name for path in meddenoise.write(slices, folder.name, format="png")]
    ['0001.png', '0002.png']
    """
    from meddenoise.io.layout import plan, refuse_sources, target_format

    _check_series(series)
    place = _path(output)
    targets = plan(series, place, format, None if root is None else _path(root))
    refuse_sources(series.files, targets)
    name = target_format(series, place, format)
    if series.volumes > 1 and name != series.format and name in STACKING:
        raise OutputError(
            f"{series.path} holds {series.volumes} volumes, which {name} would put one above the other: "
            "write it as NIfTI."
        )
    get_format(name).write(series, targets)
    return targets


def _path(given: Any) -> Path:
    """The path given. Raises UsageError for what is none."""
    try:
        return Path(given)
    except TypeError as error:
        what = type(given).__name__
        raise UsageError(f"an object of type {what} is not a path: give that of a file or folder.") from error


def _check_series(given: Any) -> None:
    """Raises InputError for anything but a series."""
    if not isinstance(given, Series):
        raise InputError(
            f"an object of type {type(given).__name__} is not a series: give meddenoise.as_series(image), or "
            "the .series of a result."
        )

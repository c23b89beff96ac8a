"""Places of results: one output path per result file, mirroring the sources, never one of them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from meddenoise.errors import OutputError, UsageError
from meddenoise.io import FORMATS, Item, get_format, written_format
from meddenoise.series import Series

SUFFIXES = {
    **dict.fromkeys((".nii.gz", ".nii"), "nifti"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "dicom"),
    **dict.fromkeys((".nrrd", ".nhdr"), "nrrd"),
    **dict.fromkeys((".mha", ".mhd"), "mha"),
    ".png": "png",
    **dict.fromkeys((".jpeg", ".jpg"), "jpeg"),
    **dict.fromkeys((".tiff", ".tif"), "tiff"),
}
"""Suffixes that name an image -> the format that everyone expects behind them."""
IMAGE_SUFFIXES = tuple(SUFFIXES)
_ONE_FILE = ("nifti", "nrrd", "mha", "tiff")
"""Formats that hold all planes of a series in a file."""
_ATTACHED = {".nhdr": ".nrrd", ".mhd": ".mha"}
"""Suffixes of headers whose voxels are in a file beside them -> those of results, which are one file."""


def plan(source: Item | Series, output: Path, format: str, root: Path | None) -> list[Path]:
    """The result files, see `meddenoise.io.output_paths`."""
    target = target_format(source, output, format)
    suffix = get_format(target).SUFFIX
    names = _names(source, target, suffix, root)
    if len(names) == 1 and root is None:
        return [output]
    return [output / name for name in names]


def target_format(source: Item | Series, output: Path, format: str) -> str:
    """The format of a result; of a series that comes from no file, the one that the name of `output` means.

    Raises UsageError for an unknown format, one that is only read, or none.
    """
    if format != "same" or source.format in FORMATS:
        return written_format(source.format, format)
    meant = meant_format(output)
    if meant is None:
        raise UsageError(
            f"{output} does not say in which format to write {source.path}, which comes from no file: "
            "give format, such as format='nifti'."
        )
    return written_format(meant, meant)


def refuse_sources(sources: Iterable[Path], targets: Sequence[Path]) -> None:
    """Raises OutputError where a target is a source, or two targets are one file."""
    taken = {_identity(path) for path in sources}
    for target in targets:
        identity = _identity(target)
        if identity in taken:
            raise OutputError(f"{target} is an input or another result: choose another output.")
        taken.add(identity)


def stem(path: Path) -> str:
    """The file name without an image suffix; dots of UIDs stay.

    >>> stem(Path("brain.nii.gz"))
    'brain'
    """
    name = path.name
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def attached(path: Path) -> Path:
    """The path with the suffix of one file where it is that of a header with its voxels elsewhere."""
    suffix = _ATTACHED.get(path.suffix.lower())
    return path if suffix is None else path.with_suffix(suffix)


def meant_format(path: Path) -> str | None:
    """The format that everyone expects behind a file name; None where it has no suffix of an image."""
    return SUFFIXES.get(path.name[len(stem(path)) :].lower())


def below(file: Path, base: Path) -> Path:
    """The file as seen from the folder `base`, however both are written; its name where it lies elsewhere."""
    try:
        # by name, not resolved: the layout is that of the links a user sees
        return Path(os.path.abspath(file)).relative_to(os.path.abspath(base))  # noqa: PTH100
    except ValueError:
        return Path(file.name)


def _names(source: Item | Series, target: str, suffix: str, root: Path | None) -> list[Path]:
    files = source.files
    if isinstance(source, Series):
        frames, cine = len(source) // source.channels, source.frame_time_ms is not None
    else:
        frames, cine = source.frames, source.cine
    one_file = target in _ONE_FILE or (target == "dicom" and cine)
    if not files:
        return _numbered(Path(), 1 if one_file else frames, suffix)
    base = root if root is not None else Path(os.path.commonpath([file.parent for file in files]))
    if target == source.format:
        return [attached(below(file, base)) for file in files]
    first = below(files[0], base)
    if one_file:
        return [first.with_name(stem(min(files)) + suffix)]
    if len(files) == frames:
        return [below(file, base).with_name(stem(file) + suffix) for file in files]
    return _numbered(first.with_name(stem(first)) if root is not None else Path(), frames, suffix)


def _numbered(folder: Path, count: int, suffix: str) -> list[Path]:
    digits = max(4, len(str(count)))
    return [folder / f"{number:0{digits}d}{suffix}" for number in range(1, count + 1)]


def _identity(path: Path) -> object:
    """Same object for the same file, through links and hard links; else the resolved path."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino

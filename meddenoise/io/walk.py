"""Finding series: walks files and folders, sniffs each file by content, groups what belongs together."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from meddenoise.errors import CorruptError, InputError, NotAnImageError, first_line
from meddenoise.io import FORMATS, Discovery, Entry, Item, Problem, get_format
from meddenoise.io.temporary import is_own_file


def search(paths: Iterable[Path]) -> Discovery:
    """The series under `paths`; a file reached twice counts once."""
    found: dict[tuple[str, Path], list[Entry]] = {}
    skipped: list[Problem] = []
    failed: list[Problem] = []
    seen: set[tuple[int, int]] = set()
    for path, root, named in _candidates(paths, seen, failed):
        try:
            name, entry = _scan(path)
        except NotAnImageError as error:
            (failed if named else skipped).append(Problem(path, error))
        except InputError as error:
            failed.append(Problem(path, error))
        else:
            found.setdefault((name, root), []).append(entry)
    items = [
        _item(name, root, group)
        for (name, root), entries in found.items()
        for group in get_format(name).group(entries)
    ]
    return Discovery(tuple(items), tuple(skipped), tuple(failed))


def sniff(path: Path) -> str | None:
    """The name of the format that the content of a regular file claims, or None."""
    return next((name for name in FORMATS if get_format(name).sniff(path)), None)


def _scan(path: Path) -> tuple[str, Entry]:
    try:
        name = sniff(path)
        if name is None:
            empty = path.stat().st_size == 0
            what = "is empty" if empty else "is no DICOM, NIfTI, PNG or TIFF image"
            raise NotAnImageError(f"{path} {what}: give an image.")
        return name, get_format(name).scan(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): check the file.") from error
    except InputError:
        raise
    # One file that breaks a library must not end the search of ten thousand.
    except Exception as error:
        raise CorruptError(
            f"{path} has a header that no reader understands ({first_line(error)}): export it again."
        ) from error


def _item(name: str, root: Path, entries: tuple[Entry, ...]) -> Item:
    files = tuple(entry.path for entry in entries)
    path = files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))
    return Item(name, path, files, sum(entry.frames for entry in entries), root, entries[0].cine)


def _candidates(
    paths: Iterable[Path], seen: set[tuple[int, int]], failed: list[Problem]
) -> Iterator[tuple[Path, Path, bool]]:
    """Regular files as (path, root, named by the user), each once."""
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            failed.append(_unreadable(path, error))
            continue
        if stat.S_ISDIR(status.st_mode):
            for file in _walk(path, set(), failed):
                if _first_time(file.stat(), seen):
                    yield file, path, False
        elif not stat.S_ISREG(status.st_mode):
            message = f"{path} is no regular file: give a file or a folder of images."
            failed.append(Problem(path, NotAnImageError(message)))
        elif _first_time(status, seen):
            yield path, path.parent, True


def _walk(folder: Path, visited: set[tuple[int, int]], failed: list[Problem]) -> Iterator[Path]:
    """Regular files below a folder by name; follows links to folders once each, so loops end."""
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            if not _first_time(current.stat(), visited):
                continue
            children = sorted(current.iterdir())
        except OSError as error:
            failed.append(_unreadable(current, error))
            continue
        folders = []
        for child in children:
            try:
                mode = child.stat().st_mode
            except OSError as error:
                # links that lead nowhere are no images
                if not os.path.islink(child):  # noqa: PTH114 (is_symlink raises in closed folders)
                    failed.append(_unreadable(child, error))
                continue
            if stat.S_ISDIR(mode):
                folders.append(child)
            elif stat.S_ISREG(mode) and not is_own_file(child):
                yield child
        pending.extend(reversed(folders))


def _first_time(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(path, InputError(f"{path} cannot be read ({reason}): check the path and its permissions."))

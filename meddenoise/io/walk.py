"""Finding series: walks files and folders, sniffs each file by content, groups what belongs together."""

import filecmp
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from meddenoise.errors import (
    CopyError,
    CorruptError,
    InputError,
    NotAnImageError,
    OutsideError,
    OwnResultError,
    first_line,
)
from meddenoise.io import FORMATS, KNOWN, Discovery, Entry, Item, Problem, get_format
from meddenoise.io.archive import is_archive, origin, unpack
from meddenoise.io.natural import natural_key
from meddenoise.io.own import bears_mark
from meddenoise.io.temporary import is_own_file


def search(paths: Iterable[Path], *, results: bool) -> Discovery:
    """The series under `paths`; a file reached twice counts once. See `meddenoise.io.discover`."""
    found: dict[tuple[str, Path], list[Entry]] = {}
    own: dict[Path, list[tuple[str, Entry]]] = {}
    known: dict[tuple[Path, str], Path] = {}
    skipped: list[Problem] = []
    problems = _Problems([], [])
    for path, root, named in _candidates(paths, problems):
        try:
            name, entry = _scan(path)
        except NotAnImageError as error:
            (problems.failed if named else skipped).append(Problem(path, error))
        except InputError as error:
            problems.failed.append(Problem(path, error))
        else:
            first = known.setdefault((root, entry.identity), path) if entry.identity else path
            if first != path and filecmp.cmp(first, path, shallow=False):
                problems.left_out.append(Problem(path, CopyError(f"{path} is a copy of {first}.")))
            elif not results and not named and (entry.result or bears_mark(path, root)):
                own.setdefault(root, []).append((name, entry))
            else:
                found.setdefault((name, root), []).append(entry)
    _judge_results(own, found, problems)
    items = [
        _item(name, root, group)
        for (name, root), entries in found.items()
        for group in get_format(name).group(entries)
    ]
    parts = (map(_renamed, part) for part in (skipped, problems.failed, problems.left_out))
    return Discovery(tuple(items), *map(tuple, parts))


@dataclass(frozen=True, slots=True)
class _Problems:
    """Files that could not be used, and those left out on purpose."""

    failed: list[Problem]
    left_out: list[Problem]


def _renamed(problem: Problem) -> Problem:
    """The problem by the path a user knows: below an archive, not where that was unpacked."""
    known = origin(problem.path)
    if known == problem.path:
        return problem
    return Problem(known, type(problem.error)(str(problem.error).replace(str(problem.path), str(known))))


def _judge_results(
    own: dict[Path, list[tuple[str, Entry]]], found: dict[tuple[str, Path], list[Entry]], problems: _Problems
) -> None:
    """Leave own results out of folders with other images; a folder of nothing else was meant."""
    others = {root for _, root in found}
    for root, entries in own.items():
        for name, entry in entries:
            if root in others:
                error = OwnResultError(f"{entry.path} is a result of meddenoise.")
                problems.left_out.append(Problem(entry.path, error))
            else:
                found.setdefault((name, root), []).append(entry)


def sniff(path: Path) -> str | None:
    """The name of the format that the content of a regular file claims, or None."""
    return next((name for name in FORMATS if get_format(name).sniff(path)), None)


def _scan(path: Path) -> tuple[str, Entry]:
    try:
        name = sniff(path)
        if name is None:
            empty = path.stat().st_size == 0
            what = "is empty" if empty else f"is not a {KNOWN} image"
            way = "give it by name" if not empty and is_archive(path) else "give an image"
            raise NotAnImageError(f"{path} {what}: {way}.")
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


def _candidates(paths: Iterable[Path], problems: _Problems) -> Iterator[tuple[Path, Path, bool]]:
    """Regular files as (path, root, named by the user), each once.

    The root of files that were named is the folder they have in common.
    """
    seen: set[tuple[int, int]] = set()
    paths = list(paths)
    common = _common([path for path in paths if os.path.isfile(path)])  # noqa: PTH113 (is_file may raise)
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            problems.failed.append(_unreadable(path, error))
            continue
        if stat.S_ISDIR(status.st_mode):
            for file in _walk(path, problems):
                if _first_time(file.stat(), seen):
                    yield file, path, False
        elif not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a regular file: give a file or a folder of images."
            problems.failed.append(Problem(path, NotAnImageError(message)))
        elif _first_time(status, seen):
            folder = _unpacked(path, problems)
            if folder == path:
                yield path, common or path.parent, True
            elif folder is not None:
                for file in _walk(folder, problems):
                    yield file, folder, False


def _unpacked(path: Path, problems: _Problems) -> Path | None:
    """The folder of a zip archive that was named, `path` for any other file, None where it is not opened."""
    try:
        return unpack(path) if is_archive(path) else path
    except InputError as error:
        problems.failed.append(Problem(path, error))
    except OSError:
        return path
    return None


def _common(files: list[Path]) -> Path | None:
    """The folder that the files of several folders have in common, None where they are in one."""
    parents = {file.parent for file in files}
    if len(parents) < 2:
        return None
    try:
        # by name, not resolved: results are laid out like the names that were given
        return Path(os.path.commonpath([os.path.abspath(parent) for parent in parents]))  # noqa: PTH100
    except ValueError:
        return None  # on several drives


def _walk(folder: Path, problems: _Problems) -> Iterator[Path]:
    """Regular files below a folder by name; follows links inside it, to folders once each, so loops end."""
    pending = [folder]
    visited: set[tuple[int, int]] = set()
    inside = folder.resolve()
    while pending:
        current = pending.pop()
        try:
            if not _first_time(current.stat(), visited):
                continue
            children = sorted(current.iterdir(), key=lambda child: natural_key(child.name))
        except OSError as error:
            problems.failed.append(_unreadable(current, error))
            continue
        folders = []
        for child in children:
            is_link = os.path.islink(child)  # noqa: PTH114 (is_symlink raises in closed folders)
            try:
                mode = child.stat().st_mode
                wanted = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
                outside = wanted and is_link and not child.resolve().is_relative_to(inside)
            except OSError as error:
                # links that lead nowhere are no images
                if not is_link:
                    problems.failed.append(_unreadable(child, error))
                continue
            if outside:
                problems.left_out.append(Problem(child, OutsideError(f"{child} leads out of {folder}.")))
            elif stat.S_ISDIR(mode):
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

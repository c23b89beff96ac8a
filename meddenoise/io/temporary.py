"""Names of unfinished files, which tell who writes them, and the removal of what a killed process left."""

import itertools
import os
import platform
import re
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

OWN_PREFIX = ".meddenoise-"
"""All that meddenoise keeps hidden among results begins like this: none of it is an image."""
DAY_S = 86_400.0
"""Age from which a file of another machine, whose processes cannot be looked for, counts as left behind."""

_RUN = secrets.token_hex(4)
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_NAME = re.compile(rf"{re.escape(OWN_PREFIX)}([0-9a-f]{{8}})-(\d+)-([0-9a-f]{{8}})-\d+\.tmp")
_numbers = itertools.count()
_swept: set[Path] = set()


def temporary_name() -> str:
    """A name for a file that this process is writing: machine, process, run, number."""
    return f"{OWN_PREFIX}{_HOST}-{os.getpid()}-{_RUN}-{next(_numbers)}.tmp"


def own_pattern() -> str:
    """A glob pattern of the names of all unfinished files of this process."""
    return f"{OWN_PREFIX}{_HOST}-{os.getpid()}-{_RUN}-*.tmp"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder for a block; one that a killed process left goes with the next."""
    room, process = Path(tempfile.gettempdir()), os.getpid()
    sweep(room)
    folder = room / temporary_name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        if process == os.getpid():  # not by one that was forked off
            shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(folders: Iterable[Path], pattern: str) -> None:
    """Remove the files of a process that has ended, by its `own_pattern`."""
    for folder in folders:
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()


def is_own_file(path: Path) -> bool:
    """True for a name that only unfinished files and records of meddenoise bear."""
    return path.name.startswith(OWN_PREFIX)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`, the first time this process is asked to."""
    key = folder.absolute()
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError), os.scandir(folder) as entries:
        stale = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries if _is_stale(entry)]
        for path, is_folder in stale:
            with suppress(OSError):
                if is_folder:
                    shutil.rmtree(path)
                else:
                    os.unlink(path)  # noqa: PTH108 (a string, of thousands)


def _is_stale(entry: "os.DirEntry[str]") -> bool:
    name = _NAME.fullmatch(entry.name)
    if name is None:
        return False
    host, process, run = name.groups()
    if host != _HOST or os.name != "posix":
        return time() - entry.stat().st_mtime > DAY_S
    if int(process) == os.getpid():
        return run != _RUN  # the number was another process's before
    return not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return True

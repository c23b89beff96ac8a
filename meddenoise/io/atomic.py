"""Files that appear complete or not at all: temporary name beside the target, fsync, rename."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from meddenoise.errors import OutputError
from meddenoise.io.temporary import sweep, temporary_name


class Staging:
    """Targets written to temporary names, which get their own names together at the end."""

    def __init__(self) -> None:
        self._moves: list[tuple[Path, Path]] = []
        self._folders: list[Path] = []
        self.current: Path | None = None
        """The target that is being written, where one is."""

    @contextmanager
    def file(self, target: Path) -> Iterator[BinaryIO]:
        """A new file to write `target` to; synced to the disk when the block ends."""
        self.current = target
        self._make_folder(target.parent)
        sweep(target.parent)
        temporary = target.parent / temporary_name()
        self._moves.append((temporary, target))
        with temporary.open("xb+") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        self.current = None

    def publish(self) -> None:
        """Give every file its own name."""
        for temporary, target in self._moves:
            self.current = target
            temporary.replace(target)
        self.current = None
        for folder in {target.parent for _, target in self._moves}:
            _sync_folder(folder)

    def discard(self) -> None:
        """Remove what has not got its own name, and the folders made for it."""
        for temporary, _ in self._moves:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        for folder in reversed(self._folders):
            with suppress(OSError):  # not empty: something is published there
                folder.rmdir()

    def _make_folder(self, folder: Path) -> None:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        for parent in reversed(missing):
            self._folders.append(parent)
            parent.mkdir(exist_ok=True)


@contextmanager
def staged(targets: Sequence[Path]) -> Iterator[Staging]:
    """A staging for all `targets`: published when the block ends, gone on any exception.

    Raises OutputError, naming the file, where the disk refuses.
    """
    staging = Staging()
    try:
        yield staging
        staging.publish()
    except OSError as error:
        staging.discard()
        where = staging.current or (targets[0] if len(targets) == 1 else targets[0].parent)
        raise OutputError(
            f"{where} cannot be written ({error.strerror or error}): choose another output or make room."
        ) from error
    except BaseException:
        staging.discard()
        raise


def write_whole(path: Path, content: bytes) -> None:
    """One file with `content`, complete or not at all. Raises OutputError where the disk refuses."""
    with staged([path]) as staging, staging.file(path) as stream:
        stream.write(content)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

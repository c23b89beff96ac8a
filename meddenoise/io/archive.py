"""Zipped studies as inputs: unpacked into a private temporary folder that goes with the process."""

import atexit
import errno
import os
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from meddenoise.errors import CorruptError, InputError, UnsupportedError, first_line
from meddenoise.io.layout import IMAGE_SUFFIXES
from meddenoise.io.temporary import sweep, temporary_name

LARGE, RATIO = 1 << 30, 100
"""Bytes up to which a study may be packed however well (blank images are), and how many times as large as
its archive a larger one may be: medical images shrink to a half or a third."""
MOST_FILES = 200_000

_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK = 1 << 20
_unpacked: dict[tuple[Path, int, int], tuple[Path, Path]] = {}
"""Path, size and time of an archive -> the folder that stands for it, and the path as it was given."""


def is_archive(path: Path) -> bool:
    """True for the content of a zip archive. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(4) in _MAGICS


def unpack(path: Path) -> Path:
    """The folder with the files of a zip archive, of its name; it is gone when this process ends.

    Raises InputError where the archive is damaged, encrypted, holds another archive or a link, names places
    outside, or would take too much room.
    """
    status = path.stat()
    key = path.absolute(), status.st_size, status.st_mtime_ns
    if key not in _unpacked:
        _unpacked[key] = _unpack(path), path
    return _unpacked[key][0]


def archive_of(folder: Path) -> Path | None:
    """The archive that `folder` was unpacked from; None for any other folder."""
    return next((given for there, given in _unpacked.values() if there == folder), None)


def origin(path: Path) -> Path:
    """A path as a user knows it: below the archive it was unpacked from, else as it is."""
    for folder, given in _unpacked.values():
        if path.is_relative_to(folder):
            return given / path.relative_to(folder)
    return path


def _unpack(path: Path) -> Path:
    room = Path(tempfile.gettempdir())
    sweep(room)
    home = room / temporary_name()
    try:
        with zipfile.ZipFile(path) as archive:
            files = _files(path, archive)
            _check_room(path, files, room)
            home.mkdir(mode=0o700)
            atexit.register(_remove, home, os.getpid())
            for file, inner in files:
                _write(path, archive, file, home / path.name / inner)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        _remove(home, os.getpid())
        raise CorruptError(
            f"{path} is a damaged zip archive ({first_line(error)}): copy it again."
        ) from error
    except NotImplementedError as error:
        _remove(home, os.getpid())
        raise UnsupportedError(f"{path} is packed in a way that is not read: unpack it first.") from error
    except OSError as error:
        _remove(home, os.getpid())
        if error.errno == errno.ENAMETOOLONG:
            name = Path(error.filename).name[:60]
            raise UnsupportedError(
                f"{path} holds a name too long for {room} ({name}...): pack it again with shorter names."
            ) from error
        raise InputError(
            f"{path} cannot be unpacked into {room} ({error.strerror or error}): make room there, or set "
            "TMPDIR to another folder."
        ) from error
    except BaseException:
        _remove(home, os.getpid())
        raise
    (home / path.name).mkdir(exist_ok=True)
    return home / path.name


def _files(path: Path, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files of an archive, each with its place below it. Raises InputError for what is not safe."""
    files = []
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if not name.parts:
            continue
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise UnsupportedError(
                f"{path} names a place outside itself ({info.filename}): it is not opened."
            )
        if info.is_dir():
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UnsupportedError(f"{path} holds a link ({info.filename}): unpack it first.")
        if info.flag_bits & 1:
            raise UnsupportedError(f"{path} is encrypted: unpack it first.")
        if name.suffix.lower() == ".zip":
            raise _nested(path, info)
        files.append((info, name))
    _check_names(path, [name for _, name in files])
    return files


def _check_names(path: Path, names: list[PurePosixPath]) -> None:
    """Raises UnsupportedError where two files would have one place."""
    taken: set[PurePosixPath] = set()
    folders = {folder for name in names for folder in name.parents}
    for name in names:
        if name in taken or name in folders:
            what = "a file and a folder" if name in folders else "two files"
            raise UnsupportedError(f"{path} holds {what} of the name {name}: pack it again with other names.")
        taken.add(name)


def _check_room(path: Path, files: list[tuple[zipfile.ZipInfo, PurePosixPath]], room: Path) -> None:
    """Raises UnsupportedError for an archive that says it is larger than a study can be."""
    total, packed = sum(info.file_size for info, _ in files), max(path.stat().st_size, 1)
    if (total > LARGE and total > RATIO * packed) or len(files) > MOST_FILES:
        raise UnsupportedError(
            f"{path} would unpack to {total / 2**30:.1f} GiB in {len(files)} files, "
            f"{total / packed:.0f} times its size, which is not opened: unpack it first."
        )
    free = shutil.disk_usage(room).free
    if total > free:
        raise InputError(
            f"{path} needs {total / 2**30:.1f} GiB in {room}, which has {free / 2**30:.1f}: "
            "make room there, or set TMPDIR to another folder."
        )


def _write(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """One file, with the time it had: it tells, as for any file, whether a result is still that of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with archive.open(info) as stream, target.open("xb") as out:
        while block := stream.read(_BLOCK):
            if not out.tell() and block[:4] in _MAGICS and _says_image(target.name):
                raise _nested(path, info)
            left -= len(block)
            if left < 0:
                raise UnsupportedError(
                    f"{path} holds more in {info.filename} than it states: it is not opened."
                )
            out.write(block)
    seconds = time.mktime((*info.date_time, 0, 0, -1))
    os.utime(target, (seconds, seconds))


def _says_image(name: str) -> bool:
    """True for a name that images have, the last part of a UID among them: office documents are archives too,
    and lie among images."""
    suffix = PurePosixPath(name).suffix.lower()
    return name.lower().endswith(IMAGE_SUFFIXES) or not suffix.strip(".0123456789")


def _nested(path: Path, info: zipfile.ZipInfo) -> UnsupportedError:
    return UnsupportedError(f"{path} holds another archive ({info.filename}): unpack it first.")


def _remove(home: Path, process: int) -> None:
    """The unpacked files away; not by a process that was forked off."""
    if process == os.getpid():
        shutil.rmtree(home, ignore_errors=True)

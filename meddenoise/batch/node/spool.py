"""The folders of a node: what it holds, moved on by renames that happen or do not.

incoming/                   one image being received
receiving/KEY/              a series that is arriving; KEY is a digest of its UIDs
waiting/JOB/                complete, to be denoised; JOB is a time and the key
results/JOB/                being denoised
outbox/DESTINATION/JOB/     results to be delivered there; what is delivered is removed
failed/JOB/                 what could not be denoised or delivered, with why.txt
trash/                      being removed
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import BinaryIO

from meddenoise.errors import OutputError

_REMEMBERED = 10_000
_JOB = re.compile(r"[0-9a-f]+-[0-9a-f]+")
"""Begins the name of a job."""
_OPEN = ".open-"
"""Begins the names of files that say which association a series is arriving by."""


class Spool:
    """The spool in `root`, for destinations of these names; safe for threads, one process at a time."""

    def __init__(self, root: Path, destinations: Sequence[str]) -> None:
        self.root = root
        self.destinations = tuple(destinations)
        self._mutex = threading.Lock()
        self._heard: dict[str, float] = {}
        self._open: dict[str, set[str]] = {}
        self._lock: BinaryIO | None = None
        self._working = ""
        self._begun: dict[str, None] = {}

    def enter(self) -> None:
        """Make the folders, remove what a killed process left half done, and keep other processes out.

        Raises OutputError where another process uses the spool, or it cannot be written.
        """
        outboxes = [f"outbox/{name}" for name in self.destinations]
        try:
            for name in ("", "incoming", "receiving", "waiting", "results", *outboxes, "failed", "trash"):
                (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self.root / ".lock").open("wb")
        except OSError as error:
            raise OutputError(
                f"the spool {self.root} cannot be written ({error.strerror or error}): "
                "choose another folder or change its permissions."
            ) from error
        try:
            fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"another `meddenoise serve` uses the spool {self.root}: stop it, or give each its own spool."
            ) from error
        for path in (
            *self.root.glob("incoming/*"),
            *self.root.glob("results/*"),
            *self.root.glob("trash/*"),
            *self.root.glob("outbox/*/.*"),
        ):
            _remove(path)
        self._heard = {folder.name: monotonic() for folder in _folders(self.root / "receiving")}

    def leave(self) -> None:
        """Let other processes in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def incoming(self, content: bytes) -> Iterator[Path]:
        """A file with this content, on the disk and not only in memory, gone when the block ends."""
        path = self.root / "incoming" / f"{threading.get_ident()}-{time_ns()}"
        try:
            with path.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, path: Path, uids: tuple[str, str], instance: str, token: str) -> str:
        """Take a received image into its series, in place of one with the same UID; gives the series' key.

        `uids` are those of study and series, `token` names the association.
        """
        key = digest(*uids)
        folder = self.root / "receiving" / key
        with self._mutex:
            folder.mkdir(mode=0o700, exist_ok=True)
            if key not in self._open.setdefault(token, set()):
                (folder / f"{_OPEN}{token}").touch()
                self._open[token].add(key)
            path.replace(folder / f"{digest(instance)}.dcm")
            _sync(folder)
            self._heard[key] = monotonic()
        return key

    def close(self, token: str, *, released: bool) -> list[str]:
        """An association is over; the keys of series that it broke off, none where it was `released`."""
        with self._mutex:
            keys = [key for key in self._open.pop(token, ()) if key in self._heard]
            for key in keys:
                self._heard[key] = monotonic()
                if released:
                    for file in self._broken(key):
                        file.unlink(missing_ok=True)
            return [] if released else keys

    def settle(self, quiet_s: float, broken_s: float) -> list[tuple[Path, bool]]:
        """Move on the series of which nothing arrived for so long: those whose sender broke off to `failed`.

        Gives their new folders, and whether each failed.
        """
        moved = []
        with self._mutex:
            now = monotonic()
            for key, heard in sorted(self._heard.items(), key=lambda entry: entry[1]):
                folder = self.root / "receiving" / key
                if now - heard < quiet_s:
                    continue
                broken = bool(self._broken(key))
                if broken and now - heard < broken_s:
                    continue
                for keys in self._open.values():
                    keys.discard(key)
                target = self.root / ("failed" if broken else "waiting") / f"{time_ns():016x}-{key}"
                if not broken:
                    self._join_earlier(key, folder)
                folder.rename(target)
                # not before: a process killed in between would leave half a series that looks whole
                for file in target.glob(f"{_OPEN}*"):
                    file.unlink()
                _sync(target.parent)
                del self._heard[key]
                moved.append((target, broken))
        return moved

    def waiting(self) -> list[Path]:
        """The jobs to be denoised, the oldest first."""
        return _jobs(self.root / "waiting")

    def begin(self, job: Path) -> Path:
        """Add nothing to a job from here on; the folder for its results, that of an earlier try removed."""
        with self._mutex:
            self._working = job.name
            self._begun[key_of(job)] = None
            for old in list(self._begun)[:-_REMEMBERED]:
                del self._begun[old]
        folder = self.root / "results" / job.name
        self.drop(folder)
        return folder

    def is_late(self, job: Path) -> bool:
        """True if images of the same series were denoised before, since the start."""
        return key_of(job) in self._begun

    def hand_over(self, job: Path) -> None:
        """Put the results of a job into every outbox, then remove the job."""
        files = sorted((self.root / "results" / job.name).rglob("*.dcm"))
        for name in self.destinations:
            outbox = self.root / "outbox" / name
            partial = outbox / f".{job.name}"
            self.drop(outbox / job.name)
            partial.mkdir(mode=0o700)
            for file in files:
                os.link(file, partial / file.name)
            _sync(partial)
            partial.rename(outbox / job.name)
            _sync(outbox)
        self.drop(job)
        self.drop(self.root / "results" / job.name)

    def outbox(self, destination: str) -> list[Path]:
        """The jobs to be delivered there, the oldest first."""
        return _jobs(self.root / "outbox" / destination)

    def give_up(self, job: Path, why: str) -> None:
        """Put a job aside, with the reason and what to do to have it tried again."""
        place = job.relative_to(self.root).parent
        home = "waiting" if place.name in ("receiving", "failed") else place
        target = self.root / "failed" / job.name
        if target.exists() and target != job:  # of another destination
            target = target.with_name(f"{job.name}-{place.name}")
        again = f"To try again: {shlex.join(['mv', str(target), str(self.root / home)])}"
        with suppress(OSError):
            (job / "why.txt").write_text(f"{why}\n{again}\n", encoding="utf-8")
        if target != job:
            job.rename(target)

    def drop(self, folder: Path) -> None:
        """Remove a folder: at once for all who look, however long it takes."""
        if folder.exists():
            trash = self.root / "trash" / f"{folder.name}-{time_ns()}"
            folder.rename(trash)
            _remove(trash)

    def count(self) -> dict[str, object]:
        """Number of series in each state."""
        where = {name: len(_folders(self.root / name)) for name in ("receiving", "failed")}
        sending = {name: len(self.outbox(name)) for name in self.destinations}
        return {**where, "waiting": len(self.waiting()), "sending": sending}

    def _join_earlier(self, key: str, folder: Path) -> None:
        """Take the images of jobs of the same series that nobody works on: what came late joins them."""
        for job in self.waiting():
            if key_of(job) == key and job.name != self._working:
                # linked, not moved: until it goes as a whole, the job keeps all its images
                for file in job.glob("*.dcm"):
                    if not (folder / file.name).exists():
                        os.link(file, folder / file.name)
                _sync(folder)
                self.drop(job)

    def _broken(self, key: str) -> list[Path]:
        """The files on a series by associations that ended without a release."""
        files = (self.root / "receiving" / key).glob(f"{_OPEN}*")
        return [file for file in files if key not in self._open.get(file.name.removeprefix(_OPEN), ())]


def digest(*parts: str) -> str:
    """A name made from UIDs: 24 hexadecimal digits."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def key_of(job: Path) -> str:
    """The key of the series of a job, the only name a log gives it."""
    return job.name.split("-")[1]


def _jobs(parent: Path) -> list[Path]:
    """The jobs in a folder, the oldest first; folders that somebody else put there are none."""
    return [path for path in _folders(parent) if _JOB.match(path.name)]


def _folders(parent: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in parent.iterdir() if path.is_dir())
    return []


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

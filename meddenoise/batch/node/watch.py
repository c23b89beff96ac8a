"""Watching a folder: what has come to rest in it is denoised into another, by the same rules."""

import hashlib
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from meddenoise.batch import Request, run
from meddenoise.batch.node.log import log
from meddenoise.batch.node.rules import Rule, choose_rule, read_subject
from meddenoise.batch.node.settings import Settings
from meddenoise.batch.node.work import RunRecord, summary
from meddenoise.batch.workers import Orders
from meddenoise.errors import InputError, MeddenoiseError, NotAnImageError, OutputError, UsageError
from meddenoise.io import Discovery, Item, discover
from meddenoise.report import Failure

RESCAN_S = 30.0
"""Also looked through so often: network folders and some containers send no events."""
_CHANGES = {"created", "modified", "moved", "deleted", "closed"}
_STEP_S = 0.2


@dataclass(slots=True)
class _Entry:
    """A folder directly in the watched one, or all files directly in it."""

    state: str = ""
    """Digest of the names, sizes and times of all files."""
    since: float = 0.0
    done: str = ""
    """The state in which it was denoised."""


class FolderWatch:
    """Denoises what comes into `folder` into `output`, which mirrors it."""

    def __init__(self, folder: Path, output: Path, settings: Settings, stop: threading.Event) -> None:
        _check_places(folder, output)
        self._folder, self._output = folder, output
        self._settings, self._stop = settings, stop
        self._changed = threading.Event()
        self._entries: dict[Path, _Entry] = {}

    def run(self) -> None:
        """Work until `stop` is set; what is not finished then is done by the next start."""
        observer = Observer()
        observer.schedule(_Handler(self._changed), str(self._folder), recursive=True)
        try:
            observer.start()
        except OSError as error:
            log.warning(
                "the system cannot report changes (%s): the folder is scanned every %.0f s instead",
                error.strerror or error,
                RESCAN_S,
            )
        log.info("watching; results go to the output folder")
        try:
            while not self._stop.is_set():
                self._changed.clear()
                self._look()
                waiting = any(entry.state != entry.done for entry in self._entries.values())
                self._pause(min(1.0, self._settings.quiet_s) if waiting else RESCAN_S)
        finally:
            if observer.is_alive():
                observer.stop()
                observer.join()

    def count(self) -> dict[str, object]:
        """Number of entries that wait."""
        return {"waiting": sum(entry.state != entry.done for entry in list(self._entries.values()))}

    def _look(self) -> None:
        """Denoise every entry that came to rest."""
        paths = self._list()
        for gone in self._entries.keys() - set(paths):
            del self._entries[gone]
        for path in paths:
            if self._stop.is_set():
                return
            entry = self._entries.setdefault(path, _Entry())
            state = _state_of(path, self._folder)
            if state != entry.state:
                entry.state, entry.since = state, monotonic()
            elif state != entry.done and monotonic() - entry.since >= self._settings.quiet_s:
                try:
                    self._denoise(path)
                except SystemExit:
                    return
                except (MeddenoiseError, OSError) as error:
                    _tell_failure(path, error)
                entry.done = state

    def _list(self) -> list[Path]:
        """The entries there are, links left out; the folder itself stands for the files directly in it."""
        try:
            inside = sorted(path for path in self._folder.iterdir() if not path.is_symlink())
        except OSError as error:
            log.error("the watched folder cannot be read (%s)", error.strerror or error)
            return []
        folders = [path for path in inside if os.path.isdir(path)]  # noqa: PTH112 (is_dir may raise)
        return folders + ([self._folder] if len(folders) < len(inside) else [])

    def _denoise(self, path: Path) -> None:
        """Denoise an entry, a run for every rule that its series need."""
        inputs: tuple[Path, ...] = (path,)
        output = self._output / path.name
        if path == self._folder:
            loose = (one for one in sorted(path.iterdir()) if not one.is_symlink() and one.is_file())
            inputs, output = tuple(loose), self._output
        found = discover(inputs, results=False)
        # these files were not named by anybody: what is no image among them is no failure
        others = {problem.path for problem in found.failed if isinstance(problem.error, NotAnImageError)}
        inputs = tuple(one for one in inputs if one not in others)
        chosen = self._choose(found)
        rules = [rule for rule in (self._settings.rules or (Rule(),)) if rule in chosen.values()]
        for rule in rules:
            keys = {key for key, one in chosen.items() if one == rule}
            request = Request(
                inputs=inputs,
                output=output,
                wanted=lambda item, keys=keys: _key(item) in keys,  # type: ignore[misc]
                orders=Orders(options=rule.options, replace=True),
            )
            watch = RunRecord(self._stop)
            run(request, watch)
            for row in watch.rows:
                log.info("%s: %s", _name(path), summary(row))
            for failure in watch.failures:
                _tell_failure(path, failure)
        if not rules:
            for problem in found.failed:
                if problem.path not in others:
                    _tell_failure(path, problem.error)
            log.info("%s: no series fits the rules", _name(path))

    def _choose(self, found: Discovery) -> dict[str, Rule]:
        """The rule of every item that one applies to, by its first file."""
        chosen = {}
        for item in found.items:
            try:
                rule = choose_rule(self._settings.rules, read_subject(item))
            except InputError:
                rule = None
            if rule is not None:
                chosen[_key(item)] = rule
        return chosen

    def _pause(self, seconds: float) -> None:
        end = monotonic() + seconds
        while not self._stop.wait(_STEP_S) and monotonic() < end:
            if self._changed.is_set() and seconds == RESCAN_S:
                return


class _Handler(FileSystemEventHandler):
    """Sets an event on every change; reading is none."""

    def __init__(self, changed: threading.Event) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened below the folder."""
        if event.event_type in _CHANGES:
            self._changed.set()


def _check_places(folder: Path, output: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"--watch {folder} is not a folder: give one that exists.")
    inner, outer = output.resolve(), folder.resolve()
    if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise UsageError(
            f"the output {output} and the watched folder {folder} are one inside the other: "
            "give two separate folders."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written ({error.strerror or error}): give another -o."
        ) from error


def _key(item: Item) -> str:
    return str(item.files[0])


def _state_of(path: Path, folder: Path) -> str:
    content = []
    # unlike rglob, this takes folders that vanish while it looks
    for place, folders, names in os.walk(path):
        if path == folder:
            folders.clear()
        for name in names:
            file = Path(place, name)
            try:
                status = file.stat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                content.append(f"{file} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(content)).encode(errors="surrogateescape")).hexdigest()


def _name(path: Path) -> str:
    """Name of an entry in the log: folders may be named after patients."""
    return f"folder {hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()[:8]}"


def _tell_failure(path: Path, problem: Failure | Exception) -> None:
    why = problem.error if isinstance(problem, Failure) else problem
    log.error("%s: a file or series failed; -v shows which and why", _name(path))
    log.debug("%s is %s: %s", _name(path), path, why)

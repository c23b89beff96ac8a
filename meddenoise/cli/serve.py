"""`meddenoise serve`: a DICOM node, or a folder that is watched."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from meddenoise.cli.options import Verbose, verbosity_of

if TYPE_CHECKING:
    from meddenoise.batch.node.settings import Settings

Rules = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RULES.toml]", help="The senders, the destinations, and the rules: which series and how."
    ),
]
WatchFolder = Annotated[
    Path | None,
    typer.Option("--watch", metavar="FOLDER", help="Denoise whatever arrives in a folder instead."),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the results of --watch.")
]


def register(app: typer.Typer) -> None:
    """Add the `serve` command to the program."""
    app.command()(serve)


def serve(
    rules: Rules = None,
    watch: WatchFolder = None,
    output: Output = None,
    verbose: Verbose = None,
) -> None:
    """Run a DICOM node: receive series, denoise them by rules, send the results on; until it is stopped.

    Example: meddenoise serve node.toml

    Example: meddenoise serve --watch incoming/ -o denoised/
    """
    from meddenoise.batch.node import require_extra
    from meddenoise.batch.node.log import start_log
    from meddenoise.batch.node.settings import Settings, read_settings

    _check(rules, watch, output)
    require_extra(*(("pynetdicom",) if watch is None else ("watchdog",)))
    settings = Settings() if rules is None else read_settings(rules)
    start_log(verbosity_of(verbose))
    with _stopped_by_signals() as (stop, number):
        if watch is not None and output is not None:
            _watch(watch, output, settings, stop)
        else:
            _serve(rules, settings, stop)
    if number == [signal.SIGINT]:
        raise KeyboardInterrupt


def _check(rules: Path | None, watch: Path | None, output: Path | None) -> None:
    from meddenoise.errors import UsageError

    if watch is None and rules is None:
        raise UsageError("no rules are given: give a TOML file, or --watch FOLDER -o FOLDER.")
    if (watch is None) != (output is None):
        raise UsageError("--watch and -o belong together: give the folder to watch and that of the results.")


def _serve(rules: Path | None, settings: "Settings", stop: threading.Event) -> None:
    from meddenoise.errors import UsageError

    if find_spec("fcntl") is None:
        raise UsageError("a node needs Linux or macOS: give --watch FOLDER -o FOLDER here.")
    if settings.node is None:
        raise UsageError(f"{rules} has no table [node]: add it, or give --watch FOLDER -o FOLDER.")
    if not settings.send:
        raise UsageError(f"{rules} has no [[send]]: add where the results go.")
    from meddenoise.batch.node.service import serve as serve_node

    serve_node(settings, stop)


def _watch(folder: Path, output: Path, settings: "Settings", stop: threading.Event) -> None:
    from meddenoise.batch.node.health import Health
    from meddenoise.batch.node.watch import FolderWatch

    watch = FolderWatch(folder, output, settings, stop)
    health = None
    if settings.health_port:
        health = Health(settings.health_port, lambda: (not stop.is_set(), {"status": "ok", **watch.count()}))
        health.start()
    try:
        watch.run()
    finally:
        if health is not None:
            health.stop()


@contextmanager
def _stopped_by_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """An event that signals to end set while the block runs, and which of them did."""
    stop, number = threading.Event(), list[int]()

    def ask(received: int, frame: FrameType | None) -> None:
        number[:] = [received]
        stop.set()

    asked = [signal.SIGTERM, signal.SIGINT]
    # of a terminal that is closed; ignored under nohup
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    before = {one: signal.signal(one, ask) for one in asked}
    try:
        yield stop, number
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

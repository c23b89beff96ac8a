"""The program: its commands, its errors as one sentence and an exit code, its signals."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer

from meddenoise.cli import (
    bench,
    denoise,
    eval,
    info,
    inpaint,
    methods,
    noise,
    phantom,
    serve,
    simulate,
    train,
    upscale,
    weights,
)
from meddenoise.cli.help import Group, register_panel
from meddenoise.cli.streams import drop_stdout, prepare, quieten_libraries, tell
from meddenoise.errors import MeddenoiseError, first_line
from meddenoise.version import __version__

INTERRUPTED = 130
BROKEN_PIPE = 141
COMPLETION = "_MEDDENOISE_COMPLETE"
"""Set by the script that `--install-completion` gives a shell."""


class Program(Group):
    """The group of all commands; what one raises ends in a sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises typer.Exit with the code of an error, or anything at all with --debug."""
        try:
            return super().invoke(ctx)
        except MeddenoiseError as error:
            if ctx.params.get("debug"):
                raise
            tell(f"meddenoise: {error}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            tell("meddenoise: interrupted; finished results are kept.")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            drop_stdout()  # nobody reads on: say nothing
            raise typer.Exit(BROKEN_PIPE) from error


app = typer.Typer(
    name="meddenoise",
    cls=Program,
    help="Denoise CT, MR, X-ray and fluoroscopy studies, in the same format, with the evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def run() -> None:
    """The entry point of the program."""
    signal.signal(signal.SIGTERM, _terminate)
    # a terminal that is closed; ignored under nohup
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _terminate)
    prepare()
    if COMPLETION in os.environ:
        # a shell takes every line for a proposal: descriptions must not be wrapped
        os.environ["COLUMNS"] = "1000"
    debug = "--debug" in sys.argv
    if not debug and not sys.warnoptions:
        quieten_libraries()
    try:
        app()
    # The last resort: a person gets a sentence whatever happens.
    except Exception as error:
        if debug:
            raise
        drop_stdout()
        tell(f"meddenoise: {_last_words(error)}")
        sys.exit(1)


def _last_words(error: Exception) -> str:
    if isinstance(error, OSError):
        where = error.filename or "what is printed"
        return (
            f"{where} cannot be read or written ({error.strerror or error}): check the place and its space."
        )
    if isinstance(error, MemoryError):
        return "memory ran out: close other programs, or give fewer or smaller images."
    what = f"{type(error).__name__}: {first_line(error)}"
    return f"stopped for an unknown reason ({what}): run again with --debug first and report it."


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave as from an interrupt: threads stop, locks are freed, nothing stays half-written."""
    sys.exit(128 + number)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meddenoise {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        import logging

        logging.basicConfig(level=logging.INFO)
        logging.getLogger("meddenoise").setLevel(logging.DEBUG)


_PANELS = {
    "Work on images": (denoise, upscale, inpaint, serve),
    "Look and judge": (info, eval, bench),
    "Methods and training": (train, methods, weights),
    "Make and measure noise": (phantom, simulate, noise),
}
for _title, _modules in _PANELS.items():
    register_panel(app, _title, _modules)

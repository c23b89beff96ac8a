"""The program: its commands, its errors as one sentence and an exit code, its signals."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from meddenoise import __version__
from meddenoise.cli import eval, info, methods, phantom, simulate, train, weights
from meddenoise.cli import run as denoise
from meddenoise.errors import MeddenoiseError

INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141


class Program(TyperGroup):
    """The group of all commands; what one raises ends in a sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises typer.Exit with the code of an error, or anything at all with --debug."""
        try:
            return super().invoke(ctx)
        except MeddenoiseError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"meddenoise: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo("meddenoise: interrupted; what was finished is kept.", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # Nobody reads on: say nothing, not even when the interpreter flushes stdout at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    app()


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave as from an interrupt: threads stop, locks are freed, nothing stays half-written."""
    sys.exit(TERMINATED)


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
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    if debug:
        import logging

        logging.basicConfig(level=logging.INFO)
        logging.getLogger("meddenoise").setLevel(logging.DEBUG)


for _commands in (denoise, eval, train, phantom, simulate, methods, weights, info):
    _commands.register(app)

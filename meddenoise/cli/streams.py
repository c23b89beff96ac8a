"""The three standard streams, which may be closed, full, without a reader or of a narrow encoding."""

import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import typer


def prepare() -> None:
    """Open closed streams on the null device and let stdout take any file name.

    A closed stream's number would go to the next file opened: to an image, into which libraries then write
    what they meant for stderr.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (stays open)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def quieten_libraries() -> None:
    """Show warnings of meddenoise as sentences and those of libraries not at all."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", category=UserWarning, module="meddenoise")
    warnings.showwarning = _show_warning


def tell(sentence: str) -> None:
    """Print on stderr, or nothing where that cannot be written."""
    with suppress(OSError):
        typer.echo(fitted(printable(sentence), sys.stderr), err=True)


def columns_of(stream: TextIO) -> int | None:
    """Columns of the terminal that `stream` goes to; None for a pipe or a file."""
    from rich.console import Console

    return Console(file=stream).width if stream.isatty() else None


def fitted(text: str, stream: TextIO, indent: str = "") -> str:
    """The text as it is for a pipe, with its long lines broken for a terminal, which would break words.

    What a line goes on with is indented by `indent`.
    """
    width = columns_of(stream)
    if width is None:
        return text
    return "\n".join(_break_between_words(line, width, indent) for line in text.split("\n"))


def printable(line: str) -> str:
    """The line with its control characters as escapes: names of files may hold any, and steer a terminal."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def drop_stdout() -> None:
    """Send what is still to be printed on stdout nowhere, the interpreter's last flush included."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _break_between_words(line: str, width: int, indent: str) -> str:
    """Rows of at most `width` columns; a longer word has one to itself, whole: paths can be copied."""
    from rich.cells import cell_len

    row, *words = line.split(" ")
    rows = [row]
    for word in words:
        if cell_len(f"{rows[-1]} {word}") <= width:
            rows[-1] += f" {word}"
        else:
            rows.append(f"{indent}{word}")
    return "\n".join(rows)


def _show_warning(message: Warning | str, *where: Any, **how: Any) -> None:
    tell(f"warning: {message}")

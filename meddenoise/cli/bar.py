"""A bar for what works through a known number of things, one after another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def show_bar(quiet: bool = False) -> Iterator[Callable[[str, float, float], None]]:
    """The function to tell what is next, how many things are done, and of how many.

    The bar shows on a terminal only, and is gone when all is done.
    """
    console = Console(stderr=True)
    is_hidden = quiet or not console.is_terminal or console.is_dumb_terminal
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=is_hidden, transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)

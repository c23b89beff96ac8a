"""Tables for people, as text: nothing is cut off, long cells go on in the next line."""

from collections.abc import Iterable, Sequence

WIDTH = 80
"""Columns of a terminal that everyone has."""


def name_codes(codes: Sequence[str]) -> str:
    """The codes of modalities in a cell: `all` for those that take every image."""
    return "all" if "other" in codes else " ".join(codes)


def name_series(path: str, description: str, label: str) -> str:
    """A series as lines tell of it: a folder may hold several, whose descriptions may be the same."""
    return ", ".join(filter(None, (path, description, label)))


def format_number(value: float | None, metric: str = "", *, digits: int = 4, sign: str = "") -> str:
    """The value with the decimals of its metric, else with so many digits; a dash for none.

    `sign` "+" shows that of positive numbers too. Thousands are written out: 1090, not 1.09e+03.
    """
    from meddenoise.metrics import DECIMALS

    if value is None:
        return "-"
    if metric in DECIMALS:
        return f"{value:{sign}.{DECIMALS[metric]}f}"
    return f"{float(f'{value:.{digits}g}'):{sign}.10g}"


def render_table(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int = WIDTH) -> str:
    """The table as lines of at most `width` columns."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console = Console(width=width, markup=False, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"

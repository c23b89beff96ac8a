"""Numbers and tables as HTML."""

from collections.abc import Sequence
from html import escape

from meddenoise.metrics import DECIMALS


def number(value: float | None, digits: int = 4, *, metric: str = "") -> str:
    """The value with the decimals of its metric, else with so many digits; a dash for what has no value.

    Thousands are written out: 1090, not 1.09e+03.
    """
    if value is None:
        return "–"
    short = f"{float(f'{value:.{digits}g}'):.10g}"
    text = f"{value:.{DECIMALS[metric]}f}" if metric in DECIMALS else short
    return text.replace("-", "−").replace("inf", "∞")


def with_unit(value: float | None, unit: str, digits: int = 4, *, metric: str = "") -> str:
    """A number and its unit, with a thin space that does not break."""
    return number(value, digits, metric=metric) + (f"\u202f{unit}" if unit and value is not None else "")


def table(kind: str, caption: str, heads: str, rows: Sequence[str]) -> str:
    """A table of class `kind`, which scrolls where it is too wide; `heads` and `rows` are HTML."""
    return (
        f'<div class="scroll"><table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )

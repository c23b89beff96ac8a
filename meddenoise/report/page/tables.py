"""Numbers and tables as HTML."""

from collections.abc import Sequence
from html import escape


def number(value: float | None, digits: int = 4) -> str:
    """Four digits, a dash for what has no value."""
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−").replace("inf", "∞")


def with_unit(value: float | None, unit: str, digits: int = 4) -> str:
    """A number and its unit, with a thin space that does not break."""
    return number(value, digits) + (f"\u202f{unit}" if unit and value is not None else "")


def table(kind: str, caption: str, heads: str, rows: Sequence[str]) -> str:
    """A table of class `kind`, which scrolls where it is too wide; `heads` and `rows` are HTML."""
    return (
        f'<div class="scroll"><table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )

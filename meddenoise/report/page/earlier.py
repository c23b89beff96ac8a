"""The drawings of an earlier run, found again in the page it wrote."""

import re
from html import escape
from pathlib import Path

from meddenoise.report.page import Drawing

FORM = 1
"""Of the data in a drawing: those of another form are not taken over."""


def mark(key: str, drawing: Drawing) -> str:
    """A drawing as it goes into a page, with comments around it that `read_drawings` looks for.

    Nothing in a drawing can end a comment: all text in it is escaped.
    """
    return f"<!--drawing {FORM} {_name(key)}-->{drawing.body}<!--end-->"


def read_drawings(path: Path, keys: set[str]) -> dict[str, Drawing]:
    """The drawings in the page at `path` by those keys, without who is on them; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    found = {
        match.group(1): match.group(2)
        for match in re.finditer(rf"<!--drawing {FORM} (\S+?)-->(.*?)<!--end-->", text, re.DOTALL)
    }
    return {key: Drawing(found[_name(key)]) for key in sorted(keys) if _name(key) in found}


def _name(key: str) -> str:
    return escape(re.sub(r"[^\w.]", "_", key))

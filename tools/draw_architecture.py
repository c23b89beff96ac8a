"""The picture of the house for docs/architecture.md, drawn from the imports.

    python tools/draw_architecture.py

Writes docs/architecture.svg: one line a room, in the order of the import law, and an arc for each room that
another one imports; a test says when it was forgotten.
"""

import ast
import sys
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

from tests.test_house import FILES, PACKAGE, ROOMS, imports, name_of, part

PICTURE = PACKAGE.parent / "docs" / "architecture.svg"
STEPS = {
    "cli": "1",
    "batch": "2",
    "io": "3, 10",
    "pipeline": "4, 7, 9",
    "noise": "5",
    "methods": "6",
    "normalize": "6",
    "engine": "5, 7, 8",
    "series": "8",
    "trust": "9",
    "report": "11",
}
"""Room -> the steps of docs/architecture.md that an image takes there."""
WIDTH, ROW_HEIGHT, TOP, SPINE = 1090, 34, 64, 250
"""In pixels; the names of the rooms begin right of the spine, the arcs bulge left of it."""
INK, PALE, STATION, SHELF, STEP = "#1f2933", "#7b8794", "#2b6cb0", "#2f855a", "#c05621"


def find_imports() -> set[tuple[str, str]]:
    """All (importing room, imported room)."""
    pairs = {(part(name_of(file)), part(module)) for file in FILES for module in imports(file)}
    return {(here, there) for here, there in pairs if here in ROOMS and there != here}


def describe(room: str) -> tuple[bool, str]:
    """True if a room is a shelf, and a line on what it is."""
    path = PACKAGE / f"{room}.py"
    home = path if path.exists() else PACKAGE / room / "__init__.py"
    text = (ast.get_docstring(ast.parse(home.read_text(encoding="utf-8"))) or "").splitlines()[0]
    what = text.removeprefix("SHELF of ").rstrip(".").replace("`", "")
    return text.startswith("SHELF of "), what[0].upper() + what[1:]


def draw() -> str:
    """The picture as SVG."""
    order = ROOMS[::-1]
    height = {room: TOP + ROW_HEIGHT * place for place, room in enumerate(order)}
    arcs = [_arc(height[here], height[there]) for here, there in sorted(find_imports())]
    rows = [_row(room, height[room]) for room in order]
    whole = TOP + ROW_HEIGHT * len(order)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" '
            'font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{whole}" fill="white"/>',
            f'<text x="20" y="26" font-size="13" fill="{PALE}">'
            f'<tspan fill="{STATION}">station</tspan>, <tspan fill="{SHELF}">shelf of siblings</tspan>, '
            f'<tspan fill="{STEP}">steps of one image</tspan>; an arc leads from a room to one it imports, '
            "always downwards</text>",
            *arcs,
            *rows,
            "</svg>\n",
        )
    )


def _arc(start: int, stop: int) -> str:
    reach = 24 + (stop - start) * 0.42
    path = f"M {SPINE} {start} C {SPINE - reach:.0f} {start}, {SPINE - reach:.0f} {stop}, {SPINE} {stop}"
    return f'<path d="{path}" fill="none" stroke="{PALE}" stroke-opacity="0.5" stroke-width="1.1"/>'


def _row(room: str, y: int) -> str:
    is_shelf, what = describe(room)
    colour = SHELF if is_shelf else STATION
    steps = STEPS.get(room, "")
    return (
        f'<circle cx="{SPINE}" cy="{y}" r="5" fill="{colour}"/>'
        f'<text x="{SPINE + 14}" y="{y + 5}" font-size="15" font-weight="bold" fill="{colour}">{room}</text>'
        f'<text x="{SPINE + 136}" y="{y + 5}" font-size="13" font-weight="bold" fill="{STEP}" '
        f'text-anchor="middle">{steps}</text>'
        f'<text x="{SPINE + 168}" y="{y + 5}" font-size="12" fill="{INK}">{escape(what)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")

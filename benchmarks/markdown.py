"""Documents in Markdown: tables, pages, and text between two comments of a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: bool = False) -> str:
    """A table of the columns `head`; `right` aligns all but the first to the right."""
    lines = [head, *rows]
    rule = "|---" + ("|--:" if right else "|---") * (len(head) - 1) + "|"
    body = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([body[0], rule, *body[1:]])


def page(parts: Iterable[str]) -> str:
    """The parts that are not empty, a blank line between them."""
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def replace_between(path: Path, comments: tuple[str, str], text: str) -> None:
    """Put `text` between the two comments of a file. Raises ValueError if it does not have them."""
    begin, end = comments
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{path} does not have {begin} and {end}")
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")

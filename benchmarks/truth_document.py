"""docs/truth.md from what the truth benchmark measured.

python benchmarks/truth.py DATA --json truth.json
python benchmarks/truth_document.py docs/truth.md truth.json
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

from typing import Any

from benchmarks.markdown import page, table
from benchmarks.script import Document, write_document
from benchmarks.truth_table import CAPTION, TITLES, lines, methods_of
from benchmarks.truth_targets import targets_of

Row = dict[str, Any]

HEAD = """# Closer to the truth

Written by `benchmarks/truth_document.py` from what `benchmarks/truth.py` measured. No reference has noise in
it: phantoms are exact (seeds from 9000 on, never trained on); a repeated scan is judged by the other
acquisition, a frame of a still scene by other frames; photographs have next to no noise, and medical images
serve only where their own noise is below 2 % of the noise power.
`nlm` and `bm3d` are given the true level, `bm3d+model` its map, spectrum and dependence on signal as well;
`nlm auto` and the learned methods estimate the noise themselves.
"""


def compose(documents: list[Document]) -> str:
    """The page: a table for each group of trials and one of the targets."""
    rows: list[Row] = [row for document in documents for row in document["rows"]]
    methods = methods_of(rows)
    parts = [HEAD, CAPTION]
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        title = TITLES[group]
        head = ["", "n", "noisy", *methods]
        parts += [f"## {title[0].upper()}{title[1:]}", table(head, lines(mine, methods), right=True)]
    targets = targets_of(rows)
    if targets:
        names = list(dict.fromkeys(name for _, _, reached in targets for name in reached))
        cells = [
            [text, wanted, *(reached.get(name, "").replace("*", "\\*") for name in names)]
            for text, wanted, reached in targets
        ]
        parts += ["## Targets", "An asterisk marks what is not met."]
        parts.append(table(["", "wanted", *names], cells, right=True))
    images = documents[0]["settings"]["images"]
    groups = ", ".join(dict.fromkeys(row["group"] for row in rows))
    parts.append(f"Pictures of each kind: {images}; groups: {groups}.")
    return page(parts)


if __name__ == "__main__":
    write_document("docs/truth.md from measured JSON.", compose)

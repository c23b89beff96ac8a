"""The table of README.md from what the truth benchmark measured.

    python benchmarks/truth.py DATA --json truth.json
    python benchmarks/truth_readme.py truth.json [MORE.json]

It replaces what stands between the two markers in README.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
from typing import Any

from benchmarks.markdown import replace_between
from benchmarks.markdown import table as markdown_table
from benchmarks.script import run
from benchmarks.truth_table import cells, methods_of

Row = dict[str, Any]

README = Path(__file__).parent.parent / "README.md"
COMMENTS = "<!-- from benchmarks/truth_readme.py -->", "<!-- end -->"
PLACES = {
    "phantoms": "phantom, exact truth",
    "medical": "clinical images, noise added",
    "repeats": "real scan repeated",
    "cines": "real cine of a still scene",
    "natural": "photographs, noise added",
    "volumes": "contiguous slices, noise added",
    "coarse": "phantom, coarse noise",
}
NAMES = {"CT": "CT", "MR": "MR", "DX": "X-ray", "XA": "fluoroscopy", "photo": ""}


def main() -> int:
    """Write the table into README.md."""
    parser = argparse.ArgumentParser(description="README's table from measured JSON.")
    parser.add_argument("measured", type=Path, nargs="+")
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.measured]
    rows = [row for document in documents for row in document["rows"]]
    replace_between(README, COMMENTS, table(rows))
    return 0


def table(rows: list[Row]) -> str:
    """Mean gain in dB of every method by group and modality, as Markdown."""
    methods = methods_of(rows)
    lines = []
    for group, title in PLACES.items():
        for modality in dict.fromkeys(row["modality"] for row in rows if row["group"] == group):
            mine = [row for row in rows if row["group"] == group and row["modality"] == modality]
            if any(row.get("gain_db") is not None for row in mine):
                name = f"{title}, {NAMES.get(modality, modality)}".rstrip(", ")
                lines.append([name, *cells(mine, methods)])
    return markdown_table(["", "n", "noisy, dB", *methods], lines, right=True)


if __name__ == "__main__":
    run(main)

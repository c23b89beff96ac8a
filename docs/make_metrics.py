"""The tables of metrics.md, from the program itself.

    python docs/make_metrics.py

Writes between the marks of docs/metrics.md; a test says when that was forgotten.
"""

from pathlib import Path

from meddenoise.metrics import METRICS, Metric
from meddenoise.report.page.meanings import meaning_of

DOCUMENT = Path(__file__).with_name("metrics.md")
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"
NEEDS = {
    "reference": "Against a reference (`--ref`)",
    "noisy": "Against the noisy image (`--noisy`)",
    "result": "Of the result only",
    "method": "Of the method, by `denoise` with self-supervised methods",
}
UNITS = {"image": "that of the image", "image2": "its square", "frequency": "1/mm, or 1/pixel"}
REGIONS = {"roi": "`--roi`", "rois": "`--roi` twice", "edge": "`--edge`"}


def main() -> None:
    """Write the tables."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{tables()}{END}{after}", encoding="utf-8")


def tables() -> str:
    """A table for each kind of image that a metric needs."""
    parts = []
    for needs, title in NEEDS.items():
        rows = [_row(name, row) for name, row in METRICS.items() if row.needs == needs]
        head = "| name | unit | best | what it is | how to read it |\n|---|---|---|---|---|\n"
        parts.append(f"### {title}\n\n{head}{''.join(rows)}\n")
    return "\n" + "".join(parts)


def _row(name: str, row: Metric) -> str:
    what = row.what
    if row.region:
        what += f"; needs {REGIONS[row.region]}"
    if row.optional:
        what += "; only where `--metrics` names it"
    return f"| `{name}` | {UNITS.get(row.unit, row.unit)} | {row.best} | {what} | {meaning_of(name)} |\n"


if __name__ == "__main__":
    main()

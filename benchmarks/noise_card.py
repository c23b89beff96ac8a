"""Manifest scores and model card of a noise estimator, from what `noise_estimate.py` measured."""

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.markdown import table
from benchmarks.pictures import ALIKE

Row = dict[str, Any]
LEAST_SHARE = 0.01
METHODS = ("wavelet", "classical", "learned", "ruling")
TEXT = (
    "Every level from noise of 1 % of the range up: median error of sigma, worst error, share of images "
    "within 25 %; below that the largest ratio to the truth; share of images whose four bands are all "
    "within 20 % of the total; white noise recognised; Rician noise recognised or ruled out. `wavelet` "
    "is the MAD of the finest diagonal band, `classical` the block statistics, `learned` this network, "
    "`ruling` what the program makes of the last two. Written by `tools/publish.py` from what "
    "`benchmarks/noise_estimate.py` measured. The score in the manifest is 100 less the median error in "
    "percent of the network by itself."
)


def estimator_scores(rows: Sequence[Row], modalities: Sequence[str]) -> dict[str, float]:
    """100 less the median error of the learned level in percent, by modality."""
    scores = {}
    for code in modalities:
        mine = [
            abs(row["ratio"] - 1)
            for row in rows
            if row["method"] == "learned"
            and row["share"] >= LEAST_SHARE
            and row["modality"] == ALIKE.get(code, code)
        ]
        scores[f"validation-{code.lower()}"] = round(100 - 100 * median(mine), 2)
    return scores


HEAD = "", "method", "n", "median", "worst", "within 25 %", "n < 1 %", "largest", "bands", "white", "Rician"


def estimator_table(rows: Sequence[Row]) -> str:
    """One line a group and method."""
    return "\n".join(
        [
            "`python benchmarks/noise_estimate.py DATA --json FILE`",
            "",
            table(HEAD, _lines(rows)),
        ]
    )


def _lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    for group in [*dict.fromkeys(row["group"] for row in rows), "all"]:
        for method in METHODS:
            mine = [row for row in rows if row["method"] == method and group in (row["group"], "all")]
            if not mine:
                continue
            strong = [abs(row["ratio"] - 1) for row in mine if row["share"] >= LEAST_SHARE]
            weak = [row["ratio"] for row in mine if row["share"] < LEAST_SHARE]
            cells = [group, method, str(len(strong))]
            if strong:
                share = fmean(off <= 0.25 for off in strong)
                cells += [f"{median(strong):.1%}", f"{max(strong):.0%}", f"{share:.0%}"]
            else:
                cells += ["-"] * 3
            cells += [str(len(weak)), f"{max(weak):.2f}"] if weak else ["0", "-"]
            for name in ("band", "white", "rician"):
                known = [row[name] for row in mine if row[name] is not None and row["share"] >= LEAST_SHARE]
                good = [value <= 0.2 for value in known] if name == "band" else known
                cells.append(f"{fmean(good):.0%}" if good else "-")
            yield cells

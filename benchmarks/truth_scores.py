"""Scores of a denoising checkpoint for the manifest and the model card, from the rows of `truth.py`."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from benchmarks.markdown import table
from benchmarks.peers import GIVEN_PEERS
from benchmarks.pictures import ALIKE
from benchmarks.truth_table import CAPTION, TITLES, lines

Row = dict[str, Any]

JUDGING = ("phantoms", "medical", "repeats", "cines", "harm")
"""Groups whose mean gains `--method auto` compares, each as much as the others."""


def truth_scores(rows: Sequence[Row], method: str, modalities: Sequence[str]) -> dict[str, float]:
    """By modality the mean gain over the noisy image, dB, mean over the groups; and what is above the peers.

    Raises SystemExit where a modality was not measured.
    """
    scores = {}
    for code in modalities:
        gain = _mean_of_groups(rows, method, ALIKE.get(code, code))
        if gain is None:
            raise SystemExit(f"{method} was not measured on {code}: run truth.py with all groups.")
        scores[f"validation-{code.lower()}"] = gain
    for code in dict.fromkeys(ALIKE.get(code, code) for code in modalities):
        for peer in GIVEN_PEERS[:2]:
            above = _above(rows, method, peer, code)
            if above is not None:
                scores[f"over-{peer}-{code.lower()}"] = above
    return scores


def truth_table_of(document: dict[str, Any], method: str, name: str) -> str:
    """One Markdown table a group: the column `method`, called `name`, and its peers."""
    columns = [method, *GIVEN_PEERS]
    parts = [
        f"`python benchmarks/truth.py DATA --images {document['settings']['images']}`: {CAPTION} The peers "
        "are given the true level, `bm3d+model` the whole noise model; the network estimates its own."
    ]
    rows = [row for row in document["rows"] if row.get("method") in columns]
    judged = {(row["group"], row["modality"]) for row in rows if row["method"] == method}
    rows = [row for row in rows if (row["group"], row["modality"]) in judged]
    for group, title in TITLES.items():
        mine = [row for row in rows if row["group"] == group]
        if not mine:
            continue
        parts += [f"### {title[0].upper()}{title[1:]}"]
        parts.append(table(["", "n", "noisy", name, *GIVEN_PEERS], lines(mine, columns)))
    return "\n\n".join(parts)


def _mean_of_groups(rows: Sequence[Row], method: str, modality: str) -> float | None:
    mine = [row for row in rows if row["modality"] == modality]
    means = [_mean([row for row in mine if row["group"] == group], method) for group in JUDGING]
    known = [mean for mean in means if mean is not None]
    return round(fmean(known), 3) if known else None


def _above(rows: Sequence[Row], method: str, peer: str, modality: str) -> float | None:
    """Mean gain above a peer on phantoms and medical images."""
    mine = [row for row in rows if row["modality"] == modality and row["group"] in ("phantoms", "medical")]
    own, theirs = _mean(mine, method), _mean(mine, peer)
    return None if own is None or theirs is None else round(own - theirs, 3)


def _mean(rows: Sequence[Row], method: str) -> float | None:
    gains = [row["gain_db"] for row in rows if row.get("method") == method]
    known = [gain for gain in gains if gain is not None]
    return fmean(known) if known else None

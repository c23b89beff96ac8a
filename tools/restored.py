"""Scores of a restoring checkpoint for the manifest and the model card, from the rows of `medcdiff.py`."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from benchmarks.markdown import table
from benchmarks.pictures import ALIKE
from papers.medcdiff.medcdiff_document import INPUTS

Document = dict[str, Any]
BEST_OF = {"medcdiff-upscale": "bicubic", "medcdiff-inpaint": "biharmonic"}
"""The classical method whose PSNR is taken off in the manifest."""


def restored_scores(document: Document, modalities: Sequence[str]) -> dict[str, float]:
    """Mean PSNR of the one pass over all settings, and what it is above the classical method, by modality."""
    task = document["task"]
    scores = {}
    for code in modalities:
        scores[f"validation-{code.lower()}"] = round(_mean(document, task, ALIKE.get(code, code)), 3)
    for code in dict.fromkeys(ALIKE.get(code, code) for code in modalities):
        gain = _mean(document, task, code) - _mean(document, BEST_OF[task], code)
        scores[f"over-{BEST_OF[task]}-{code.lower()}"] = round(gain, 3)
    return scores


def restored_table(document: Document) -> str:
    """PSNR and SSIM of every method, by setting and modality."""
    task, settings = document["task"], document["settings"]
    names = [
        name for name in dict.fromkeys(row["method"] for row in document["rows"]) if name != INPUTS[task]
    ]
    names = [INPUTS[task], *names]
    return "\n".join(
        [
            f"`python papers/medcdiff/medcdiff.py DATA --task {task} --weights {task} --keep PEERS --json "
            f"FILE --images {settings['images']} --side {settings['side']} --minutes {settings['minutes']}`",
            "",
            table(["", "n", *names], _lines(document, names)),
        ]
    )


def _lines(document: Document, names: list[str]) -> Iterator[list[object]]:
    for code, setting in dict.fromkeys((row["modality"], row["setting"]) for row in document["rows"]):
        here = [row for row in document["rows"] if (row["modality"], row["setting"]) == (code, setting)]
        mine = [[row for row in here if row["method"] == name] for name in names]
        cells = [
            f"{fmean(r['psnr'] for r in rows):.2f} / {fmean(r['ssim'] for r in rows):.3f}" for rows in mine
        ]
        yield [f"{code}, {setting}", len({row["picture"] for row in here}), *cells]


def _mean(document: Document, method: str, modality: str) -> float:
    return fmean(
        row["psnr"]
        for row in document["rows"]
        if row["method"] == method and row["modality"] == modality and row["psnr"] is not None
    )

"""Document of the measurements of `samplers.py`: which fast sampler keeps the mean of the full one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.markdown import page, table

PSNR_LIMIT, SSIM_LIMIT, NFE_LIMIT = 0.05, 0.001, 15
"""Limits of a fast sampler: loss in dB and of SSIM, and evaluations."""
FULL = "full"
"""The name of the row that the others are held against."""
HEAD = "sampler", "evaluations", "mean, dB", "difference", "once, dB", "SSIM", "difference", "ms an image"
ABOUT = """\
# Fast samplers against the full one

Written by `python papers/vpsde/samplers.py DATA --weights CHECKPOINT...`. The full sampler is ancestral, over
as many levels of the schedule as its row says. "mean" is the PSNR of the mean of the sampler's distribution,
free of the spread of the runs it was measured with; "once" that of the mean of one symmetric pair of runs, or
of one run where runs start at the noisy image. SSIM is that of the mean of all runs measured. Evaluations are
those of one run, a pair takes twice as many; the time is that of a pair, or of a run, on one CPU core.
Differences are from the full sampler, image by image, with the standard error of their mean."""


def compose(document: dict[str, Any]) -> str:
    """The page of the checkpoints there are."""
    parts = [ABOUT]
    for method, found in document.items():
        count, _, height, width = found["images"]
        weights = found["weights"]
        parts += [
            f"## {method}",
            f"`{weights['name']}`, SHA-256 `{weights['sha256'][:12]}`; {count} images of {height} x {width}, "
            f"{found['runs']} runs of each sampler.",
            table(HEAD, _lines(found["rows"])),
            _verdict(found["rows"]),
        ]
    return page(parts)


def passing(rows: dict[str, Any]) -> list[str]:
    """The fast samplers within the limits of PSNR and evaluations, those of the fewest evaluations first."""
    kept = [
        name
        for name, row in rows.items()
        if name != FULL
        and row["nfe"] <= NFE_LIMIT
        and abs(_difference(row, rows[FULL], "psnr").mean()) <= PSNR_LIMIT
    ]
    return sorted(kept, key=lambda name: rows[name]["nfe"])


def _lines(rows: dict[str, Any]) -> Iterator[list[str]]:
    for name, row in rows.items():
        title = f"full ({row['sampler']})" if name == FULL else row["sampler"]
        cells = [title, str(row["nfe"]), f"{np.mean(row['psnr']):.2f}", "-", f"{np.mean(row['one']):.2f}"]
        cells += [f"{np.mean(row['ssim']):.4f}", "-", f"{row['ms']:.0f}"]
        if name != FULL:
            for place, key, form in ((3, "psnr", "+.3f"), (6, "ssim", "+.4f")):
                change = _difference(row, rows[FULL], key)
                error = change.std() / np.sqrt(max(len(change) - 1, 1))
                cells[place] = f"{change.mean():{form}} ± {error:{form[1:]}}"
        yield cells


def _verdict(rows: dict[str, Any]) -> str:
    limits = f"within {PSNR_LIMIT} dB of the full sampler's mean at {NFE_LIMIT} evaluations or fewer"
    found = passing(rows)
    if not found:
        return f"**No fast sampler is {limits}.**"
    alike = [name for name in found if abs(_difference(rows[name], rows[FULL], "ssim").mean()) <= SSIM_LIMIT]
    also = f"of these within {SSIM_LIMIT} of its SSIM too: {', '.join(alike) or 'none'}"
    return f"Samplers {limits}: {', '.join(found)}; {also}."


def _difference(row: dict[str, Any], full: dict[str, Any], key: str) -> NDArray[np.float64]:
    return np.array(row[key], np.float64) - np.array(full[key], np.float64)

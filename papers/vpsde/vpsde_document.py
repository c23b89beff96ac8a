"""Document of the measurements of `vpsde.py`: every number from the values of single patches."""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from benchmarks.intervals import Interval, mean_interval
from benchmarks.markdown import page, table

PSNR_GAIN, SSIM_GAIN = 5.0, 0.15
"""Wanted over the noisy patch in one evaluation: twice what the slides' sampler gains, and more."""
CALIBRATED = (0.90, 0.98)
"""Wanted share of pixels whose error lies within two stated standard deviations."""
SLIDES = {"noisy": (17.21, 0.5372), "their sampler": (19.66, 0.5364)}
"""PSNR and SSIM on 16 patches of OrganAMNIST, as the slides report them."""
HEAD = "method", "patches", "evaluations", "PSNR, dB", "SSIM", "PSNR gained", "SSIM gained", "ms a patch"
TITLES = {"noisy": "noisy", "vpsde": "vpsde, one evaluation", "nlm": "NLM", "bm3d": "BM3D"}


class VpsdeRow(TypedDict):
    """Values of single patches `chosen`; `ms` a patch; `within` None where no uncertainty is stated."""

    chosen: list[int]
    psnr: list[float]
    ssim: list[float]
    nfe: int
    ms: float
    within: list[float] | None


class Document(TypedDict):
    """All numbers; `patients` of all patches, `rows` by name."""

    weights: dict[str, str]
    folders: list[str]
    patients: list[str]
    rows: dict[str, VpsdeRow]


def compose(document: Document) -> str:
    """The page of the rows there are."""
    rows, patients = document["rows"], document["patients"]
    parts = [
        "# VP-SDE denoiser: the slides' protocol",
        f"Written by `python papers/vpsde/vpsde.py DATA --weights {document['weights']['name']}` (SHA-256 "
        f"`{document['weights']['sha256'][:12]}`), on {len(patients)} validation patches of "
        f"{len(set(patients))} patients: 28 x 28 pixels of CT, -160..240 HU as [-1, 1], white noise of 0.3. "
        "Methods get the unclipped noisy patch and its level; all images are clipped to [-1, 1] and measured "
        "with a range of 2. Means over patches; in brackets the 95 % bootstrap interval by patient.",
        table(HEAD, _lines(rows, patients)),
        "## Against what was wanted",
        "\n".join(_verdicts(rows, patients)),
        "## Uncertainty",
        "The share of pixels whose error lies within two of the stated standard deviations; wanted are "
        f"{CALIBRATED[0]:.0%} to {CALIBRATED[1]:.0%}.",
        "\n".join(_calibration(rows, patients)),
    ]
    return page(parts)


def compare(
    rows: dict[str, VpsdeRow], name: str, other: str, metric: str, patients: list[str]
) -> Interval | None:
    """The mean of `name` minus `other` over the patches both ran on; None where there are none."""
    if name not in rows or other not in rows:
        return None
    mine, theirs = (_by_patch(rows[which], metric) for which in (name, other))
    shared = sorted(mine.keys() & theirs.keys())
    differences = [mine[n] - theirs[n] for n in shared]
    return mean_interval(differences, [patients[n] for n in shared]) if shared else None


def _lines(rows: dict[str, VpsdeRow], patients: list[str]) -> Iterator[list[object]]:
    for name, row in rows.items():
        owners = [patients[n] for n in row["chosen"]]
        cells = [
            mean_interval(row["psnr"], owners).text(".2f"),
            mean_interval(row["ssim"], owners).text(".4f"),
        ]
        for metric, form in (("psnr", "+.2f"), ("ssim", "+.4f")):
            gain = None if name == "noisy" else compare(rows, name, "noisy", metric, patients)
            cells.append("-" if gain is None else gain.text(form))
        evaluations = row["nfe"] or "-"
        yield [_title(name), len(owners), evaluations, *cells, f"{row['ms']:.1f}"]
    (before, before_ssim), (after, after_ssim) = SLIDES.values()
    gains = [f"{after - before:+.2f}", f"{after_ssim - before_ssim:+.4f}"]
    first, last = "*the slides, noisy: other images*", "*the slides, result: other images*"
    yield [first, 16, "-", f"{before:.2f}", f"{before_ssim:.4f}", "-", "-", "-"]
    yield [last, 16, 1000, f"{after:.2f}", f"{after_ssim:.4f}", *gains, "-"]


def _verdicts(rows: dict[str, VpsdeRow], patients: list[str]) -> Iterator[str]:
    wanted = [("noisy", "psnr", PSNR_GAIN), ("noisy", "ssim", SSIM_GAIN)]
    wanted += [(peer, metric, 0.0) for peer in ("nlm", "bm3d") for metric in ("psnr", "ssim")]
    for other, metric, least in wanted:
        gain = compare(rows, "vpsde", other, metric, patients)
        if gain is None:
            yield f"* {metric.upper()} over {_title(other)}: not measured."
            continue
        text = f"{gain.text('+.2f')} dB" if metric == "psnr" else f"{gain.text('+.4f')} of SSIM"
        verdict = "met" if gain.mean > least else "**not met**"
        verdict += "" if gain.low > least or gain.mean <= least else ", but not by the whole interval"
        yield f"* One evaluation over {_title(other)}: {text}, wanted above {least:g}: {verdict}."
    for other in rows:
        if other.startswith("vpsde,") or other == "vpsde-slides":
            gain = compare(rows, "vpsde", other, "psnr", patients)
            if gain is not None:
                yield f"* One evaluation over {other}, on its patches: {gain.text('+.2f')} dB."


def _calibration(rows: dict[str, VpsdeRow], patients: list[str]) -> Iterator[str]:
    low, high = CALIBRATED
    for name, row in rows.items():
        if row["within"] is None:
            continue
        share = mean_interval(row["within"], [patients[n] for n in row["chosen"]])
        verdict = "met" if low <= share.mean <= high else "**not met**"
        worst = float(np.percentile(row["within"], 5))
        yield (
            f"* {name}, {len(row['chosen'])} patches: {share.text('.1%')}, {verdict}; in a twentieth of the "
            f"patches below {worst:.1%}."
        )


def _by_patch(row: VpsdeRow, metric: str) -> dict[int, float]:
    values = row["psnr"] if metric == "psnr" else row["ssim"]
    return dict(zip(row["chosen"], values, strict=True))


def _title(name: str) -> str:
    return TITLES.get(name, name)

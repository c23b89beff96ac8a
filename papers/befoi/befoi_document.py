"""Join what `befoi.py` and `noise_realism.py` measured into one document, beside the numbers of the paper.

python papers/befoi/befoi_document.py docs/befoi.md JSON...

Runs may hold other methods or parts of the same scenes; where a number stands in several of them, the last
counts.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

from benchmarks.intervals import mean_interval
from benchmarks.markdown import page, table
from benchmarks.script import Document, write_document
from papers.befoi.befoi_verdicts import FULL, MAIN, gain_over, judge

Row = dict[str, Any]

PAPER = {
    "BM3D": (27.7346, 0.41, 36.4513, 0.9246),
    "NLM": (30.7884, 0.37, 35.7825, 0.9329),
    "Noise2Self": (33.0014, 0.31, 36.3523, 0.9421),
    "GCBD": (34.0925, 0.36, 36.6117, 0.9511),
    "BeFOI": (34.2575, 0.30, 36.7802, 0.9573),
}
"""SNR, REBLUR, PSNR, SSIM. Source: Hu, Huang 2024, Table 1."""
PAPER_ABLATION = {
    "full": (36.7802, 0.9573),
    "without NSM": (36.2901, 0.9252),
    "without NM": (35.3531, 0.8965),
}
"""PSNR, SSIM. Source: the same, Table 2."""
PUBLISHED = {
    "bm3d": "BM3D",
    "bm3d+model": "BM3D",
    "nlm": "NLM",
    "noise2self": "Noise2Self",
    "gcbd-bootstrap": "GCBD",
    "gcbd-wgan": "GCBD",
    "gcbd-unet": "GCBD",
    MAIN: "BeFOI",
}
"""The row of the paper beside each of ours."""
TITLES = {
    "gain-2": "Simulated, 2 grey levels a quantum",
    "gain-2-lag": "Simulated, 2 grey levels a quantum, recursive filter in the machine",
    "gain-6": "Simulated, 6 grey levels a quantum (a third of the dose)",
    "gain-6-lag": "Simulated, 6 grey levels a quantum, recursive filter in the machine",
    "real": "Real repeats",
    "phantom": "Phantom in motion",
}
ABOUT = """\
# BeFOI on fluoroscopy: the paper, ours, and peers

Written by `python papers/befoi/befoi_document.py` from what `papers/befoi/befoi.py` and
`papers/befoi/noise_realism.py` measured. **The columns "paper" are of other images** (CoroArt, not public,
noise not stated): they rank the paper's methods among themselves, and are not to be held against ours.

SNR is mean over standard deviation in the flattest 48 x 48 pixels of the clean frame; it rewards
flattening, so read it with REBLUR (0 sharp, 1 blurred; noise lowers it too: best is that of the clean
frame, and a result that is still noisy seems sharp). PSNR is in dB over 255. The last column is the gain
in PSNR of `befoi`, which estimates the noise by itself, over the method, frame by frame, with its 95 %
bootstrap interval over images. Times are of one thread of a busy machine.

* `told`: given the true level, dependence on signal and spectrum; all other rows of ours estimate it. NLM and
  BM3D are given the true level, `bm3d+model` spectrum and dependence too.
* `noise2self` was trained on the noisy frames that are scored, and on others with such noise; `gcbd-*` on
  clean training frames with noise from frames that are not scored: `bootstrap` the blocks as they are,
  `wgan` made by a network, both with DnCNN-17; `unet` is bootstrap with the U-Net of our student.
  `j-invariant` is total variation tuned without truth. `direct` is our network for single frames.
* `average`: of three frames. `recursive`: half the frame, half of what came before. `befoi alone`: the frame
  without its neighbours.
* The motion of the simulated sequences is of the kind that `befoi` was trained on, on other images; that of
  the phantom is not.
* The rows of the sampler (`befoi diffusion`, `befoi-mixing`, `befoi-faithful`) in runs up to 2026-11-21
  began at nothing but noise; it begins at the matched time now, see the end."""
CHAIN = """\
## On your own fluoroscopy

    meddenoise noise fluoro.dcm -o p.toml
    meddenoise train --method befoi --noise-profile p.toml --data cines/ -o run/
    meddenoise denoise fluoro.dcm --weights run/checkpoint.safetensors --noise-profile p.toml

1. *Noise state* (`noise`): gain and offset, spectrum, the lag of the machine's recursive filter and the
   level of every frame, with the diffusion step t* that has as much noise.
2. *Noise module* (`train`): every training step draws a patch of three frames of the cines as they follow
   each other, levels of successive frames of the profile (the first ones of a run included), and adds
   what the cine lacks to be fluoroscopy: variance by brightness, spectrum, lag. Noise that the cines have
   themselves counts towards the level, and the student's loss takes it out of the target. Cines that are
   as noisy as the fluoroscopy will do: noise is added on top of theirs then.
3. *Conditional diffusion*, then its student. Both begin as the bundled networks. A few cines are enough
   to train on: without a `SPLITS.csv`, one patient of several is held out for validation, else one
   series, else the last frames of the only run, and the run says which.
4. *Sampling* (`--mode diffusion`) begins at the t* of every frame, with as much noise on the network's
   mean, in symmetric pairs. The frame itself would be the published start; but it is the condition too,
   and a network that has learned from states and conditions with noise of their own then counts its noise
   twice (`befoi-faithful` begins there). `befoi-mixing` begins with its share of the frame."""
NOTES = {
    "real": "Clean is the mean of the frames not beside the scored one and has noise of its own: the "
    "corrected PSNR takes its variance off the error. Where the machine has a recursive filter (IM1, IM3), "
    "neighbours share noise with the frame, so that they tell less of it; two on either side are left out of "
    "the mean there, but a little is shared with it still. Nothing moves, so averaging frames costs nothing "
    "here. Intervals are over runs, of which there are few.",
    "phantom": "PSNR is over the 99.9 percentile. Nothing was trained on phantoms.",
}


def main() -> None:
    """Write the document and say where it is."""
    write_document("One document from runs of befoi.py and noise_realism.py.", compose)


def compose(documents: list[Document]) -> str:
    """The text: what is reached, a table for each part, ablation, ghosts, realism of noise."""
    runs = [document for document in documents if document["kind"] == "befoi"]
    realism = [row for document in documents if document["kind"] == "realism" for row in document["rows"]]
    rows = join_rows(runs)
    sections = [ABOUT, "\n".join(_runs(runs)), "## Against what was wanted", "\n".join(judge(rows))]
    for part in (name for name in TITLES if any(row["part"] == name for row in rows)):
        mine = [row for row in rows if row["part"] == part]
        sections += [f"## {TITLES[part]}", _said(part, mine), _main_table(mine)]
    return page([*sections, *_ablation(rows), *_ghosts(rows), *_realism(realism), CHAIN])


def join_rows(runs: list[Document]) -> list[Row]:
    """Rows of all runs, one a part, picture and method: the last."""
    rows = {}
    for run in runs:
        for row in run["rows"]:
            rows[row["part"], row["picture"], row["method"]] = row
    return list(rows.values())


def _runs(runs: list[Document]) -> Iterator[str]:
    for run in runs:
        versions = ", ".join(f"{name} {said}" for name, said in run["versions"].items() if said)
        settings = run["settings"]
        yield (
            f"* `python papers/befoi/befoi.py DATA --weights {run['weights']['name']} --images "
            f"{settings['images']} --size {settings['size']} --minutes {settings['minutes']} "
            f"--parts {_names(settings['parts'])} --methods {_names(settings['methods'])}` (SHA-256 "
            f"`{run['weights']['sha256'][:12]}`), {run['date'][:10]}; {versions}"
        )
        yield from (f"  * left out: {name}: {why}" for name, why in run["left_out"].items())


def _names(listed: str) -> str:
    """The names of a printed list, as they were given."""
    return ",".join(name.strip(" '\"") for name in listed.strip("[]").split(","))


def _said(part: str, rows: list[Row]) -> str:
    scenes = {row["picture"]: row["sigma"] for row in rows}
    sources = len({row["source"] for row in rows})
    first = f"{len(scenes)} frames of {sources} sources, noise of {fmean(scenes.values()):.1f} on average."
    return f"{first} {NOTES.get(part, '')}".strip()


def _main_table(rows: list[Row]) -> str:
    """Table 1 in the layout of the paper, its row next to ours."""
    real = rows[0]["part"] == "real"
    paper = rows[0]["part"] != "phantom"
    corrected = ["corrected"] if real else []
    titles = ["paper: SNR", "REBLUR", "PSNR", "SSIM"] if paper else []
    head = ["method", "SNR", "REBLUR", "PSNR", *corrected, "SSIM", "ms", *titles, "`befoi` over it, dB"]
    lines = []
    for name in _methods(rows):
        mine = [row for row in rows if row["method"] == name]
        cells = [name, _mean(mine, "snr", ".2f"), _mean(mine, "reblur", ".3f"), _mean(mine, "psnr", ".2f")]
        cells += [_mean(mine, "psnr_corrected", ".2f")] if real else []
        cells += [_mean(mine, "ssim", ".4f"), _mean(mine, "ms", ".0f")]
        if paper:
            published = PAPER.get(PUBLISHED.get(name, ""))
            cells += [f"*{value:g}*" for value in published] if published else [""] * 4
        gain = None if name in (MAIN, "clean") else gain_over(rows, name, "psnr")
        lines.append([*cells, "" if gain is None else gain.text("+.2f")])
    return table(head, lines)


def _ablation(rows: list[Row]) -> Iterator[str]:
    """Table 2: students trained without a part, over all simulated frames."""
    simulated = [row for row in rows if row["part"].startswith("gain")]
    names = [name for name in _methods(simulated) if name.startswith("ablation ")]
    if not names:
        return
    yield "## Ablation"
    yield (
        "Over all simulated frames. NSM matches the level of the noise to frames, NM makes the noise. All "
        "are students trained by regression from random weights for as many steps, by "
        "`papers/befoi/befoi_ablations.py`."
    )
    lines = []
    for name in names:
        mine = [row for row in simulated if row["method"] == name]
        title = name.removeprefix("ablation ").replace("-", " ")
        published = next(
            (values for key, values in PAPER_ABLATION.items() if key.lower() == title.lower()), None
        )
        gain = None if name == FULL else gain_over(simulated, name, "psnr", FULL)
        cells = [title, _mean(mine, "psnr", ".2f"), _mean(mine, "ssim", ".4f")]
        cells.append("" if gain is None else gain.text("+.2f"))
        lines.append([*cells, *([f"*{value:g}*" for value in published] if published else ["", ""])])
    yield table(["method", "PSNR", "SSIM", "full over it, dB", "paper: PSNR", "SSIM"], lines)


def _ghosts(rows: list[Row]) -> Iterator[str]:
    """Section on the share of the neighbours that is left in what moved."""
    known = [row for row in rows if row["ghost"] is not None]
    if not known:
        return
    yield "## Ghosts of what moves"
    yield (
        "Where a neighbouring frame differs from the scored one by more than half the noise: the ghost is "
        "the part of the neighbours' difference that is in the result (0 none, 1 their mean in place of the "
        "frame, 2/3 the mean of the three; lost detail of the frame's own is a regressor beside it), and the "
        "error is the root mean square there, in units of the image."
    )
    parts = list(dict.fromkeys(row["part"] for row in known))
    lines = []
    for name in _methods(known):
        cells = []
        for part in parts:
            mine = [row for row in known if (row["part"], row["method"]) == (part, name)]
            sources = [row["source"] for row in mine]
            ghost = mean_interval([row["ghost"] for row in mine], sources).text(".3f") if mine else "-"
            cells += [ghost, _mean(mine, "moved_rmse", ".2f")]
        lines.append([name, *cells])
    yield table(["method", *(title for part in parts for title in (f"{part}: ghost", "error"))], lines)


def _realism(rows: list[Row]) -> Iterator[str]:
    if not rows:
        return
    yield "## Realism of the noise"
    yield (
        "Noise added to the mean of each real run against the run's own, by `papers/befoi/noise_realism.py`: "
        "Kolmogorov-Smirnov distance of histograms in bins of brightness, relative L1 distance of the radial "
        "noise power, relative error of the slope of variance against brightness. Halves of the run differ "
        "by chance alone."
    )
    lines = []
    for noise in dict.fromkeys(row["noise"] for row in rows):
        mine = [row for row in rows if row["noise"] == noise]
        lines += [[noise, row["run"], *_three(row)] for row in mine]
        means = {key: fmean(row[key] for row in mine) for key in ("histogram", "spectrum", "slope")}
        lines.append([f"**{noise}**", "mean", *_three(means)])
    yield table(["noise", "run", "histograms", "power", "slope"], lines)


def _three(row: Row) -> list[str]:
    return [f"{row[key]:.3f}" for key in ("histogram", "spectrum", "slope")]


def _methods(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _mean(rows: list[Row], key: str, form: str) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return f"{fmean(values):{form}}" if values else "-"


if __name__ == "__main__":
    main()

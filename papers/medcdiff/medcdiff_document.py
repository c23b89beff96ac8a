"""Join what `medcdiff.py` and `downstream.py` measured into one document, beside the numbers of the paper.

python papers/medcdiff/medcdiff_document.py docs/medcdiff.md JSON...
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from benchmarks.intervals import mean_interval
from benchmarks.markdown import page, table
from benchmarks.script import Document, write_document
from papers.vpsde.vpsde_document import CALIBRATED

Row = dict[str, Any]

TITLES = {
    "medcdiff": "Denoising",
    "medcdiff-upscale": "Super-resolution",
    "medcdiff-inpaint": "Inpainting",
}
HEAD = "method", "images", "PSNR", "over the input", "SSIM", "acutance", "LPIPS", "FID", "ms an image"
INPUTS = {"medcdiff": "noisy", "medcdiff-upscale": "bicubic", "medcdiff-inpaint": "hole"}
PAPER: dict[str, list[tuple[str, str, float, float, str]]] = {
    "medcdiff": [
        ("", "noisy", 17.52, 1.35, ""),
        ("", "pix2pix", 1.77, 1.32, ""),
        ("", "UP-GAN", 3.36, 1.33, ""),
        ("", "Med-cDiff", 1.19, 1.30, ""),
    ],
    "medcdiff-upscale": [
        ("factor 2.83", "bilinear", 2787.847, 1.19, "6.75"),
        ("factor 2.83", "pix2pix", 1.53, 1.20, "12.72"),
        ("factor 2.83", "SRGAN", 3.30, 1.19, "5.60"),
        ("factor 2.83", "Med-cDiff", 2.74, 1.19, "22.84"),
        ("factor 4", "bilinear", 4339.392, 1.20, "4.51"),
        ("factor 4", "pix2pix", 1.96, 1.22, "11.31"),
        ("factor 4", "SRGAN", 5.03, 1.19, "5.11"),
        ("factor 4", "Med-cDiff", 4.62, 1.19, "21.44"),
        ("factor 5.66", "bilinear", 5773.238, 1.21, "3.28"),
        ("factor 5.66", "pix2pix", 2.50, 1.22, "12.68"),
        ("factor 5.66", "SRGAN", 6.09, 1.21, "4.39"),
        ("factor 5.66", "Med-cDiff", 5.09, 1.20, "21.37"),
    ],
    "medcdiff-inpaint": [
        ("", "pix2pix", 7.62, 1.010, ""),
        ("", "HPUNet", 5.39, 0.995, ""),
        ("", "UP-GAN", 3.17, 0.897, ""),
        ("", "Med-cDiff", 2.96, 0.582, ""),
    ],
}
"""Setting, method, LPIPS as printed, FID, accutance. Source: Hung et al. 2023, Bioengineering 10(11):1258."""
ACCURACY = {"original": 70.7, "noisy": 63.6, "pix2pix": 65.1, "UP-GAN": 62.8, "Med-cDiff": 65.8}
"""Of VGG11 on three classes, in percent; same source."""
ABOUT = """\
# Med-cDiff: the paper, ours, and peers

Written by `python papers/medcdiff/medcdiff_document.py` from what `papers/medcdiff/medcdiff.py` and
`papers/medcdiff/downstream.py` measured. **The paper's numbers are on other images** (prostate MRI of 296
patients, 5,863 radiographs), with degradations it does not state: they rank its methods among themselves, and
are not to be held against ours. It reports no PSNR and no SSIM; its LPIPS values are far below what that
distance usually is, its FIDs too, so both may be scaled.

"regression" is the network of our one pass, of the same size, trained towards clean images alone; it and
pix2pix were trained on the same images, for the minutes stated; ours for longer, 40 to 60 minutes of one
core, as the recipes say, half of it for the diffusion network. PSNR is in dB over the range of [-1, 1],
acutance in 255ths of it a pixel, best that of the clean image: noise raises it too. Brackets: 95 % bootstrap
interval over the images."""


def main() -> None:
    """Write the document and say where it is."""
    write_document("One document from runs of medcdiff.py and downstream.py.", compose)


def compose(documents: list[Document]) -> str:
    """The text: a section a task in the order of TITLES, then the classifier."""
    tasks = {document["task"]: document for document in documents if "task" in document}
    others = [document for document in documents if "task" not in document]
    sections = [_task(tasks[name]) for name in TITLES if name in tasks]
    return page([ABOUT, *sections, *(_classifier(document) for document in others)])


def _task(document: Document) -> str:
    task, settings = document["task"], document["settings"]
    parts = [
        f"## {TITLES[task]}",
        f"`{document['weights']['name']}`, SHA-256 `{document['weights']['sha256'][:12]}`; crops of "
        f"{settings['side']} pixels, up to {settings['images']} validation images of each modality; peers "
        f"trained for {settings['minutes']} minutes each."
        + (" All numbers are of the hole." if task == "medcdiff-inpaint" else ""),
    ]
    for setting in dict.fromkeys(row["setting"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["setting"] == setting]
        parts += [f"### {setting.capitalize()}", table(HEAD, _lines(rows, task, document["fid"][setting]))]
        parts += [_by_modality(rows), _against(rows, task), "\n".join(_calibration(rows))]
    parts += ["\n".join(f"* {warning}".replace(str(Path.home()), "~") for warning in document["warnings"])]
    parts += ["The paper, on other images:", _paper(task)]
    return page(parts)


def _lines(rows: list[Row], task: str, distances: dict[str, float | None]) -> Iterator[list[str]]:
    before = {row["picture"]: row["psnr"] for row in rows if row["method"] == INPUTS[task]}
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        pictures = [row["picture"] for row in mine]
        gains = [row["psnr"] - before[row["picture"]] for row in mine]
        gain = "-" if name == INPUTS[task] else mean_interval(gains, pictures).text("+.2f")
        lpips = [row["lpips"] for row in mine if row["lpips"] is not None]
        psnr = mean_interval([row["psnr"] for row in mine], pictures).text(".2f")
        ssim, acutance = (fmean(row[key] for row in mine) for key in ("ssim", "acutance"))
        cells = [name, str(len(mine)), psnr, gain, f"{ssim:.4f}", f"{acutance:.2f}"]
        cells += [f"{fmean(lpips):.4f}" if lpips else "-", _number(distances[name])]
        yield [*cells, f"{fmean(row['ms'] for row in mine):.0f}"]
    truth = fmean(row["acutance_truth"] for row in rows)
    yield ["*the clean image*", "", "", "", "1", f"{truth:.2f}", "0", "0", ""]


def _against(rows: list[Row], task: str) -> str:
    """Our one pass held against every peer, image by image."""
    own = {row["picture"]: row["psnr"] for row in rows if row["method"] == task}
    said = []
    for name in dict.fromkeys(row["method"] for row in rows if not row["method"].startswith("medcdiff")):
        theirs = {row["picture"]: row["psnr"] for row in rows if row["method"] == name}
        gain = mean_interval([own[picture] - theirs[picture] for picture in own], list(own))
        said.append(f"{name} {gain.text('+.2f')}")
    return f"PSNR of our one pass over: {'; '.join(said)} dB."


def _calibration(rows: list[Row]) -> Iterator[str]:
    """Verdicts on the stated uncertainty, for the modes that state one."""
    low, high = CALIBRATED
    for name in dict.fromkeys(row["method"] for row in rows if row["within"] is not None):
        mine = [row for row in rows if row["method"] == name]
        share = mean_interval([row["within"] for row in mine], [row["picture"] for row in mine])
        verdict = "met" if low <= share.mean <= high else "**not met**"
        yield (
            f"* {name}: the error lies within two stated standard deviations for {share.text('.1%')} of the "
            f"pixels; wanted {low:.0%} to {high:.0%}: {verdict}."
        )


def _by_modality(rows: list[Row]) -> str:
    """PSNR by modality."""
    kinds = list(dict.fromkeys(row["modality"] for row in rows))
    lines = []
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        means = [fmean(row["psnr"] for row in mine if row["modality"] == kind) for kind in kinds]
        lines.append([name, *(f"{mean:.2f}" for mean in means)])
    return table(["PSNR by modality", *(kind or "other" for kind in kinds)], lines)


def _paper(task: str) -> str:
    unit = "1e-6" if task == "medcdiff-inpaint" else "1e-4"
    rows = [
        [setting or "not stated", name, f"{lpips:g}", f"{fid:g}", sharpness or "-"]
        for setting, name, lpips, fid, sharpness in PAPER[task]
    ]
    return table(["setting", "method", f"LPIPS ({unit})", "FID", "accutance"], rows)


def _classifier(document: Document) -> str:
    lines = []
    for name, row in document["rows"].items():
        cells = [_interval(row["accuracy"], ".3f"), _interval(row["accuracy_gain"], "+.3f")]
        cells += [_interval(row["auc"], ".3f"), _interval(row["auc_gain"], "+.3f")]
        if name == "noisy":
            cells[1] = cells[3] = "-"
        lines.append([name, *cells])
    paper = ", ".join(f"{name} {value} %" for name, value in ACCURACY.items())
    head = ["images scored", "accuracy", "over noisy", "AUC", "over noisy"]
    parts = ["## A classifier of radiographs", _said(document), table(head, lines)]
    return "\n\n".join([*parts, f"The paper, three classes, VGG11, other images: {paper}."])


def _said(document: Document) -> str:
    settings, trained = document["settings"], document["images"] - document["held_out"]
    return (
        f"Normal against pneumonia: {document['images']} paediatric radiographs, {document['patients']} "
        f"patients, {document['pneumonia']} with pneumonia, {settings['side']} pixels, noise "
        f"{settings['noise']} of the range, impulses on {float(settings['impulses']):.0%} of the pixels. A "
        "small network is trained on clean images of four fifths of the patients and scores the others'; in "
        "brackets the 95 % bootstrap interval by patient. The denoisers were trained on clean images of "
        f"{trained} of these radiographs, among others: their rows may be flattered."
    )


def _interval(values: list[float], form: str) -> str:
    mean, low, high = values
    return f"{mean:{form}} ({low:{form}} to {high:{form}})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()

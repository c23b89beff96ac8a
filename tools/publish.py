"""Bundle a trained checkpoint: the file, its manifest row and its model card, every score from a benchmark.

    python benchmarks/truth.py DATA --weights new=RUN/checkpoint.safetensors --json truth.json
    python tools/publish.py RUN/checkpoint.safetensors truth.json --name direct --column new

Nothing is typed in by hand: what the card says was measured by the command that wrote the JSON. `truth.py`
judges denoising checkpoints that are compared with each other, `quality.py` those for white noise,
`medcdiff.py` those of `upscale` and `inpaint`, and `noise_estimate.py` estimators of noise.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import shutil
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from benchmarks.cases import SIGMAS
from benchmarks.markdown import table
from benchmarks.noise_card import TEXT, estimator_scores, estimator_table
from benchmarks.pictures import ALIKE, MODALITIES
from benchmarks.truth_scores import truth_scores, truth_table_of
from meddenoise.methods import METHODS
from meddenoise.weights.checkpoint import CheckpointMetadata, read_metadata
from meddenoise.weights.manifest import MANIFEST, OTHER, read_manifest
from tools.restored import restored_scores, restored_table

Rows = list[dict[str, Any]]
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "meddenoise" / "checkpoints"
WHITE = "white"
OVERALL = (WHITE, "physics", "harm")
TITLES = {
    "white": "White Gaussian noise",
    "gaussian": "White and correlated Gaussian noise",
    "physics": "The noise of the modality",
    "harm": "Little noise",
}
NOISE = {
    "medcdiff": "simulated; Gaussian, white or correlated, sigma {low:g} to {high:g} "
    "of half the window, and in half of the patches impulses on up to a twentieth of the pixels",
    "befoi": "simulated on sequences of three frames that move; quanta through a scintillator, electronics, "
    "in part white noise, noise that does not depend on the signal, and noise that a recursive filter passed "
    "on from frame to frame; sigma {low:g} to {high:g} 255ths of the range",
    "medcdiff-upscale": "none; images averaged onto grids that are 2 to 16 times as coarse",
    "medcdiff-inpaint": "none; one to three rectangles or brush strokes cut out, over 5 to 25 % of the image",
    "vpsde": "simulated; white and Gaussian, of every level from {low:.2g} to {high:.3g} of half the window",
    "noise-estimator": "drawn; none, white, coloured, interpolated, patchy, signal-dependent and Rician, "
    "sigma {low:g} to {high:g} 255ths of the range",
    "direct": "simulated; none, white, coloured, signal-dependent and Rician, sigma {low:g} to {high:g} "
    "255ths of the range",
    "diffdenoise": "one fixed realisation on every medical image, Gaussian, sigma 6 to 50 255ths, white or "
    "correlated by kernels of 0.5 and 1.2 pixels; nothing else is seen of these. The student also gets "
    "fresh noise of every kind, sigma {low:g} to {high:g} 255ths, on the results of the stages before, on "
    "photographs, phantoms and random scenes",
}
KINDS = {"noise-estimator": "Estimator of noise"}
"""Names of networks that are not of a method."""

MEASURED = (
    "Mean PSNR in dB on validation images; methods marked `auto` estimate the noise themselves, the others "
    "are given the true level, `bm3d+model` the true spectrum and variance stabilisation too. Written by "
    "`tools/publish.py` from what `benchmarks/quality.py` measured."
)
JUDGED = (
    "Measured where the truth is known: no reference has noise in it. Written by `tools/publish.py` "
    "from what `benchmarks/truth.py` measured."
)
RESTORED = (
    "Mean PSNR in dB over the window, and SSIM, on validation images (of inpainting, over the hole). Written "
    "by `tools/publish.py` from what `papers/medcdiff/medcdiff.py` measured."
)


def main() -> None:
    """Copy the checkpoint, write its card and its manifest row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "measured",
        type=Path,
        nargs="+",
        help="of truth.py; of quality.py, for other groups each; of medcdiff.py; or of noise_estimate.py",
    )
    parser.add_argument("--name", required=True)
    parser.add_argument("--column", help="its column in what truth.py measured (default: its name)")
    arguments = parser.parse_args()
    metadata, digest = read_metadata(arguments.checkpoint, sha256=None)
    documents = [json.loads(path.read_text()) for path in arguments.measured]
    if any("gain_db" in row for row in documents[0]["rows"]):
        column = arguments.column or arguments.name
        judged = documents[0] | {"rows": [row for document in documents for row in document["rows"]]}
        scores = truth_scores(judged["rows"], column, metadata.modalities)
        tables = [JUDGED, truth_table_of(judged, column, arguments.name)]
    elif metadata.method in METHODS:
        groups = _join(documents)
        scores = _scores(metadata, [row for group in groups.values() for row in group["rows"]])
        tables = [MEASURED, *(_table(group, groups[group]) for group in TITLES if group in groups)]
    elif metadata.method == "noise-estimator":
        scores = estimator_scores(documents[0]["rows"], metadata.modalities)
        tables = [TEXT, estimator_table(documents[0]["rows"])]
    else:
        scores = restored_scores(documents[0], metadata.modalities)
        tables = [RESTORED, restored_table(documents[0])]
    target = FOLDER / f"{arguments.name}.safetensors"
    if arguments.checkpoint.resolve() != target.resolve():  # else only the scores are new
        shutil.copyfile(arguments.checkpoint, target)
    (FOLDER / f"{arguments.name}.md").write_text(_card(arguments.name, metadata, tables), encoding="utf-8")
    _write_row(_row(arguments.name, metadata, (digest, target.stat().st_size), scores))


def _join(documents: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Group of noise -> its rows and the settings of the run that measured it; a group comes from one run."""
    groups: dict[str, dict[str, Any]] = {}
    for document in documents:
        for group in dict.fromkeys(row["group"] for row in document["rows"]):
            if group in groups:
                raise SystemExit(f"the group {group!r} is in two documents: give each once.")
            rows = [row for row in document["rows"] if row["group"] == group]
            groups[group] = {"rows": rows, "settings": document["settings"]}
    return groups


def _scores(metadata: CheckpointMetadata, rows: Rows) -> dict[str, float]:
    """By modality what `--method auto` compares, and what it is above BM3D where that was measured."""
    scores: dict[str, float] = {}
    for code in metadata.modalities:
        mine = [row for row in rows if row["modality"] == ALIKE.get(code, code)]
        scores[f"validation-{code.lower()}"] = _overall(mine, f"{metadata.method} auto")
    measured = {row["modality"] for row in rows if row["method"] == "bm3d"}
    for code in ("CT", "MR", "DX", "XA"):
        if code not in measured:
            continue
        mine = [row for row in rows if row["modality"] == code]
        white = _mean(mine, WHITE, f"{metadata.method} auto") - _mean(mine, WHITE, "bm3d")
        scores[f"over-bm3d-{code.lower()}"] = round(white, 3)
        if any(row["group"] == "physics" for row in mine):
            physics = _mean(mine, "physics", f"{metadata.method} auto")
            scores[f"physics-over-bm3d-model-{code.lower()}"] = round(
                physics - _mean(mine, "physics", "bm3d+model"), 3
            )
    return scores


def _row(
    name: str, metadata: CheckpointMetadata, stamp: tuple[str, int], scores: dict[str, float]
) -> dict[str, Any]:
    """The manifest row; `stamp` is the file's digest and size."""
    everywhere = set(metadata.modalities) >= {"CT", "MR", "DX", "XA"}
    if everywhere:
        scores[f"validation-{OTHER}"] = round(
            fmean(scores[f"validation-{c}"] for c in ("ct", "mr", "dx", "xa")), 3
        )
    return {
        "name": name,
        "method": metadata.method,
        "modality": [*metadata.modalities, *([OTHER] if everywhere else [])],
        "file": f"{name}.safetensors",
        "sha256": stamp[0],
        "bytes": stamp[1],
        "licence": metadata.licence,
        "training_data": list(metadata.training_data),
        "scores": scores,
        "card": f"meddenoise/checkpoints/{name}.md",
        "recipe": metadata.recipe,
        "source": "bundled",
    }


def _overall(rows: Rows, method: str) -> float:
    """Score that `--method auto` compares: the mean over white, low and the modality's noise.

    Little noise counts as much as strong: most clinical images have little, and must not be harmed.
    """
    groups: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == method and row["group"] in OVERALL and row["psnr"] is not None:
            groups.setdefault(row["group"], []).append(row["psnr"])
    return round(fmean(fmean(values) for values in groups.values()), 3)


def _mean(rows: Rows, group: str, method: str) -> float:
    """Mean PSNR of a method; white noise is that of 15, 25 and 50, in whichever group it was measured."""
    cases = [f"{name}sigma {level}" for name in ("", "white ") for level in SIGMAS]
    chosen = [
        row
        for row in rows
        if row["method"] == method
        and (
            row["case"] in cases and row["told"] == row["sigma"] if group == WHITE else row["group"] == group
        )
    ]
    return round(fmean(row["psnr"] for row in chosen), 3)


def _write_row(row: dict[str, Any]) -> None:
    """Replace the row of that name in the manifest, or add it; the manifest's comment stays."""
    text = MANIFEST.read_text(encoding="utf-8")
    head, *tables = text.split("[[weights]]\n")
    kept = [table for table in tables if f"name = {json.dumps(row['name'])}\n" not in table]
    kept.append("".join(f"{key} = {_toml(value)}\n" for key, value in row.items()))
    blocks = [head.rstrip(), *(f"[[weights]]\n{table.rstrip()}" for table in kept)]
    MANIFEST.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    read_manifest(MANIFEST)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_toml(item)},\n" for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _card(name: str, metadata: CheckpointMetadata, tables: list[str]) -> str:
    options = metadata.method_options
    network = ", ".join(f"{key} {value}" for key, value in metadata.network_options.items())
    parts = [
        f"# {name}",
        f"{KINDS.get(metadata.method, 'One-pass network of the method')} `{metadata.method}` "
        f"for {', '.join(metadata.modalities)}. Research software, not a medical device.",
        f"* network: `{metadata.network}` ({network})",
        *(
            f"* {part} network in the same file: `{options[part]['network']}` "
            f"({', '.join(f'{k} {v}' for k, v in options[part]['network_options'].items())}), "
            f"{options[part]['steps']} steps"
            for part in ("blind", "diffusion")
            if part in options
        ),
        f"* trained by: `meddenoise train --recipe {metadata.recipe} --data DATA -o RUN`, "
        f"{options['steps']} steps",
        "* noise: "
        + NOISE[metadata.method].format(low=metadata.sigma_range[0], high=metadata.sigma_range[1]),
        f"* licence of the weights: {metadata.licence}",
        "## Training data",
        *(f"* {text}" for text in metadata.training_data),
        "Patients of the validation images are in none of them.",
        "## Scores",
        *tables,
        "## Limits",
        (FOLDER / f"{name}.limits.md").read_text(encoding="utf-8").strip(),
    ]
    return _lay_out(parts)


def _lay_out(parts: Iterable[str]) -> str:
    text = ""
    for part in parts:
        close = part.startswith("* ") and text.rstrip("\n").rpartition("\n")[2].startswith("* ")
        text = (text.rstrip("\n") + ("\n" if close else "\n\n") + part + "\n") if text else part + "\n"
    return text


def _column(method: str) -> tuple[int, bool, str]:
    """Learned methods first, each before its told form, then the classical ones."""
    return (
        1 if METHODS[method.split()[0].split("+")[0]].family == "classical" else 0,
        " " not in method,
        method,
    )


def _table(group: str, measured: dict[str, Any]) -> str:
    mine = [row for row in measured["rows"] if row["psnr"] is not None]
    settings = measured["settings"]
    columns = sorted({row["method"] for row in mine}, key=_column)
    options = f"--noise {group} --images {settings['images']} --crop {settings['crop']}"
    asked = [name for name in MODALITIES if repr(name) in settings.get("modalities", "")]
    if asked and len(asked) < len(MODALITIES):
        options += f" --modalities {','.join(asked)}"
    lines = [
        f"### {TITLES[group]}",
        "",
        f"`python benchmarks/quality.py DATA {options}`",
        "",
    ]
    rows = []
    for modality, case in dict.fromkeys((row["modality"], row["case"]) for row in mine):
        here = [row for row in mine if (row["modality"], row["case"]) == (modality, case)]
        noisy = [row["psnr_noisy"] for row in here if row["psnr_noisy"] is not None]
        if not noisy:
            continue
        cells = [[row["psnr"] for row in here if row["method"] == name] for name in columns]
        shown = [f"{fmean(cell):.2f}" if cell else "-" for cell in cells]
        count = len({row["picture"] for row in here})
        rows.append([f"{modality}, {case}", count, f"{fmean(noisy):.2f}", *shown])
    return "\n".join([*lines, table(["", "n", "noisy", *columns], rows)])


if __name__ == "__main__":
    main()

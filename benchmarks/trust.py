"""What the trust checks tell apart: a confusion table over phantoms, and the thresholds behind it.

    python benchmarks/trust.py [--seeds 30 31 32] [--size 256] [--kinds ct mr xray fluoro]
        [--methods NAME...] [--markdown docs/trust.md] [--keep runs.jsonl]

Every phantom is a patient of its own with the noise of its modality. Good methods should pass (`ok`); methods
that smooth structure away or plant some (`spoilers.py`) should be caught (`look` or `reject`). The thresholds
of `meddenoise.trust.CHECKS` were chosen on seeds below 30: the table is of other ones. "pixels alone"
is the verdict without lesion survival, as `meddenoise eval --noisy` gives it for results of any program.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meddenoise import __version__
from meddenoise.methods import METHODS
from meddenoise.options import Options
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.pipeline import denoise_series
from meddenoise.series import Series
from meddenoise.trust import CHECKS, Values, judge

Row = dict[str, Any]
GOOD = ("direct", "diffdenoise", "nlm", "bm3d")
BAD = {
    "blur 3 px": "BLUR",
    "blur 1.5 px": "SLIGHT_BLUR",
    "nlm at 3 h": "NLM_3H",
    "planted in direct": "PLANTED_DIRECT",
    "planted in nlm": "PLANTED_NLM",
}
FRAMES = {"fluoro": 3}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Measure and print; put the tables into the document where one is named."""
    arguments = _parse()
    torch.set_num_threads(1)
    for name, where in BAD.items():
        METHODS[name] = replace(METHODS["nlm"], where=f"spoilers:{where}")
    rows = _measure(arguments)
    text = f"{_head(arguments)}\n\n{_confusion(rows)}\n\n{_single(rows)}\n\n{_thresholds()}\n"
    print(text)
    if arguments.markdown is not None:
        _insert(arguments.markdown, text)


def _measure(arguments: argparse.Namespace) -> list[Row]:
    """Every run, those of an earlier call among them; the verdicts are by today's thresholds."""
    names = [name for name in arguments.methods or (*GOOD, *BAD) if name != "bm3d" or find_spec("bm3d")]
    keep: Path | None = arguments.keep
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    known = {(row["kind"], row["seed"], row["method"]): row for row in map(json.loads, lines)}
    rows = []
    for kind, seed in ((kind, seed) for seed in arguments.seeds for kind in arguments.kinds):
        noisy, truth = _patient(kind, arguments.size, seed)
        for name in names:
            row = known.get((kind, seed, name))
            if row is None:
                row = {"kind": kind, "seed": seed, "method": name} | _run(noisy, truth, name)
                print(json.dumps(row), flush=True)
                if keep is not None:
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
            rows.append(row | _verdicts(row))
    return rows


def _patient(kind: str, size: int, seed: int) -> tuple[Series, np.ndarray]:
    phantom = make_phantom(kind, size=size, planes=FRAMES.get(kind, 1), seed=seed)
    noisy, _ = acquire(phantom, dose_noise(phantom), seed)
    return to_series(phantom, noisy, "noisy"), phantom.truth


def _run(noisy: Series, truth: np.ndarray, name: str) -> Row:
    """The scores of one result, and its error against the truth over that of the input."""
    result = denoise_series(noisy, Options(method=name, device="cpu"))
    assert result.trust is not None
    before, after = (
        np.sqrt(np.mean((series.values(0, len(series)) - truth) ** 2)) for series in (noisy, result.series)
    )
    return {**result.trust.values, "error": float(after / before)}


def _verdicts(row: Row) -> Row:
    values = {name: row[name] for name in CHECKS}
    alone = {name: value for name, value in values.items() if name != "lesion_survival"}
    return {"verdict": judge(Values(values)).verdict, "alone": judge(Values(alone)).verdict}


def _confusion(rows: list[Row]) -> str:
    """Good methods and spoilers against the verdict, with and without lesion survival."""
    lines = [
        "| | runs | ok | look | reject | pixels alone: ok | look | reject |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for title, members in (
        ("good methods", GOOD),
        ("over-smoothing", list(BAD)[:3]),
        ("planted structures", list(BAD)[3:]),
    ):
        mine = [row for row in rows if row["method"] in members]
        counts = [Counter(row[key] for row in mine) for key in ("verdict", "alone")]
        cells = [count[verdict] for count in counts for verdict in ("ok", "look", "reject")]
        lines.append(f"| {title} | {len(mine)} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _single(rows: list[Row]) -> str:
    """A row a phantom and method: verdicts, means of the scores, and the error against the truth."""
    checks = list(CHECKS)
    lines = [
        "Means over the seeds; error: of the result against the truth, over that of the input.",
        "",
        "| phantom | method | ok | look | reject | " + " | ".join(checks) + " | error |",
        "|---" * (len(checks) + 6) + "|",
    ]
    for kind, method in dict.fromkeys((row["kind"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        count = Counter(row["verdict"] for row in mine)
        cells = [str(count[verdict]) for verdict in ("ok", "look", "reject")]
        cells += [_mean([row[name] for row in mine]) for name in (*checks, "error")]
        lines.append(f"| {kind} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else "-"


def _thresholds() -> str:
    lines = ["| check | what is measured | look | reject |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {row.what} | {row.look:g} | {row.reject:g} |" for name, row in CHECKS.items()]
    return "\n".join(lines)


def _head(arguments: argparse.Namespace) -> str:
    seeds = " ".join(map(str, arguments.seeds))
    command = f"python benchmarks/trust.py --seeds {seeds} --size {arguments.size}"
    return f"`{command}`, {date.today()}, meddenoise {__version__}; thresholds: on seeds below 30."


def _insert(path: Path, text: str) -> None:
    """The tables between the marks of the document."""
    document = path.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Confusion table of the trust checks on phantoms.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[30, 31, 32])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--kinds", nargs="+", default=list(PHANTOMS))
    parser.add_argument("--methods", nargs="+", help="instead of all")
    parser.add_argument("--markdown", type=Path, help="also put the tables into this document")
    parser.add_argument("--keep", type=Path, help="add every run to this file, and do none again it holds")
    return parser.parse_args()


if __name__ == "__main__":
    main()

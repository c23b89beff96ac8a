"""What the trust checks tell apart: confusion tables over phantoms or images, and the thresholds behind them.

    python benchmarks/trust.py [--seeds 30 31 32] [--size 256] [--kinds ct mr xray fluoro]
        [--methods NAME...] [--markdown docs/trust.md] [--keep runs.jsonl]
    python benchmarks/trust.py --data DATA [--images 4] [--size 256] ...

Every phantom is a patient of its own with the noise of its modality; of DATA, validation images with white
noise of 25 of 255 and with that of their modality. Good methods should pass (`ok`); methods that smooth
structure away or plant some (`spoilers.py`) should be caught (`look` or `reject`). The thresholds of
`meddenoise.trust.CHECKS` were chosen on phantoms of seeds below 30: the tables are of others. "pixels alone"
is the verdict without lesion survival, as `meddenoise eval --noisy` gives it for results of any program.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import physics, white
from peers import as_series
from pictures import load_pictures

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


def main() -> None:
    """Measure and print; put the tables into the document where one is named."""
    arguments = _parse()
    torch.set_num_threads(1)
    for name, where in BAD.items():
        METHODS[name] = replace(METHODS["nlm"], where=f"spoilers:{where}")
    rows = _measure(arguments)
    text = f"{_head(arguments)}\n\n{_confusion(rows)}\n\n{_single(rows)}\n"
    if arguments.data is None:
        text += f"\n{_thresholds()}\n"
    print(text)
    if arguments.markdown is not None:
        _insert(arguments.markdown, text, "phantoms" if arguments.data is None else "images")


def _measure(arguments: argparse.Namespace) -> list[Row]:
    """Every run, those of an earlier call among them; the verdicts are by today's thresholds."""
    names = [name for name in arguments.methods or (*GOOD, *BAD) if name != "bm3d" or find_spec("bm3d")]
    keep: Path | None = arguments.keep
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    known = {(row["kind"], row["seed"], row["method"]): row for row in map(json.loads, lines)}
    rows = []
    for subject in _phantoms(arguments) if arguments.data is None else _images(arguments):
        for name in names:
            row = known.get((subject.kind, subject.seed, name))
            if row is None:
                whose = {"kind": subject.kind, "seed": subject.seed, "method": name}
                row = whose | _run(subject.noisy, subject.truth, name)
                print(json.dumps(row), flush=True)
                if keep is not None:
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
            rows.append(row | _verdicts(row))
    return rows


@dataclass(frozen=True)
class Subject:
    """One noisy series and its truth; `kind` is the row it is counted in."""

    kind: str
    seed: int
    noisy: Series
    truth: np.ndarray


def _phantoms(arguments: argparse.Namespace) -> Iterator[Subject]:
    for seed in arguments.seeds:
        for kind in arguments.kinds:
            phantom = make_phantom(kind, size=arguments.size, planes=FRAMES.get(kind, 1), seed=seed)
            noisy, _ = acquire(phantom, dose_noise(phantom), seed)
            yield Subject(kind, seed, to_series(phantom, noisy, "noisy"), phantom.truth)


def _images(arguments: argparse.Namespace) -> Iterator[Subject]:
    for seed, picture in enumerate(load_pictures(arguments.data, arguments.images)):
        cases = (*white(picture, arguments.size, seed, (25,)), *physics(picture, arguments.size, seed))
        for case in cases:
            noisy = as_series(case.noisy, case.modality)
            yield Subject(f"{case.modality}, {case.name}", seed, noisy, case.clean[None])


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
        "Means over the runs; error: of the result against the truth, over that of the input.",
        "",
        "| | method | ok | look | reject | " + " | ".join(checks) + " | error |",
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
    whose = f"--seeds {seeds}" if arguments.data is None else f"--data DATA --images {arguments.images}"
    command = f"python benchmarks/trust.py {whose} --size {arguments.size}"
    return f"`{command}`, {date.today()}, meddenoise {__version__}."


def _insert(path: Path, text: str, part: str) -> None:
    """The tables between the marks of the document."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    path.write_text(f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Confusion table of the trust checks on phantoms or images.")
    parser.add_argument("--data", type=Path, help="folder with SPLITS.csv: its images in place of phantoms")
    parser.add_argument("--images", type=int, default=4, help="of each modality, of --data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[30, 31, 32])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--kinds", nargs="+", default=list(PHANTOMS))
    parser.add_argument("--methods", nargs="+", help="instead of all")
    parser.add_argument("--markdown", type=Path, help="also put the tables into this document")
    parser.add_argument("--keep", type=Path, help="add every run to this file, and do none again it holds")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""The trust checks put to the test: confusion tables of good methods and spoilers, with known truth.

    python benchmarks/trust.py --data DATA [--seeds 40 ... 47] [--size 256] [--images 2]
        [--methods NAME...] [--keep runs.jsonl] [--json table.json] [--markdown docs/trust.md]

Subjects (`trust_subjects.py`): phantoms, each a patient of its own with the noise of its modality, and, with
--data, validation images with simulated noise, real MR acquired twice and real cines of a still object. A
good method should be `ok`; a spoiler smooths structure away, plants some, does nothing or half, or has the
wrong level or modality, and should be caught (anything but `ok`). The same results of the phantoms are
judged once more with their exact reference. Who is good and who is bad goes by the
truth: a good method that is no better than the input, or a spoiler that does no harm, is counted in neither.

The thresholds of `meddenoise.trust.CHECKS` were chosen on subjects of even number; the tables are of the odd
ones. --choosing prints those of the even ones.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse
import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import chain

import numpy as np
import torch

from benchmarks.markdown import page, replace_between, table
from benchmarks.trust_runs import GOOD, SPOILERS, Row, applies, run
from benchmarks.trust_subjects import TrustSubject, cines, images, phantoms, repeats
from meddenoise.methods import METHODS
from meddenoise.phantom import PHANTOMS
from meddenoise.trust import CHECKS, Values, judge
from meddenoise.version import __version__

HARM = 1.1, 0.1
"""A spoiler is bad where its error is so many times that of its base, the method that it spoils, and by so
much of the error of the input more."""
NO_GAIN = 0.8
"""A good method counts as such where its error is below this share of that of the input."""
NEAR_BEST = 1.25
"""... and below so many times that of the best of them."""


VERDICTS = "ok", "no effect", "look", "reject"
COMMENTS = "<!-- tables: begin -->", "<!-- tables: end -->"


def main() -> None:
    """Measure and print; put the tables into the document where one is named."""
    arguments = _parse()
    torch.set_num_threads(1)
    for name, spoiler in SPOILERS.items():
        if spoiler.where:
            METHODS[name] = replace(METHODS["nlm"], where=f"spoilers:{spoiler.where}")
    rows = _judge(_measure(arguments))
    shown = [row for row in rows if row["seed"] % 2 == (0 if arguments.choosing else 1)]
    tables = _confusion(shown)
    plain = "kind", "seed", "method", "error"
    exact = [{key: row[key] for key in plain} | row["reference"] for row in shown if row["reference"]]
    against = _confusion(_judge(exact))
    text = page(
        [
            _head(arguments),
            _as_markdown(tables),
            "The results of the phantoms, judged with their exact reference (`denoise --ref`):",
            _as_markdown(against),
            _single(shown),
            _thresholds(),
        ]
    )
    print(text)
    if arguments.json is not None:
        document = {"command": _head(arguments), "tables": tables, "with_reference": against, "runs": shown}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown is not None:
        replace_between(arguments.markdown, COMMENTS, text)


def _subjects(arguments: argparse.Namespace) -> Iterator[TrustSubject]:
    parts = [phantoms(arguments.seeds, arguments.kinds, arguments.size)]
    if arguments.data is not None:
        parts = [repeats(arguments.data, arguments.size), cines(arguments.data, arguments.size), *parts]
    if arguments.data is not None and arguments.images:
        parts.append(images(arguments.data, arguments.images, arguments.size))
    return chain.from_iterable(parts)


def _measure(arguments: argparse.Namespace) -> list[Row]:
    """Every run, those of an earlier call among them."""
    names = arguments.methods or (*GOOD, *SPOILERS)
    keep: Path | None = arguments.keep
    lines = keep.read_text(encoding="utf-8").splitlines() if keep is not None and keep.exists() else []
    known = {(row["kind"], row["seed"], row["method"]): row for row in map(json.loads, lines)}
    rows = []
    for subject in _subjects(arguments):
        for name in (name for name in names if applies(name, subject)):
            row = known.get((subject.kind, subject.seed, name))
            if row is None:
                row = {"kind": subject.kind, "seed": subject.seed, "method": name} | run(subject, name)
                if keep is not None:
                    with keep.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
            rows.append(row)
    return rows


def _judge(rows: list[Row]) -> list[Row]:
    """The rows with their verdict by today's thresholds, and whether they are good or bad by the truth."""
    errors = {(row["kind"], row["seed"], row["method"]): row["error"] for row in rows}
    return [
        row
        | {"verdict": judge(Values({name: row.get(name) for name in CHECKS})).verdict}
        | {"truth": _truth(row, errors)}
        for row in rows
    ]


def _truth(row: Row, errors: dict[tuple[str, int, str], float]) -> str:
    """ "good", "bad", or "neither" by the error against the truth."""
    whose = row["kind"], row["seed"]
    spoiler = SPOILERS.get(row["method"])
    if spoiler is None:
        best = min(errors[*whose, name] for name in GOOD if (*whose, name) in errors)
        return "good" if row["error"] < min(NO_GAIN, NEAR_BEST * best) else "neither"
    base = errors.get((*whose, spoiler.base), 1.0)
    harmful = row["error"] > max(HARM[0] * base, HARM[1] + base)
    return "bad" if spoiler.always or harmful else "neither"


def _confusion(rows: list[Row]) -> list[Row]:
    """Good methods and each group of spoilers against the verdict; runs that are neither only counted."""
    groups = {"good methods": [row for row in rows if row["method"] not in SPOILERS]}
    for name, spoiler in SPOILERS.items():
        groups.setdefault(spoiler.group, []).extend(row for row in rows if row["method"] == name)
    groups["all spoilers"] = [row for row in rows if row["method"] in SPOILERS]
    table = []
    for title, mine in groups.items():
        counted = [row for row in mine if row["truth"] == ("good" if title == "good methods" else "bad")]
        counts = Counter(row["verdict"] for row in counted)
        entry: Row = {"group": title, "runs": len(counted), "neither": len(mine) - len(counted)}
        entry |= {verdict: counts[verdict] for verdict in ("ok", "no effect", "look", "reject")}
        passed = counts["ok"] / len(counted) if counted else None
        table.append(entry | {"passed": passed})
    return table


def _as_markdown(groups: list[Row]) -> str:
    lines = []
    for row in groups:
        passed = row["passed"]
        right = None if passed is None else passed if row["group"] == "good methods" else 1 - passed
        cells = [row[name] for name in ("runs", *VERDICTS)]
        cells += ["-" if right is None else f"{right:.0%}", row["neither"]]
        lines.append([row["group"], *cells])
    return table(["", "runs", *VERDICTS, "passed or caught", "neither"], lines)


def _single(rows: list[Row]) -> str:
    """A row a kind and method: verdicts, means of the scores, and the error against the truth."""
    checks = list(CHECKS)
    lines = []
    for kind, method in dict.fromkeys((row["kind"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        count, truth = (Counter(row[key] for row in mine) for key in ("verdict", "truth"))
        cells = [f"{truth['good']}, {truth['bad']}"]
        cells += [str(count[verdict]) for verdict in VERDICTS]
        both = [row["reference"] | row for row in mine]
        cells += [_mean([row.get(name) for row in both]) for name in (*checks, "error")]
        lines.append([kind, method, *cells])
    about = "Verdicts without a reference and means over the runs; error: of the result against the truth, "
    about += "over that of the input."
    return f"{about}\n\n" + table(["", "method", "good, bad", *VERDICTS, *checks, "error"], lines)


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.2f}" if known else "-"


def _thresholds() -> str:
    lines = []
    for name, row in CHECKS.items():
        limits = ("-" if limit is None else f"{limit:.3g}" for limit in (row.look, row.no_effect, row.reject))
        lines.append([f"`{name}`", row.what, *limits])
    return table(["check", "what is measured", "look", "no effect", "reject"], lines)


def _head(arguments: argparse.Namespace) -> str:
    seeds = " ".join(map(str, arguments.seeds))
    data = "" if arguments.data is None else f" --data DATA --images {arguments.images}"
    names = f" --methods {shlex.join(arguments.methods)}" if arguments.methods else ""
    command = f"python benchmarks/trust.py{data} --seeds {seeds} --size {arguments.size}{names}"
    return f"`{command}`, {date.today()}, meddenoise {__version__}."


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Confusion table of the trust checks.")
    parser.add_argument("--data", type=Path, help="folder with SPLITS.csv: its images, repeats and cines too")
    parser.add_argument("--images", type=int, default=0, help="of each modality, of --data")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(40, 48)))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--kinds", nargs="+", default=list(PHANTOMS))
    parser.add_argument("--methods", nargs="+", help="instead of all")
    parser.add_argument("--choosing", action="store_true", help="tables of the half the thresholds are from")
    parser.add_argument("--json", type=Path, help="also write tables and runs to this file")
    parser.add_argument("--markdown", type=Path, help="also put the tables into this document")
    parser.add_argument("--keep", type=Path, help="add every run to this file, and do none again it holds")
    return parser.parse_args()


if __name__ == "__main__":
    main()

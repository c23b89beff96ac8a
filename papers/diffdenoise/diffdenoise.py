"""The ablations of DiffDenoise, A1 to A12, as one document: which claims hold here, and what was done.

    OMP_NUM_THREADS=1 python papers/diffdenoise/diffdenoise.py [--scale toy|full|trial] [--data DATA]
        [--only A1,A2] [--cache FOLDER] [--out docs/diffdenoise.md]

Networks are trained by the product's own tasks into the cache and taken up there where an earlier call
stopped; finished ablations are kept in it as JSON, and the document holds all that are there. The whole toy
scale takes about half an hour on one core. `full` needs --data, a folder of images as for quality.py, and a
GPU; `trial` only shows that every path runs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository, from anywhere

import argparse
import json
import tempfile
from contextlib import nullcontext
from time import perf_counter

import torch

from benchmarks.script import names_of, run, tell
from meddenoise.io.atomic import write_whole
from papers.diffdenoise.ablations import ABLATIONS, Finding, get_ablation
from papers.diffdenoise.ablations.document import compose
from papers.diffdenoise.ablations.lab import Lab
from papers.diffdenoise.ablations.scales import SCALES


def main() -> int:
    """Run the ablations asked for, write the document after each."""
    arguments = _parse()
    torch.set_num_threads(torch.get_num_threads() if torch.accelerator.is_available() else 1)
    with tempfile.TemporaryDirectory() if arguments.cache is None else nullcontext(arguments.cache) as place:
        lab = Lab(SCALES[arguments.scale], Path(place), tell, arguments.data)
        for name in arguments.only:
            run_ablation(lab, name)
            arguments.out.write_text(compose(lab.scale, find_all(lab)), encoding="utf-8")
    return 0


def run_ablation(lab: Lab, name: str) -> Finding:
    """The finding of ablation `name`, made now or kept from an earlier call."""
    path = lab.folder / f"{name}.json"
    if path.exists():
        return Finding(**json.loads(path.read_text(encoding="utf-8")))
    tell(f"{name} ...")
    started = perf_counter()
    finding = get_ablation(name)(lab)
    write_whole(path, json.dumps(finding.as_json(), indent=1).encode())
    tell(f"{name} {finding.verdict}: {finding.seen} ({perf_counter() - started:.0f} s)")
    return finding


def find_all(lab: Lab) -> dict[str, Finding]:
    """All findings that the cache of this lab holds, in the order of the table."""
    paths = {name: lab.folder / f"{name}.json" for name in ABLATIONS}
    return {
        name: Finding(**json.loads(path.read_text(encoding="utf-8")))
        for name, path in paths.items()
        if path.exists()
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The ablations of DiffDenoise.")
    parser.add_argument("--scale", choices=list(SCALES), default="toy")
    parser.add_argument("--data", type=Path, help="folder with SPLITS.csv, for --scale full")
    parser.add_argument(
        "--only", type=names_of("ablation", ABLATIONS), default=list(ABLATIONS), help=",".join(ABLATIONS)
    )
    parser.add_argument("--cache", type=Path, help="folder of what is finished (default: a temporary one)")
    parser.add_argument("--out", type=Path, default=Path("docs/diffdenoise.md"))
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""Average the weights of trainings that began from one another: a checkpoint between them.

    python tools/average.py OUT CHECKPOINT CHECKPOINT...

What the last training ended on by chance is averaged out, as by a longer average of its own steps. The
description is that of the last checkpoint.
Source: Izmailov et al. 2018, UAI, "Averaging Weights Leads to Wider Optima and Better Generalization".
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository, from anywhere

import argparse

import torch
from torch import Tensor

from benchmarks.script import run
from meddenoise.errors import UsageError
from meddenoise.weights.checkpoint import load_checkpoint, save_checkpoint


def main() -> None:
    """Write the mean of the checkpoints named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    arguments = parser.parse_args()
    average(arguments.out, arguments.checkpoints)


def average(out: Path, paths: list[Path]) -> None:
    """Write the mean of the weights of `paths`, each in the precision it has, to `out`.

    Raises UsageError where they are not checkpoints of one network.
    """
    parts = [load_checkpoint(path, sha256=None) for path in paths]
    last = parts[-1]
    for path, part in zip(paths, parts, strict=True):
        alike = part.metadata.network_options == last.metadata.network_options
        if not alike or part.metadata.network != last.metadata.network:
            raise UsageError(f"{path} has another network than {paths[-1]}: give checkpoints of one network.")
    mean = {name: _mean([part.tensors[name] for part in parts]) for name in last.tensors}
    save_checkpoint(out, mean, last.metadata)


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.float() for tensor in tensors]).mean(dim=0).to(tensors[0].dtype)


if __name__ == "__main__":
    run(main)

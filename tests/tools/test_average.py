"""`tools/average.py`: the mean of checkpoints of one network, and no other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from meddenoise.errors import UsageError
from meddenoise.weights import load
from meddenoise.weights.checkpoint import load_checkpoint, save_checkpoint
from tools.average import average

BUNDLED = load("direct-fast")


def saved(path: Path, factor: float) -> Path:
    """The bundled `direct-fast` with all weights times `factor`."""
    weights = {name: weight.float() * factor for name, weight in BUNDLED.tensors.items()}
    save_checkpoint(path, {name: weight.half() for name, weight in weights.items()}, BUNDLED.metadata)
    return path


def test_the_mean_lies_between_the_checkpoints(tmp_path: Path) -> None:
    average(tmp_path / "out", [saved(tmp_path / "a", 0.5), saved(tmp_path / "b", 1.5)])
    found = load_checkpoint(tmp_path / "out", sha256=None)
    assert found.metadata == BUNDLED.metadata
    for name, weight in BUNDLED.tensors.items():
        assert found.tensors[name].dtype == weight.dtype
        torch.testing.assert_close(found.tensors[name].float(), weight.float(), rtol=2e-3, atol=1e-6)


def test_checkpoints_of_two_networks_are_refused(tmp_path: Path) -> None:
    other = replace(BUNDLED.metadata, network_options={**BUNDLED.metadata.network_options, "frames": 9})
    save_checkpoint(tmp_path / "b", BUNDLED.tensors, other)
    with pytest.raises(UsageError, match="another network than"):
        average(tmp_path / "out", [saved(tmp_path / "a", 1.0), tmp_path / "b"])
    assert not (tmp_path / "out").exists()

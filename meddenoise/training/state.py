"""The whole state of a training run in one safetensors file: no pickle, written whole or not at all."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from meddenoise.errors import OutputError, TrainingError
from meddenoise.io.atomic import write_whole


def save_state(
    path: Path, network: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer, notes: dict[str, Any]
) -> None:
    """Write weights, their average, the optimizer's moments and JSON-able `notes` to `path`, atomically.

    Raises TrainingError where the disk is full or the folder cannot be written.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    packed = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        write_whole(path, save(packed, metadata={"notes": json.dumps(notes)}))
    except OutputError as error:
        raise TrainingError(f"{path}: the training state could not be saved: {error.__cause__}.") from error


def read_notes(path: Path) -> dict[str, Any]:
    """The notes of a saved state. Raises TrainingError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as handle:
            notes: dict[str, Any] = json.loads((handle.metadata() or {})["notes"])
    except Exception as error:
        raise TrainingError(
            f"{path}: the saved training state is damaged ({error}); delete it to start again."
        ) from error
    return notes


def load_state(path: Path, network: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a saved state back into freshly built modules and their optimizer.

    Raises TrainingError for a damaged file or one of another network.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            tensors: dict[str, Tensor] = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        network.load_state_dict(_under(tensors, "network."))
        ema.load_state_dict(_under(tensors, "ema."))
    except Exception as error:
        raise TrainingError(
            f"{path}: the saved training state does not fit this network: {error}."
        ) from error
    flat = _under(tensors, "optimizer.")
    state = optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, value in flat.items():
        index, key = name.split(".")
        moments[int(index)][key] = value
    state["state"] = dict(moments)
    optimizer.load_state_dict(state)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""Checkpoints of the restoring methods, small and untrained, for tests of what is around them."""

from pathlib import Path

import torch

from meddenoise.networks import build
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint

NETWORK = {"profile": "tiny", "condition": 2}


def checkpoint(path: Path, method: str, change: float = 0.0) -> Path:
    """A checkpoint of `method`; `change` is what its one pass takes off everywhere, in network units."""
    torch.manual_seed(0)
    student, diffusion = (build("cond-unet", NETWORK).state_dict() for _ in range(2))
    student["tail.bias"] += change
    tensors = {f"student.{name}": tensor for name, tensor in student.items()}
    tensors |= {f"diffusion.{name}": tensor for name, tensor in diffusion.items()}
    metadata = CheckpointMetadata(
        method=method,
        network="cond-unet",
        network_options=NETWORK,
        normalisation={"name": "patient-window"},
        sigma_range=(0.0, 0.3),
        modalities=("CT", "MR", "OTHER"),
        training_data=("none",),
        licence="Apache-2.0",
        recipe="none",
        schedule={"name": "linear-2000", "prediction": "v"},
        method_options={"diffusion": {"network": "cond-unet", "network_options": NETWORK}},
    )
    save_checkpoint(path, tensors, metadata)
    return path

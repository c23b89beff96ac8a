"""A small published set of checkpoints: manifest, bundled files, and the files a Hub would serve."""

import hashlib
import json
from pathlib import Path

import torch

from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint
from tests.weights.hub_server import REPO

BUNDLED = "cascade-ct"
REMOTE = "cascade-mr"


def checkpoint(path, recipe):
    """The bytes of a checkpoint written to `path`."""
    metadata = CheckpointMetadata(
        method="cascade",
        network="noise-unet",
        network_options={"channels": [8, 16]},
        normalisation={"name": "none"},
        sigma_range=(0.0, 75.0),
        modalities=("CT",),
        training_data=("Phantoms",),
        licence="Apache-2.0",
        recipe=recipe,
    )
    save_checkpoint(path, {"w": torch.arange(300.0)}, metadata)
    return path.read_bytes()


def row(name, content, /, **changes):
    """One [[weights]] table as TOML text; JSON writes strings, numbers and lists as TOML reads them."""
    fields = {
        "name": name,
        "method": "cascade",
        "modality": ["CT"],
        "file": f"{name}.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "Apache-2.0",
        "training_data": ["Phantoms [generated]"],
        "scores": {"validation-ct": 38.5},
        "card": f"meddenoise/checkpoints/{name}.md",
        "recipe": name,
        "source": "bundled",
        **changes,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items() if value is not None]
    return "\n".join(["[[weights]]", *lines, ""])


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)


def publish(folder: Path) -> dict[str, bytes]:
    """Write `folder`/weights_manifest.toml and `folder`/checkpoints: one bundled and one remote checkpoint.

    Returns what a Hub has to serve, by file name.
    """
    (folder / "checkpoints").mkdir(parents=True)
    bundled = checkpoint(folder / "checkpoints" / f"{BUNDLED}.safetensors", BUNDLED)
    remote = checkpoint(folder / "remote.safetensors", REMOTE)
    (folder / "remote.safetensors").unlink()
    source = {"repo": REPO, "revision": "v1", "file": "mr/net.safetensors"}
    mr = {"modality": ["MR"], "scores": {"validation-mr": 33.0}, "source": source}
    (folder / "weights_manifest.toml").write_text(row(BUNDLED, bundled) + row(REMOTE, remote, **mr))
    return {source["file"]: remote}

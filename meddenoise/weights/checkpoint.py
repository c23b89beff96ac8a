"""A checkpoint: tensors and all it takes to use them, in one safetensors file that describes itself."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from meddenoise.errors import UsageError, WeightsError
from meddenoise.io.atomic import write_whole
from meddenoise.version import __version__
from meddenoise.weights.sealed import BLANK_DIGEST, FORMAT_VERSION, METADATA_KEY, read_sealed, seal

if TYPE_CHECKING:  # torch costs over a second; listing and verifying checkpoints need none of it
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMetadata:
    """Everything but the tensors. Mappings hold what JSON holds; sequences in them come back as lists."""

    method: str
    """A name of `meddenoise methods`."""
    network: str
    """A name of `networks.NETWORKS`; with `network_options` it is the argument list of `networks.build`."""
    network_options: Mapping[str, Any]
    normalisation: Mapping[str, Any]
    """Name and settings of the map between physical and network units."""
    sigma_range: tuple[float, float]
    """Smallest and largest noise level trained for, in network units."""
    modalities: tuple[str, ...]
    """DICOM modality codes trained for."""
    training_data: tuple[str, ...]
    """One attribution a data set."""
    licence: str
    """SPDX expression the weights may be used under."""
    recipe: str
    """Name of the training recipe."""
    schedule: Mapping[str, Any] | None = None
    """Diffusion schedule and what the network predicts; None for one-pass networks."""
    method_options: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the method: a second network, context planes."""
    package_version: str = __version__


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded and checked file; `sha256` (hex) is of the whole file, tensors are on the CPU."""

    metadata: CheckpointMetadata
    tensors: dict[str, "Tensor"]
    path: Path
    sha256: str


def save_checkpoint(path: Path, tensors: Mapping[str, "Tensor"], metadata: CheckpointMetadata) -> None:
    """Write a sealed file; the same tensors and metadata give the same bytes, and no half file ever appears.

    Raises WeightsError for NaN or infinite weights and for metadata that could not be read back, OutputError
    where the file cannot be written.
    """
    from safetensors.torch import save

    # clone: safetensors refuses tied weights that share memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    _check_finite(path, plain)
    write_whole(path, seal(save(plain, {METADATA_KEY: _to_json(path, metadata)})))


def load_checkpoint(path: Path, *, sha256: str | None) -> Checkpoint:
    """The checkpoint at `path`; its SHA-256 must be `sha256` (hex) unless that is None.

    Raises WeightsError for a file that is missing, damaged, changed, of a newer format, no checkpoint of
    meddenoise, or holds NaN or infinite weights.
    """
    from safetensors.torch import load

    sealed = read_sealed(path, sha256)
    tensors = load(sealed.raw)
    _check_finite(path, tensors)
    return Checkpoint(_parse(path, sealed.metadata), tensors, path, sealed.sha256)


def read_metadata(path: Path, *, sha256: str | None) -> tuple[CheckpointMetadata, str]:
    """Metadata and SHA-256 (hex) of a checkpoint, the file checked as in `load_checkpoint`, without torch."""
    sealed = read_sealed(path, sha256)
    return _parse(path, sealed.metadata), sealed.sha256


def load_network(
    checkpoint: Checkpoint, name: str, options: Mapping[str, Any], prefix: str = ""
) -> "nn.Module":
    """The network `name` with the tensors of a checkpoint, as `load_state`; torch's random state stays.

    Raises WeightsError for options that make no network, and as `load_state`.
    """
    import torch

    from meddenoise.networks import build

    with torch.random.fork_rng(devices=[]):  # what is drawn to initialise it is thrown away
        try:
            network = build(name, dict(options))
        except UsageError as error:
            raise WeightsError(
                f"{checkpoint.path} describes a network that cannot be built: {error}"
            ) from error
    load_state(network, checkpoint, prefix)
    return network.eval().requires_grad_(False)


def load_state(network: "nn.Module", checkpoint: Checkpoint, prefix: str = "") -> None:
    """Copy the tensors whose names start with `prefix` into `network`, all of them and no others.

    Raises WeightsError naming the first tensor that is missing, of another shape, or too many.
    """
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(prefix)
    }
    expected = network.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        wanted, given = _shape(expected.get(name)), _shape(state.get(name))
        if wanted != given:
            raise WeightsError(
                f"{checkpoint.path} does not fit the network {checkpoint.metadata.network!r} it names: "
                f"tensor {prefix + name!r} is {given} in the file, {wanted} in the network; "
                "use the meddenoise version the checkpoint was made with "
                f"({checkpoint.metadata.package_version}) or another checkpoint."
            )
    network.load_state_dict(state, strict=True)


def _shape(tensor: "Tensor | None") -> str:
    return "absent" if tensor is None else str(list(tensor.shape))


def _check_finite(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path}: tensor {name!r} holds NaN or infinity: the training that made it failed, "
                "use an earlier checkpoint."
            )


_KINDS: dict[str, type | tuple[type, ...]] = {
    "method": str,
    "network": str,
    "network_options": dict,
    "normalisation": dict,
    "sigma_range": list,
    "modalities": list,
    "training_data": list,
    "licence": str,
    "recipe": str,
    "schedule": (dict, NoneType),
    "method_options": dict,
    "package_version": str,
}


def _to_json(path: Path, metadata: CheckpointMetadata) -> str:
    """The metadata as the file holds it, the digest still blank; refuses what `_parse` would refuse."""
    content = {**asdict(metadata), "format_version": FORMAT_VERSION}
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be saved, its metadata cannot be written as JSON ({error}): correct the recipe."
        ) from error
    _parse(path, json.loads(text))
    return json.dumps({**content, "digest": BLANK_DIGEST}, sort_keys=True, separators=(",", ":"))


def _parse(path: Path, content: dict[str, Any]) -> CheckpointMetadata:
    """The metadata as its dataclass; every field of it must be there, of its kind, and nothing else."""
    content = {name: value for name, value in content.items() if name != "format_version"}
    names = {entry.name for entry in fields(CheckpointMetadata)}
    wrong = sorted(names ^ content.keys())
    wrong += [name for name in names & content.keys() if not isinstance(content[name], _KINDS[name])]
    for name in ("modalities", "training_data"):
        if name not in wrong and not all(isinstance(text, str) for text in content[name]):
            wrong.append(name)
    if "sigma_range" not in wrong and not _is_range(content["sigma_range"]):
        wrong.append("sigma_range")
    if wrong:
        raise WeightsError(
            f"{path} has incomplete or wrong metadata ({', '.join(wrong)}): "
            "make the checkpoint again with `meddenoise train`."
        )
    lists = ("sigma_range", "modalities", "training_data")
    return CheckpointMetadata(**{**content, **{name: tuple(content[name]) for name in lists}})


def _is_range(values: list[Any]) -> bool:
    numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return len(numbers) == len(values) == 2 and 0 <= numbers[0] <= numbers[1]

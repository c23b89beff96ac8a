"""A network that begins as a smaller one: more planes, channels or noise bands, and the same result."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from meddenoise.errors import WeightsError
from meddenoise.noise import WHITE
from meddenoise.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from meddenoise.training.recipe import Recipe

SPREAD = 0.3
"""Standard deviation about one half of the share that one of two copies of a channel gets: copies that all
began alike would stay alike."""


def begin_as(checkpoint: Checkpoint, options: Mapping[str, Any]) -> Checkpoint:
    """The `NoiseUNet` of `checkpoint` as one of `options`, with the same result whatever new planes hold.

    Channels are repeated and their weights shared out at random between the copies.
    Source: Chen, Goodfellow, Shlens 2016, ICLR (Net2Net), equation 3.
    Raises WeightsError where it is another network, or one that `options` cannot hold.
    """
    before = dict(checkpoint.metadata.network_options)
    if checkpoint.metadata.network != "noise-unet" or "head.weight" not in checkpoint.tensors:
        raise WeightsError(f"{checkpoint.path} is not a one-pass network to begin with: name another.")
    if any(before.get(key) != options.get(key) for key in ("blocks", "unshuffle")):
        raise WeightsError(f"{checkpoint.path} has other blocks than the recipe: name another to begin with.")
    tensors = _more_frames(dict(checkpoint.tensors), int(options.get("frames", 1)))
    tensors = _more_bands(tensors, int(options.get("bands", len(WHITE))))
    old, new = list(before["channels"]), list(options["channels"])
    if len(old) != len(new) or any(b % a for a, b in zip(old, new, strict=True)):
        raise WeightsError(f"{checkpoint.path} has {old} channels: {new} must be multiples of them.")
    return replace(checkpoint, tensors=_wider(tensors, old, new))


def no_smaller(recipe: "Recipe", weights: Checkpoint | None) -> "Recipe":
    """The recipe, its `NoiseUNet` as large as the weights to fine-tune where they are larger."""
    there = {} if weights is None else weights.metadata.network_options
    options = dict(recipe.network_options)
    if list(there.get("channels", [])) > list(options.get("channels", [])):
        options["channels"] = there["channels"]
    if int(there.get("bands", len(WHITE))) > int(options.get("bands", len(WHITE))):
        options["bands"] = there["bands"]
    return replace(recipe, network_options=options)


def part_of(checkpoint: Checkpoint, part: str) -> Checkpoint | None:
    """One network of several in a checkpoint, by its name there; a single network is the "student".

    None where there is no such part.
    """
    prefix = f"{part}."
    tensors = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.tensors.items()
        if name.startswith(prefix)
    }
    if not tensors:
        return checkpoint if part == "student" else None
    described = checkpoint.metadata.method_options.get(part)
    metadata = checkpoint.metadata
    if described is not None:
        measured = {key: value for key, value in described.items() if not key.startswith("network")}
        metadata = replace(
            metadata,
            network=described["network"],
            network_options=described["network_options"],
            method_options=measured,
        )
    return replace(checkpoint, tensors=tensors, metadata=metadata)


def with_condition(checkpoint: Checkpoint, channels: int) -> Checkpoint:
    """The conditional U-Net of a checkpoint with more channels in its condition, the last ones, of which it
    makes nothing yet; itself where it has as many, or is another network."""
    before = dict(checkpoint.metadata.network_options)
    more = channels - int(before.get("condition", channels))
    if more <= 0:
        return checkpoint
    kernel = checkpoint.tensors["head.weight"]
    grid = kernel.shape[1] // (1 + channels - more)
    wide = torch.cat([kernel, kernel.new_zeros(kernel.shape[0], more * grid, *kernel.shape[2:])], dim=1)
    metadata = replace(checkpoint.metadata, network_options={**before, "condition": channels})
    return replace(checkpoint, tensors={**checkpoint.tensors, "head.weight": wide}, metadata=metadata)


def _more_frames(tensors: dict[str, Tensor], frames: int) -> dict[str, Tensor]:
    kernel = tensors["head.weight"]
    planes = kernel.shape[1]
    wide = kernel.new_zeros(kernel.shape[0], frames * planes, *kernel.shape[2:])
    # what the network does with all of its kernels, it does with those of one frame before the others join
    wide[:, frames // 2 * planes : (frames // 2 + 1) * planes] = kernel - kernel.mean((1, 2, 3), keepdim=True)
    return tensors | {"head.weight": wide}


def _more_bands(tensors: dict[str, Tensor], bands: int) -> dict[str, Tensor]:
    weight = tensors["told.weight"]
    old = weight.shape[1] - 1
    copies = bands // old
    finer = weight[:, :old].repeat_interleave(copies, dim=1) / copies
    return tensors | {"told.weight": torch.cat([finer, weight[:, old:]], dim=1)}


def _wider(tensors: dict[str, Tensor], old: list[int], new: list[int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    levels = range(len(old))
    factors = [b // a for a, b in zip(old, new, strict=True)]
    # of each part of the network: by how much what comes in and what goes out grows
    growth = dict.fromkeys(("head", "floor", "told"), (1, factors[0])) | {"tail": (factors[0], 1)}
    growth |= {f"{side}.{n}": (factors[n], factors[n]) for n in levels for side in ("encoder", "decoder")}
    growth |= {f"down.{n}": pair for n, pair in enumerate(pairwise(factors))}
    growth |= {f"up.{n}": (b, a) for n, (a, b) in enumerate(pairwise(factors))}
    result = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        grows = growth.get(parts[0]) or growth[".".join(parts[:2])]
        transposed = parts[0] == "up"
        result[name] = _grow(tensor, grows, transposed, generator)
    return result


def _grow(tensor: Tensor, grows: tuple[int, int], transposed: bool, generator: torch.Generator) -> Tensor:
    into, out = grows
    if tensor.ndim == 1:  # a bias
        return tensor.repeat(out)
    if transposed:
        tensor = tensor.transpose(0, 1)
    wide = tensor.repeat(out, into, *([1] * (tensor.ndim - 2)))
    if into > 1:
        shares = torch.randn(into, *_one_copy(wide, into), generator=generator) * SPREAD
        shares = 1 / into + shares - shares.mean(dim=0)
        wide = wide * torch.cat(list(shares), dim=1)
    return wide.transpose(0, 1).contiguous() if transposed else wide


def _one_copy(wide: Tensor, into: int) -> tuple[int, ...]:
    return (wide.shape[0], wide.shape[1] // into, *([1] * (wide.ndim - 2)))

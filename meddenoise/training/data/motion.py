"""Short sequences of moving frames made of single frames: for networks that see a frame's neighbours.

A projection image is a sum of attenuations, so parts of it move apart: two layers are moved by fields of
their own and added in the logarithm.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meddenoise.series import Image

MARGIN = 16
"""Pixels on every side that a frame gives up: what moves in has to come from somewhere."""
STILL, LAYERED = 0.25, 0.4
"""Shares of sequences in which nothing moves, and of those that move in which a layer moves by itself."""
SHIFT, BEND = 1.5, 1.5
"""Means in pixels a frame of how far all of it moves, and of how much places differ."""
KNOTS = 4
"""Displacements along a side from which the field of a frame is interpolated."""


def make_sequence(frame: Image, other: Image, count: int, rng: np.random.Generator) -> Image:
    """`count` frames [count, H - 2 MARGIN, W - 2 MARGIN] whose middle one is the middle of `frame` [H, W].

    `other`, of the same shape, gives the structures of a second layer where there is one; values 0 to 255.
    """
    times = np.arange(count) - count // 2
    if rng.random() < STILL:
        return np.repeat(_inner(frame)[None], count, axis=0)
    layers = [np.log(np.maximum(frame, 1.0))]
    if rng.random() < LAYERED:
        layers.append(rng.uniform(0.2, 0.6) * _detail(np.log(np.maximum(other, 1.0))))
    moved = sum(_move(layer, times, rng) for layer in layers)
    values: Image = np.minimum(np.exp(moved), 255).astype(np.float32)
    if len(layers) == 1:  # the logarithm and back would only round it
        values[count // 2] = _inner(frame)
    return values


def _move(layer: Image, times: NDArray[np.int64], rng: np.random.Generator) -> Image:
    """`layer` [H, W] at `times`, where it is at time 0 as it is; [T, H - 2 MARGIN, W - 2 MARGIN]."""
    velocity = _field(layer.shape, rng)
    bend = 0.3 * _field(layer.shape, rng)
    frames = [layer if time == 0 else warp(layer, time * velocity + time**2 * bend) for time in times]
    return np.stack([_inner(frame) for frame in frames])


def _field(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """A smooth random displacement [2, H, W] in pixels (along x, along y), at most MARGIN / 2."""
    knots = rng.normal(0, rng.exponential(BEND), (1, 2, KNOTS, KNOTS))
    angle, size = rng.uniform(0, 2 * np.pi), rng.exponential(SHIFT)
    knots += size * np.array([np.cos(angle), np.sin(angle)])[None, :, None, None]
    smooth = functional.interpolate(
        torch.from_numpy(knots).float(), shape, mode="bicubic", align_corners=True
    )
    return smooth[0].clamp(-MARGIN / 2, MARGIN / 2)


def warp(layer: Image, field: Tensor) -> Image:
    """`layer` [H, W] with its values taken from places moved by `field` [2, H, W] (x, y), in pixels."""
    height, width = layer.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([(x + field[0]) * 2 / (width - 1) - 1, (y + field[1]) * 2 / (height - 1) - 1], dim=-1)
    image = torch.from_numpy(np.ascontiguousarray(layer, np.float32))[None, None]
    warped = functional.grid_sample(
        image, place[None], mode="bicubic", padding_mode="reflection", align_corners=True
    )
    moved: Image = warped[0, 0].numpy()
    return moved


def _detail(layer: Image) -> Image:
    """The part of a layer finer than a quarter of it: vessels, wires, ribs; not its brightness."""
    image = torch.from_numpy(np.ascontiguousarray(layer, np.float32))[None, None]
    coarse = functional.interpolate(image, (4, 4), mode="area")
    smooth = functional.interpolate(coarse, layer.shape, mode="bicubic", align_corners=False)
    detail: Image = (image - smooth)[0, 0].numpy()
    return detail


def _inner(frame: Image) -> Image:
    return frame[MARGIN:-MARGIN, MARGIN:-MARGIN]

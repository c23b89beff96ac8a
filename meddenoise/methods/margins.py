"""Planes mirrored beyond their borders, for networks that take the zeros there for values."""

from torch import Tensor
from torch.nn import functional

MARGIN = 16
"""Pixels that planes are mirrored by on every side."""


def widen(planes: Tensor) -> Tensor:
    """`planes` [B, C, H, W] with MARGIN more pixels on every side."""
    mode = "reflect" if min(planes.shape[-2:]) > MARGIN else "replicate"
    return functional.pad(planes, (MARGIN,) * 4, mode=mode)


def narrow(planes: Tensor) -> Tensor:
    """`planes` without what `widen` added."""
    return planes[..., MARGIN:-MARGIN, MARGIN:-MARGIN]

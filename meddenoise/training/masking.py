"""Pixels whose values a condition must not have seen: random boxes, filled from around them."""

import torch
from torch import Tensor
from torch.nn import functional


def draw_centres(shape: torch.Size, rho: int, share: float, generator: torch.Generator) -> Tensor:
    """Random box centres, boolean [B, 1, H, W]; their boxes of (2 rho + 1)^2 cover about `share` of it."""
    return torch.rand(shape, generator=generator) < share / (2 * rho + 1) ** 2


def fill_boxes(noisy: Tensor, centres: Tensor, rho: int) -> Tensor:
    """`noisy` [B, 1, H, W] with the box around every centre replaced by the mean of unmasked pixels near it.

    Never by the value of a masked one, so that what is computed from the result is independent of the noise
    at the centres.
    """
    mask = functional.max_pool2d(centres.float(), 2 * rho + 1, stride=1, padding=rho)
    kept = 1 - mask
    near = _mean_of_kept(noisy, kept, 2 * rho + 5)
    far = _mean_of_kept(noisy, kept, 8 * rho + 17)
    filling = torch.where(near.isfinite(), near, torch.where(far.isfinite(), far, torch.zeros_like(far)))
    return torch.where(mask > 0, filling, noisy)


def _mean_of_kept(noisy: Tensor, kept: Tensor, side: int) -> Tensor:
    """Mean of the kept pixels in a window; not finite where there is none."""
    total, count = (_box(x, side) for x in (noisy * kept, kept))
    return torch.where(count > 0.5, total / count.round().clamp(min=1), torch.full_like(total, torch.nan))


def _box(x: Tensor, side: int) -> Tensor:
    """Sums over windows of side x side pixels, zeros outside."""
    pad = side // 2
    rows = functional.avg_pool2d(x, (side, 1), stride=1, padding=(pad, 0)) * side
    return functional.avg_pool2d(rows, (1, side), stride=1, padding=(0, pad)) * side

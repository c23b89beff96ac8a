"""A small network that reads the noise of a plane: level, spectrum, where it is, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.networks.trunk import compand, pad_to
from meddenoise.noise.cells import CELLS, cell_shares

CELL = 8
"""Pixels along one side of a cell of the coarse grid."""
QUIET = 0.25
"""Quantile of the cells' differences that is the unit of the input: near the noise in most images."""
SURELY_SEEN = 5e-4
"""Noise below this share of the plane's range counts as this much: less cannot be told from none."""
SIGNALS = (2.0, 8.0, 32.0)
"""Brightness, in units of the input, at which its closeness to a physical zero is given as one half."""


class Reading(NamedTuple):
    """The noise of planes [B]; logarithms are natural and of values in the plane's own units.

    `level` [B] log sigma; `local` [B, 1, h, w] log of the local sigma by cells of CELL pixels; `spectrum`
    [B, K] log amplitude by frequency cell, relative to white noise; `error` [B] log of the error in `level`
    to be expected; `rician` [B] logit of Rician noise; `floor` [B] the log level that stands for none.
    """

    level: Tensor
    local: Tensor
    spectrum: Tensor
    error: Tensor
    rician: Tensor
    floor: Tensor


class NoiseLevelNet(nn.Module):
    """Level, spectrum and place of the noise of planes, exactly equivariant to offset and scale.

    A plane enters through kernels that sum to zero and is divided by how much its quiet cells differ from
    pixel to pixel, so that a x + b gives log(a) more in every level and the same spectrum. Cells of CELL
    pixels are then weighed by attention, so that flat places tell the noise; invalid cells have no weight.

    Plain 3x3 convolutions with ReLU after a pixel-unshuffle, as `NoiseUNet` has them.
    """

    def __init__(
        self,
        channels: Sequence[int] = (48, 80),
        blocks: Sequence[int] = (1, 1),
        views: int = 4,
        hidden: int = 192,
    ) -> None:
        """`channels` and `blocks`: of the grids of 4 and of CELL pixels; `views`: maps of attention."""
        super().__init__()
        first, last = channels
        self.head = nn.Conv2d(16, first, 3, bias=False)
        self.floor = nn.Conv2d(len(SIGNALS), first, 1, bias=False)
        self.told = nn.Linear(2, first)
        self.fine = nn.ModuleList([_Block(first) for _ in range(blocks[0])])
        self.down = nn.Conv2d(first, last, 2, stride=2)
        self.coarse = nn.ModuleList([_Block(last) for _ in range(blocks[1])])
        self.tail = nn.Conv2d(last, views + 1, 1)
        self.hidden = nn.Linear(views * last + 2, hidden)
        self.last = nn.Linear(hidden, CELLS + 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor, valid: Tensor, zero: Tensor) -> Reading:
        """The reading of planes.

        image: [B, 1, H, W] float32, at least CELL pixels a side; valid: the same, 1 where pixels count and
        0 elsewhere; zero: [B], 1 where the image's 0 may be a physical floor (magnitude MR), else 0.
        """
        image, valid = pad_to(image, CELL), pad_to(valid, CELL, mode="constant")
        with torch.autocast(image.device.type, enabled=False):
            cells = usable_cells(valid)
            unit, span = scales(image, cells)
            steps, floor = self._enter(image, unit, zero)
            known = torch.stack([torch.log(span / unit) / 4, zero], dim=1)
        dtype = self.down.weight.dtype
        told = self.told(known.to(dtype))[:, :, None, None]
        features = steps.to(dtype) + told + self.floor(floor.to(dtype))
        for block in self.fine:
            features = block(features)
        features = self.down(features)
        for block in self.coarse:
            features = block(features)
        return self._read(features, cells, known, torch.log(unit), torch.log(span * SURELY_SEEN))

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run the trunk in `dtype` (bfloat16); the entry and what is read off in the end stay float32."""
        self.to(dtype)
        for part in (self.head, self.tail, self.hidden, self.last):
            part.float()

    def _enter(self, image: Tensor, unit: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
        """Companded differences in units of `unit` [B, C, H/4, W/4], and how near to a physical zero."""
        kernel = self.head.weight.float()
        kernel = kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
        blocks = functional.pad(functional.pixel_unshuffle(image, 4), (1, 1, 1, 1), mode="replicate")
        blocks = blocks.contiguous(memory_format=torch.channels_last)
        unit = unit[:, None, None, None]
        steps = compand(functional.conv2d(blocks, kernel) / unit, 16.0)
        bright = functional.avg_pool2d(image, 4) / unit
        near = [1 / (1 + (bright / signal).square()) for signal in SIGNALS]
        return steps, torch.cat(near, dim=1) * zero[:, None, None, None]

    def _read(self, features: Tensor, cells: Tensor, known: Tensor, unit: Tensor, floor: Tensor) -> Reading:
        features = functional.relu(features).to(self.tail.weight.dtype)
        views, local = self.tail(features).float().split([self.tail.out_channels - 1, 1], dim=1)
        weights = views.masked_fill(~cells, -torch.inf).flatten(2).softmax(dim=2)
        seen = torch.einsum("bvn,bcn->bvc", weights, features.float().flatten(2))
        summary = torch.cat([torch.log(seen + 0.05).flatten(1), known], dim=1)
        hidden = functional.relu(self.hidden(summary.to(self.hidden.weight.dtype)))
        level, error, rician, spectrum = self.last(hidden).float().split([1, 1, 1, CELLS], dim=1)
        total = torch.logsumexp(2 * spectrum + spectrum.new_tensor(cell_shares()).log(), dim=1, keepdim=True)
        return Reading(
            level=level[:, 0] + unit,
            local=local + unit[:, None, None, None],
            spectrum=spectrum - total / 2,
            error=error[:, 0],
            rician=rician[:, 0],
            floor=floor,
        )


def usable_cells(valid: Tensor) -> Tensor:
    """True for cells [B, 1, h, w] of which all pixels are valid; the best ones where no cell is."""
    share = functional.avg_pool2d(valid, CELL)
    most = share.amax(dim=(2, 3), keepdim=True).clamp(max=0.99)
    return share >= most


def scales(image: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """The unit of the input and the range of planes [B, 1, H, W], both [B], positive.

    The unit is a low quantile, over usable cells that are not constant, of the root mean square difference
    between neighbours; white noise has its own sigma there.
    """
    right, below = image.diff(dim=3), image.diff(dim=2)
    power = functional.pad(right, (0, 1)).square() + functional.pad(below, (0, 0, 0, 1)).square()
    differ = functional.avg_pool2d(power, CELL) / 4
    unit = _quantile(differ, cells & (differ > 0), QUIET).sqrt()
    mean = functional.avg_pool2d(image, CELL // 2)
    fine = functional.interpolate(cells.float(), scale_factor=2) > 0.5
    span = _quantile(mean, fine, 0.99) - _quantile(mean, fine, 0.01)
    unit = torch.where(unit > 0, unit, torch.where(span > 0, span * SURELY_SEEN, torch.ones_like(unit)))
    return unit, torch.maximum(span, unit)


def _quantile(values: Tensor, chosen: Tensor, share: float) -> Tensor:
    """The value [B] below which `share` of the chosen ones are; 0 where none is chosen."""
    rows = values.flatten(1).masked_fill(~chosen.flatten(1), torch.inf).sort(dim=1).values
    count = chosen.flatten(1).sum(dim=1)
    place = ((count - 1).clamp(min=0) * share).round().long()
    found = rows.gather(1, place[:, None])[:, 0]
    return torch.where(count > 0, found, torch.zeros_like(found))


class _Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(functional.relu(self.first(x), inplace=True))
        return out

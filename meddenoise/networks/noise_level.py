"""A small network that reads the noise of a plane: level, spectrum, where it is, and how sure it is."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from meddenoise.networks.sizes import DEEPEST, WIDEST, check_sizes
from meddenoise.networks.trunk import Residual, compand, pad_to
from meddenoise.noise import SPECTRUM_EDGES
from meddenoise.noise.cells import CELLS, cell_shares

CELL = 8
"""Pixels along one side of a cell of the coarse grid."""
QUIET = 0.25
"""Quantile of the cells' differences that is the unit of the input: near the noise in most images."""
SURELY_SEEN = 5e-4
"""Noise below this share of the plane's range counts as this much: less cannot be distinguished from none."""
SIGNALS = (2.0, 8.0, 32.0)
"""Brightness, in units of the input, at which its closeness to a physical zero is given as one half."""
SHAPES = 24
"""Learned filters beside those of the spectrum."""
STRIP = 8
"""Rows of blocks whose spectra are computed at a time: of wide planes they stay in a core's own cache."""
LEAST_POWER = 1e-4
"""Added to powers in units of the input before a logarithm."""


class NoiseReading(NamedTuple):
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

    The plane is seen through blocks of two cells a side under a Hann window: their power in the cells of the
    spectrum, and what learned filters show, all without a mean and in units of the quiet cells' differences.
    So a x + b gives log(a) more in every level and the same spectrum. 3x3 convolutions over the blocks judge
    which of them hold noise and nothing else; the powers of these, by attention, are a first reading, and a
    small perceptron corrects it. Invalid blocks have no weight.
    """

    def __init__(self, channels: int = 64, blocks: int = 3, views: int = 4, hidden: int = 128) -> None:
        """`blocks`: residual blocks over the grid of cells; `views`: maps of attention.

        Raises UsageError for sizes that make no network.
        """
        check_sizes(1, WIDEST, channels=channels, views=views, hidden=hidden)
        check_sizes(1, DEEPEST, blocks=blocks)
        super().__init__()
        self.head = nn.Parameter(torch.randn(SHAPES, CELL**2, 2, 2) / (2 * CELL))
        self.floor = nn.Conv2d(CELLS + SHAPES + len(SIGNALS), channels, 1)
        self.told = nn.Linear(2, channels)
        self.trunk = nn.ModuleList([Residual(channels) for _ in range(blocks)])
        self.tail = nn.Conv2d(channels, views + 1, 1)
        seen = views * (channels + 2 * CELLS) + 2
        self.norm = nn.LayerNorm(seen)
        self.hidden = nn.Linear(seen, hidden)
        self.last = nn.Linear(hidden, CELLS + 3)
        for layer in (self.tail, self.last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor, valid: Tensor, zero: Tensor) -> NoiseReading:
        """The reading of planes.

        image: [B, 1, H, W] float32, at least two cells a side; valid: the same, 1 where pixels count and
        0 elsewhere; zero: [B], 1 where the image's 0 may be a physical floor (magnitude MR), else 0.
        """
        image, valid = pad_to(image, CELL), pad_to(valid, CELL, mode="constant")
        with torch.autocast(image.device.type, enabled=False):
            cells = usable_cells(valid)
            unit, span = scales(image, cells)
            power, shapes = self._enter(image, unit)
            bright = functional.avg_pool2d(image, CELL) / unit[:, None, None, None]
            near = [zero[:, None, None, None] / (1 + (bright / signal).square()) for signal in SIGNALS]
            entered = torch.cat([torch.log(power + LEAST_POWER), shapes, *near], dim=1)
            known = torch.stack([torch.log(span / unit) / 4, zero], dim=1)
        dtype = self.floor.weight.dtype
        features = self.floor(entered.to(dtype)) + self.told(known.to(dtype))[:, :, None, None]
        for block in self.trunk:
            features = block(features)
        seen = functional.relu(features).to(self.tail.weight.dtype)
        return self._read(seen, power, _whole_blocks(cells), known, (unit, span))

    def lower_trunk(self, dtype: torch.dtype) -> None:
        """Run the trunk in `dtype` (bfloat16); the entry and what is read off in the end stay float32."""
        for part in (self.floor, self.told, self.trunk):
            part.to(dtype)

    def _enter(self, image: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Power [B, CELLS, h, w] of each block, 1 for white noise of one unit, and companded shapes."""
        head = self.head - self.head.mean(dim=(1, 2, 3), keepdim=True)
        # The last blocks see their cell twice.
        image = torch.cat([image, image[..., -CELL:, :]], dim=2)
        image = torch.cat([image, image[..., -CELL:]], dim=3)
        grid = functional.pixel_unshuffle(image, CELL).contiguous(memory_format=torch.channels_last)
        scale = unit[:, None, None, None]
        return _block_power(image) / scale.square(), compand(functional.conv2d(grid, head) / scale, 4.0)

    def _read(
        self, seen: Tensor, power: Tensor, blocks: Tensor, known: Tensor, scale: tuple[Tensor, Tensor]
    ) -> NoiseReading:
        views, local = self.tail(seen).float().split([self.tail.out_channels - 1, 1], dim=1)
        weights = views.masked_fill(~blocks, -torch.inf).flatten(2).softmax(dim=2)
        mean = torch.einsum("bvn,bcn->bvc", weights, power.flatten(2)) + LEAST_POWER
        logs = torch.einsum("bvn,bcn->bvc", weights, torch.log(power + LEAST_POWER).flatten(2))
        found = torch.einsum("bvn,bcn->bvc", weights, seen.float().flatten(2))
        parts = [part.flatten(1) for part in (mean.log(), logs, torch.log(found + 0.05))]
        summary = self.norm(torch.cat([*parts, known], dim=1))
        hidden = functional.silu(self.hidden(summary))
        level, error, rician, spectrum = self.last(hidden).split([1, 1, 1, CELLS], dim=1)
        shares = spectrum.new_tensor(cell_shares())
        first = mean[:, 0]
        spectrum = spectrum + first.log() / 2
        spectrum = spectrum - torch.logsumexp(2 * spectrum + shares.log(), dim=1, keepdim=True) / 2
        unit, span = scale
        level = level[:, 0] + torch.log(first @ shares) / 2 + unit.log()
        return NoiseReading(
            level=level,
            local=local + level[:, None, None, None],
            spectrum=spectrum,
            error=error[:, 0],
            rician=rician[:, 0],
            floor=torch.log(span * SURELY_SEEN),
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
    unit = _quantiles(differ, cells & (differ > 0), (QUIET,))[0].sqrt()
    mean = functional.avg_pool2d(image, CELL // 2)
    fine = functional.interpolate(cells.float(), scale_factor=2) > 0.5
    low, high = _quantiles(mean, fine, (0.01, 0.99))
    span = high - low
    unit = torch.where(unit > 0, unit, torch.where(span > 0, span * SURELY_SEEN, torch.ones_like(unit)))
    return unit, torch.maximum(span, unit)


def _whole_blocks(cells: Tensor) -> Tensor:
    """True where a block of two cells a side is usable; where none is, that of the usable cells."""
    last = functional.pad(cells.float(), (0, 1, 0, 1))
    whole = -functional.max_pool2d(-last, 2, stride=1) > 0.5
    return torch.where(whole.any(dim=(2, 3), keepdim=True), whole, cells)


def _quantiles(values: Tensor, chosen: Tensor, shares: Sequence[float]) -> list[Tensor]:
    """For each share the value [B] below which it is, of the chosen ones; 0 where none is chosen."""
    rows = values.flatten(1).masked_fill(~chosen.flatten(1), torch.inf).sort(dim=1).values
    count = chosen.flatten(1).sum(dim=1)
    places = [((count - 1).clamp(min=0) * share).round().long() for share in shares]
    found = [rows.gather(1, place[:, None])[:, 0] for place in places]
    return [torch.where(count > 0, value, torch.zeros_like(value)) for value in found]


def _block_power(image: Tensor) -> Tensor:
    """Power [B, CELLS, h, w] in each cell of the spectrum, of the blocks of planes [B, 1, H, W]."""
    window, weights = (part.to(image.device) for part in _spectrum())
    side, found = 2 * CELL, []
    for start in range(0, image.shape[2] - CELL, STRIP * CELL):
        strip = image[:, 0, start : start + (STRIP + 1) * CELL]
        blocks = strip.unfold(1, side, CELL).unfold(2, side, CELL)
        blocks = (blocks - blocks.mean(dim=(-2, -1), keepdim=True)) * window
        squares = torch.view_as_real(torch.fft.rfft2(blocks)).square()
        found.append(squares.flatten(3) @ weights)
    return torch.cat(found, dim=1).permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # kept from one call to the next, and trained through
def _spectrum() -> tuple[Tensor, Tensor]:
    """Hann window [2 CELL, 2 CELL] of a block, and the weights [N, CELLS] of the squares of the real and
    imaginary parts of its `rfft2` in the power of each cell of the spectrum, 1 for white noise of variance 1.

    The lowest band holds no wave of a block; it is given the power of the lowest ones there are.
    """
    side = 2 * CELL
    hann = torch.hann_window(side + 2, periodic=False, dtype=torch.float64)[1:-1]
    window = hann[:, None] * hann
    # The mean of a block is taken off, and with it some of the power of white noise.
    energy = window.square().sum() - torch.fft.rfft2(window).abs().square() / side**2
    fy, fx = torch.fft.fftfreq(side).abs()[:, None], torch.fft.rfftfreq(side)[None, :]
    radial = torch.bucketize(torch.hypot(fy, fx), torch.tensor(SPECTRUM_EDGES[1:-1]), right=True).clamp(min=1)
    once = torch.ones(side, CELL + 1, dtype=torch.float64)
    once[0, 0] = 0
    once[CELL + 1 :, [0, -1]] = 0  # the same waves as at the positive frequencies
    weights = functional.one_hot(2 * radial + (fy > fx), CELLS) * once[..., None]
    weights[..., :2] = weights[..., 2:4]
    weights /= (weights * energy[..., None]).sum(dim=(0, 1))
    return window.float(), weights.flatten(0, 1).repeat_interleave(2, dim=0).float()

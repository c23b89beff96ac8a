"""Structure in what a network removed, to be put back: noise has none.

Of a pattern fainter than the noise at every pixel (the ringing of an edge, a fine texture) a network removes
what it does not know. In what was removed it stands out all the same, as few large coefficients of a cosine
transform among many small ones. Source: the method noise of Buades, Coll, Morel 2005 (Multiscale Model.
Simul. 4(2)), thresholded as in Shreyamsha Kumar 2013 (SIViP 7(6)), in blocks as in Yu, Sapiro 2011 (IPOL 1).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 16
"""Pixels of a block along each side."""
LARGE = 320**2
"""Pixels of a plane from which on time counts for more than the last tenth of a dB."""
FINE, COARSE = (4, 4.0), (8, 4.5)
"""Pixels between blocks, and the standard deviations of the noise above which a coefficient is structure, of
planes up to `LARGE` and larger ones: fewer blocks average less of what noise alone brings about."""
RINGS = SECTORS = 3
"""Parts of the frequencies in which a block has a level of its own: noise may be streaky in places."""
SAMPLE = 1000
"""Blocks that are looked at for the spectrum of the noise."""
QUANTILE, SMOOTH = 0.35, 3
"""Of these blocks, the one that tells, as most may have waves; and frequencies the median is taken over."""
AROUND = 5
"""Blocks over which the levels of these parts are averaged, along each side."""
EMPTY = 0.1
"""Level below which a block counts as empty, relative to the noisiest ones."""
_MEDIAN = 0.6745
"""Median of the magnitude of normal values of standard deviation 1."""


def recovered(removed: Tensor) -> Tensor:
    """The structure in `removed` [B, 1, H, W], what was taken off noisy planes, in its units.

    How much noise there is, of what spectrum and where, is read from the planes themselves: their medians do
    not see structure that is sparse. Nothing is found in planes smaller than two blocks.
    """
    if min(removed.shape[-2:]) < 2 * SIDE:
        return torch.zeros_like(removed)
    return torch.stack([_of_plane(plane[None].float()) for plane in removed]).to(removed.dtype)


def _of_plane(removed: Tensor) -> Tensor:
    """The same of one plane [1, 1, H, W], as [1, H, W]."""
    height, width = removed.shape[-2:]
    step, threshold = FINE if height * width <= LARGE else COARSE
    over = [-(length + SIDE) % step for length in (height, width)]
    padded = functional.pad(removed, (SIDE, SIDE + over[1], SIDE, SIDE + over[0]), mode="reflect")
    size = padded.shape[-2], padded.shape[-1]
    grid = [(length - SIDE) // step + 1 for length in size]
    basis = _basis(removed.device)
    waves = functional.unfold(padded, SIDE, stride=step)[0].T @ basis.T  # [blocks, SIDE * SIDE]
    waves = torch.where(_is_structure(waves, (grid[0], grid[1]), threshold), waves, 0.0)
    found = functional.fold((waves @ basis).T[None], size, SIDE, stride=step)
    blocks = waves.new_ones(1, SIDE * SIDE, len(waves))
    found = found / functional.fold(blocks, size, SIDE, stride=step).clamp(min=1)
    return found[0, :, SIDE : SIDE + height, SIDE : SIDE + width]


def _is_structure(waves: Tensor, grid: tuple[int, int], threshold: float) -> Tensor:
    """Mask of the coefficients [blocks, SIDE * SIDE] above the noise of their block and frequency.

    The blocks are on a `grid` of rows and columns; `threshold` is in standard deviations of that noise.
    """
    size = waves.abs()
    some = size[:: max(1, len(size) // SAMPLE)]
    level = some[:, 1:].median(dim=1).values
    noisy = level > EMPTY * level.quantile(0.95)
    if not bool(noisy.any()):
        return torch.zeros_like(waves, dtype=torch.bool)
    size /= _spectrum(some[noisy] / level[noisy, None])
    parts = [size[:, part] for part in _parts()]
    levels = torch.stack([part.median(dim=1).values for part in parts], dim=1)
    whole = levels.median(dim=1).values
    near = functional.avg_pool2d(
        levels.T.reshape(len(parts), 1, *grid), AROUND, 1, AROUND // 2, count_include_pad=False
    ).reshape(len(parts), -1)
    found = torch.zeros_like(waves, dtype=torch.bool)
    for indices, part, own in zip(_parts(), parts, near, strict=True):
        found[:, indices] = part > threshold / _MEDIAN * torch.maximum(whole, own)[:, None]
    found[:, 0] = False  # means stay: `lost_mean`
    return found


def _spectrum(size: Tensor) -> Tensor:
    """Amplitude of the noise at each of the frequencies [SIDE * SIDE], from blocks of one level.

    It is smooth: what sticks out at one frequency is of waves that go through much of the plane.
    """
    low = size.kthvalue(max(1, round(QUANTILE * len(size))), dim=0).values.reshape(1, 1, SIDE, SIDE)
    padded = functional.pad(low, (SMOOTH // 2,) * 4, mode="replicate")
    smooth = functional.unfold(padded, SMOOTH)[0].median(dim=0).values
    return smooth.clamp(min=1e-6)


@lru_cache(maxsize=4)
def _basis(device: torch.device) -> Tensor:
    """The cosine transform of blocks [SIDE * SIDE, SIDE * SIDE]: orthogonal."""
    steps = torch.arange(SIDE, dtype=torch.float32)
    k, n = steps[:, None], steps[None]
    line = torch.cos(torch.pi * (2 * n + 1) * k / (2 * SIDE)) * (2 / SIDE) ** 0.5
    line[0] /= 2**0.5
    return torch.kron(line, line).to(device)


@lru_cache(maxsize=1)
def _parts() -> list[Tensor]:
    """Indices of the coefficients in each ring and sector."""
    v, u = (torch.arange(SIDE * SIDE) // SIDE).float(), (torch.arange(SIDE * SIDE) % SIDE).float()
    ring = (torch.hypot(u, v) / SIDE * RINGS).long().clamp(max=RINGS - 1)
    sector = (torch.atan2(v, u) / (torch.pi / 2) * SECTORS).long().clamp(max=SECTORS - 1)
    return [torch.nonzero(ring * SECTORS + sector == part)[:, 0] for part in range(RINGS * SECTORS)]

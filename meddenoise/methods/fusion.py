"""The last step of blind denoising: bring back what the noisy image still knows of the clean one.

A blind estimate never uses the pixel it estimates. What differs between the two, y - mean, is noise plus what
the estimate misses; where its local power is more than the noise accounts for, that share is signal:

    x = mean + sum over bands k of w_k (y - mean)_k        w_k = (V_k - N_k) / V_k, at least 0

V_k is the local mean square of band k in units of the noise, N_k what the noise has there. White noise has
one band, and this is the posterior mean (N mean + S y) / (N + S), S = V - N; correlated noise four.

Source: Laine et al. 2019, NeurIPS (posterior mean of a blind-spot network, arXiv 1901.10277); local Wiener
weights as in Lee 1980, IEEE TPAMI 2(2).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import blind_radius, spectrum_of
from meddenoise.noise.spectrum import mean_power, radial_frequency

WHITE_WINDOW, COLOURED_WINDOW = 6.0, 8.0
"""Standard deviation, in pixels, of the Gaussian windows in which powers are measured. Of 3 to 20, the best
on real images with blind estimates of small networks and of regressions, noise of 6 to 50 255ths."""
TINY = 1e-20
"""Power, in units of the noise, below which differences have no meaning."""
CERTAIN = 1e6
"""A change of this many sigmas is no noise, and its square still a number."""
MARGIN = 0.5
"""Chance excess of the power of pure noise that is not taken for signal, in standard deviations."""
CENTRES = (0.0625, 0.1875, 0.3125, 0.5)
"""Frequencies, cycles a pixel, at which one band is alone; between two of them they cross over."""

KINK = 4
"""Pixels from the border within which mirroring adds kinks to the finest band."""

_GRID = 128
_SEAM = 32


def fuse(
    noisy: Tensor,
    mean: Tensor,
    sigma: Tensor,
    bands: Tensor,
    *,
    leak: float = 0.0,
    window: float | None = None,
) -> Tensor:
    """Clean [B, 1, H, W] from `noisy` and a blind estimate `mean`, both [B, 1, H, W] in image units.

    `sigma` [B, 1, H, W] is the noise level in the same units; where it is 0 the result is `noisy`. `bands`
    [B, K] is the noise spectrum as in `NoiseEstimate.bands`, all zero where it is unknown, which is taken as
    white. `leak` is the share of a pixel's own noise in `mean` (0: blind), in 0..1. `window` is the standard
    deviation in pixels of the window of local powers, infinite for one power a plane; None for the measured
    best. Plane b of the result depends on planes b alone; equivariant to offset and scale.
    """
    planes = []
    for plane in range(len(noisy)):
        one = slice(plane, plane + 1)
        split = _split(noisy[one], mean[one], sigma[one], bands[plane])
        change = (split.parts * _weights(split, leak, window)).sum(dim=1, keepdim=True)
        planes.append(torch.where(split.valid, mean[one] + sigma[one] * change, noisy[one]))
    return torch.cat(planes)


def fusion_weight(noisy: Tensor, mean: Tensor, sigma: Tensor, bands: Tensor, *, leak: float = 0.0) -> Tensor:
    """The share [B] of a pixel's own noise that `fuse` brings back on average: its best leak, 0..1."""
    shares = []
    for plane in range(len(noisy)):
        one = slice(plane, plane + 1)
        split = _split(noisy[one], mean[one], sigma[one], bands[plane])
        weights = _weights(split, leak, None)
        own = (weights * split.area).sum(dim=1, keepdim=True)
        own = leak + (1 - leak) * own
        shares.append(own[split.valid].mean() if split.valid.any() else own.new_zeros(()))
    return torch.stack(shares)


@dataclass(frozen=True, slots=True)
class _Bank:
    """K bands, of given centres, in noise of one spectrum; arrays of length K."""

    centres: tuple[float, ...]
    power: NDArray[np.float64]
    """Mean square of unit noise in each band."""
    freedom: NDArray[np.float64]
    """Share of pixels that are independent in each band of the noise."""
    area: NDArray[np.float64]
    """Weight of the own pixel in each band; they sum to 1."""


@dataclass(frozen=True, slots=True)
class _Split:
    """The change of one plane in units of the noise: `parts` [1, K, H, W], which sum to it.

    `valid` [1, 1, H, W] is True where there is noise, `measured` [1, K, H, W] is 1 where the power of a band
    is its own, else 0. The others are [1, K, 1, 1], as in `_Bank`.
    """

    parts: Tensor
    valid: Tensor
    measured: Tensor
    power: Tensor
    freedom: Tensor
    area: Tensor
    window: float


def _split(noisy: Tensor, mean: Tensor, sigma: Tensor, bands: Tensor) -> _Split:
    valid = sigma > 0
    change = torch.where(valid, (noisy - mean) / torch.where(valid, sigma, 1), 0)
    bank = _bank(tuple(bands.tolist()))
    single = len(bank.centres) == 1
    parts = change if single else _filter(change, bank.centres)
    measured = valid.to(parts.dtype).repeat(1, parts.shape[1], 1, 1)
    if not single and min(noisy.shape[-2:]) > 4 * KINK:
        measured[:, -1:] *= functional.pad(measured[:, -1:, KINK:-KINK, KINK:-KINK], (KINK,) * 4)
    power, freedom, area = (
        torch.as_tensor(part, dtype=noisy.dtype, device=noisy.device).reshape(1, -1, 1, 1)
        for part in (bank.power, bank.freedom, bank.area)
    )
    window = WHITE_WINDOW if single else COLOURED_WINDOW
    return _Split(parts, valid, measured, power, freedom, area, window)


def _weights(split: _Split, leak: float, window: float | None) -> Tensor:
    """The weight [1, K, H, W] of each band of the change, 0..1.

    With a leak l of the mean, y - mean holds 1 - l of the noise, and l of the weight is spent already.
    """
    width = split.window if window is None else window
    local = _local_mean(split.parts.clamp(-CERTAIN, CERTAIN).square(), split.measured, width)
    count = min(4 * np.pi * width**2, max(float(split.valid.sum()), 1.0))
    chance = (2 / (count * split.freedom)).sqrt()
    noise = split.power * (1 - leak) ** 2 * (1 + MARGIN * chance)
    weight = 1 - noise / torch.maximum(local, noise).clamp(min=TINY)
    return ((weight - leak) / max(1 - leak, 1e-6)).clamp(min=0)


def _local_mean(values: Tensor, measured: Tensor, width: float) -> Tensor:
    """Gaussian-weighted mean of `values` [1, K, H, W] where `measured` [1, K, H, W] is 1, else 0."""
    if width == float("inf"):
        total = measured.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        return (values * measured).sum(dim=(2, 3), keepdim=True) / total
    return _blur(values * measured, width) / _blur(measured, width).clamp(min=1e-12)


def _blur(planes: Tensor, width: float) -> Tensor:
    """`planes` [1, K, H, W] under a Gaussian of standard deviation `width`; zeros beyond the border."""
    reach = int(3.5 * width) + 1
    t = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-0.5 * (t / width) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1, 1)
    columns = planes.transpose(0, 1)
    columns = functional.conv2d(columns, kernel, padding=(reach, 0))
    return functional.conv2d(columns, kernel.transpose(2, 3), padding=(0, reach)).transpose(0, 1)


def _filter(change: Tensor, centres: tuple[float, ...]) -> Tensor:
    """The bands [1, K, H, W] of a plane [1, 1, H, W], mirrored at its borders so that nothing wraps."""
    height, width = change.shape[-2:]
    down, right = min(_SEAM, height - 1), min(_SEAM, width - 1)
    padded = functional.pad(change, (right, right, down, down), mode="reflect")
    shape = (padded.shape[-2], padded.shape[-1])
    transfer = torch.as_tensor(_transfer(centres, shape), dtype=change.dtype, device=change.device)
    parts: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=shape)
    return parts[..., down : down + height, right : right + width]


@lru_cache(maxsize=64)
def _bank(bands: tuple[float, ...]) -> _Bank:
    noise = NoiseEstimate(1.0, bands)
    centres = CENTRES[:1] if blind_radius(noise) == 0 else CENTRES
    if len(centres) == 1:
        return _Bank(centres, np.ones(1), np.ones(1), np.ones(1))
    amplitude = spectrum_of(noise)(radial_frequency(_GRID, _GRID))
    inside = [amplitude * part for part in _transfer(centres, (_GRID, _GRID))]
    power = np.array([mean_power(part, _GRID) for part in inside])
    fourth = np.array([mean_power(part**2, _GRID) for part in inside])
    area = [mean_power(np.sqrt(part), _GRID) for part in _transfer(centres, (_GRID, _GRID))]
    return _Bank(centres, power / mean_power(amplitude, _GRID), power**2 / fourth, np.array(area))


@lru_cache(maxsize=8)
def _transfer(centres: tuple[float, ...], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Transfer function of each band [K, H, W // 2 + 1]: raised cosines that sum to 1."""
    f = radial_frequency(*shape)
    place = np.interp(f, centres, np.arange(len(centres)))
    each = np.arange(len(centres))[:, None, None]
    return (np.cos(np.clip(place - each, -1, 1) * (np.pi / 2)) ** 2).astype(np.float32)

"""Classical methods: each a filter of `meddenoise.methods.filters` made to keep the Denoiser contract.

Every plane is brought to zero mean and unit noise in float64 before its filter sees it, which makes every
method equivariant to shift and scale by construction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meddenoise.methods import Setup
from meddenoise.methods.filters import bm3d, gaussian, median, nlm, require_bm3d, tv, wavelet
from meddenoise.noise import WHITE, NoiseEstimate

Plane = NDArray[np.float64]
Filter = Callable[[Plane, tuple[float, ...]], Plane]
"""A plane [H, W] with noise of standard deviation 1 and its band amplitudes -> the clean plane."""

_SMALLEST_SIDE = 16
"""Smaller planes are mirrored up to this, so that every window and block fits."""
_LEVEL_STEP = 0.25
"""A noise map is cut into levels at most this share of its maximum apart."""


@dataclass(frozen=True, slots=True)
class Classical:
    """A method without weights: one filter, whole planes. `ready` raises where a package is missing."""

    name: str
    filter: Filter
    ready: Callable[[], None] | None = None
    uses_weights: bool = False
    tile: int | None = None

    def load(self, setup: Setup) -> "PlaneDenoiser":
        """The denoiser; the spectrum of `setup.noise` is told to the filter, its level is not."""
        if self.ready is not None:
            self.ready()
        return PlaneDenoiser(self.filter, WHITE if setup.noise is None else setup.noise.bands)


@dataclass(frozen=True, slots=True)
class PlaneDenoiser:
    """A Denoiser that filters plane by plane on the CPU."""

    filter: Filter
    bands: tuple[float, ...]
    context: int = 0
    by_plane: tuple[tuple[float, ...], ...] = ()
    """The bands of each plane of a batch, where they are not all the same."""

    def for_planes(self, noise: Sequence[NoiseEstimate]) -> "PlaneDenoiser":
        """The same for a batch of planes with noise of these spectra."""
        return replace(self, by_plane=tuple(plane.bands for plane in noise))

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        planes = noisy[:, noisy.shape[1] // 2].detach().to("cpu", torch.float64).numpy()
        levels = sigma.detach().to("cpu", torch.float64).numpy()
        spectra = self.by_plane or (self.bands,) * len(planes)
        clean = [
            replace(self, bands=bands)._filtered(plane, level)
            for plane, level, bands in zip(planes, levels, spectra, strict=True)
        ]
        return torch.from_numpy(np.stack(clean))[:, None].to(noisy.device, noisy.dtype)

    def _filtered(self, plane: Plane, level: Plane) -> Plane:
        """The plane filtered for its noise level [] or map [1, H, W]."""
        return self._by_map(plane, level[0]) if level.ndim else self._at(plane, float(level))

    def _at(self, plane: Plane, sigma: float) -> Plane:
        """The plane filtered for one noise level."""
        if sigma <= 0:
            return plane
        mean = float(plane.mean())
        height, width = plane.shape
        missing = [(0, max(_SMALLEST_SIDE - side, 0)) for side in plane.shape]
        unit = np.pad((plane - mean) / sigma, missing, mode="symmetric")
        clean: Plane = self.filter(unit, self.bands)[:height, :width] * sigma + mean
        return clean

    def _by_map(self, plane: Plane, sigma: Plane) -> Plane:
        """The plane filtered at some levels of the map [H, W], interpolated pixel by pixel between them."""
        low, high = float(sigma.min()), float(sigma.max())
        if high - low <= 0.02 * high:
            return self._at(plane, high)
        levels = np.linspace(low, high, 1 + int(np.ceil((high - low) / (_LEVEL_STEP * high))))
        stack = np.stack([self._at(plane, float(level)) for level in levels])
        place = (sigma - low) / (levels[1] - levels[0])
        below = np.minimum(place.astype(int), len(levels) - 2)
        share = place - below
        rows, columns = np.indices(plane.shape)
        clean: Plane = (1 - share) * stack[below, rows, columns] + share * stack[below + 1, rows, columns]
        return clean


GAUSSIAN = Classical("gaussian", gaussian)
MEDIAN = Classical("median", median)
NLM = Classical("nlm", nlm)
TV = Classical("tv", tv)
WAVELET = Classical("wavelet", wavelet)
BM3D = Classical("bm3d", bm3d, ready=require_bm3d)

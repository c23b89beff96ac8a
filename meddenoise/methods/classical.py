"""Classical methods: each a filter made to keep the Denoiser contract.

Every plane is brought to zero mean and unit noise in float64 before its filter sees it, which makes every
method equivariant to shift and scale by construction.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from threading import Lock

import numpy as np
import torch
from scipy import fft, ndimage
from skimage.restoration import denoise_nl_means
from torch import Tensor

from meddenoise.errors import UsageError
from meddenoise.methods import Setup
from meddenoise.noise import BAND_EDGES, WHITE, NoiseEstimate
from meddenoise.series import Floats

Filter = Callable[[Floats, tuple[float, ...]], Floats]
"""A plane [H, W] with noise of standard deviation 1 and its band amplitudes -> the clean plane."""

_SMALLEST_SIDE = 16
"""Smaller planes are mirrored up to this, so that every window and block fits."""
_LEVEL_STEP = 0.25
"""A noise map is cut into levels at most this share of its maximum apart."""

_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
_SIZES = (3, 5, 7)
_PROBE_STEP = 0.1
"""Small beside the noise (1), large beside rounding and the grey levels of 8-bit images."""
_SPINS = 4
_TRAPZ = Lock()


@dataclass(frozen=True, slots=True)
class Classical:
    """A method without weights: one filter, whole planes. `ready` raises where a package is missing."""

    name: str
    filter: Filter
    ready: Callable[[], None] | None = None
    uses_weights: bool = False
    tile: int | None = None

    def load(self, setup: Setup) -> "PlaneDenoiser":
        """The denoiser; the filter is given the spectrum of `setup.noise`, not its level."""
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

    def _filtered(self, plane: Floats, level: Floats) -> Floats:
        """The plane filtered for its noise level [] or map [1, H, W]."""
        return self._by_map(plane, level[0]) if level.ndim else self._at(plane, float(level))

    def _at(self, plane: Floats, sigma: float) -> Floats:
        """The plane filtered for one noise level."""
        if sigma <= 0:
            return plane
        mean = float(plane.mean())
        height, width = plane.shape
        missing = [(0, max(_SMALLEST_SIDE - side, 0)) for side in plane.shape]
        unit = np.pad((plane - mean) / sigma, missing, mode="symmetric")
        clean: Floats = self.filter(unit, self.bands)[:height, :width] * sigma + mean
        return clean

    def _by_map(self, plane: Floats, sigma: Floats) -> Floats:
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
        clean: Floats = (1 - share) * stack[below, rows, columns] + share * stack[below + 1, rows, columns]
        return clean


def gaussian(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """Gaussian smoothing with the width of least estimated risk; no smoothing is among the choices."""

    def smoothing(width: float) -> Callable[[Floats], Floats]:
        return lambda image: ndimage.gaussian_filter(image, width)

    return _least_risk(plane, bands, [smoothing(width) for width in _WIDTHS])


def median(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """Median of 3 x 3, 5 x 5 or 7 x 7 pixels, or none, whichever has the least estimated risk."""

    def smoothing(size: int) -> Callable[[Floats], Floats]:
        return lambda image: ndimage.median_filter(image, size)

    return _least_risk(plane, bands, [smoothing(size) for size in _SIZES])


def nlm(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """Non-local means, 7 x 7 patches within 11 pixels, h = 0.6 sigma: 0.5 dB above h = 0.8 on CT and MR."""
    clean: Floats = denoise_nl_means(
        plane, patch_size=7, patch_distance=11, h=0.6, sigma=1.0, fast_mode=True, preserve_range=True
    )
    return clean


def tv(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """Total variation after Chambolle, weight 0.9 sigma.

    The library's own stopping rule ends up to 7 dB early on smooth images; this one does not.
    """
    from skimage.restoration import denoise_tv_chambolle

    chambolle: Callable[..., Floats] = denoise_tv_chambolle
    return chambolle(plane, weight=0.9, eps=2e-5, max_num_iter=500)


def wavelet(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """BayesShrink soft thresholds on a Haar transform, averaged over 4 x 4 shifts."""
    from skimage.restoration import denoise_wavelet

    total = np.zeros_like(plane)
    for down in range(_SPINS):
        for right in range(_SPINS):
            shifted = np.roll(plane, (down, right), (0, 1))
            clean = denoise_wavelet(shifted, sigma=1.0, wavelet="haar", method="BayesShrink", mode="soft")
            total += np.roll(clean, (-down, -right), (0, 1))
    return total / _SPINS**2


def import_restoration() -> None:
    """Import what `tv` and `wavelet` need, before threads do: it takes most of a second."""
    import_module("skimage.restoration._denoise")


def bm3d(plane: Floats, bands: tuple[float, ...]) -> Floats:
    """BM3D, told the noise spectrum where it is not white."""
    return bm3d_coloured(plane, None if tuple(bands) == WHITE else noise_power(plane.shape, bands))


def bm3d_coloured(plane: Floats, power: Floats | None) -> Floats:
    """BM3D for unit noise with `power` at every frequency of an FFT of the plane, mean 1; None: white.

    One thread, as its sums otherwise change from run to run.
    """
    import bm3d as library

    profile = library.BM3DProfile()
    profile.num_threads = 1
    # Its block-matching thresholds are made for images from 0 to 1.
    low, high = np.percentile(plane, (0.1, 99.9))
    scale = 1 / max(float(high - low), 1.0)
    noise = scale if power is None else scale**2 * power * plane.size
    with _numpy_with_trapz():
        clean: Floats = library.bm3d((plane - low) * scale, noise, profile)
    restored: Floats = clean / scale + low
    return restored


def require_bm3d() -> None:
    """Raises UsageError where the package bm3d is not installed."""
    if find_spec("bm3d") is None:
        raise UsageError(
            "the method 'bm3d' needs the package bm3d, whose licence allows non-commercial use only: "
            "install it with pip install 'meddenoise[bm3d]', or choose the method nlm."
        )


def noise_power(shape: Sequence[int], bands: tuple[float, ...]) -> Floats:
    """Power of unit noise at every frequency of an FFT of `shape`, mean 1, from its band amplitudes."""
    rows, columns = (fft.fftfreq(side) for side in shape)
    centres = [(low + high) / 2 for low, high in pairwise(BAND_EDGES)]
    amplitude = np.interp(np.hypot(rows[:, None], columns), centres, bands)
    power: Floats = amplitude**2 / np.mean(amplitude**2)
    return power


def _least_risk(
    plane: Floats, bands: tuple[float, ...], filters: Sequence[Callable[[Floats], Floats]]
) -> Floats:
    """The output of the filter whose mean square error against the unknown clean image is least.

    Stein's unbiased estimate with one Monte Carlo probe drawn from the noise's own spectrum; the identity
    (risk 1) is among the candidates. Source: Ramani, Blu, Unser 2008, IEEE TIP 17(9), equation 14.
    """
    white = np.random.default_rng(0).standard_normal(plane.shape)
    probe = fft.ifft2(fft.fft2(white) * np.sqrt(noise_power(plane.shape, bands))).real
    probe /= np.sqrt(np.mean(probe**2))
    best, least = plane, 1.0
    for apply in filters:
        clean = apply(plane)
        slope = float(np.mean(probe * (apply(plane + _PROBE_STEP * probe) - clean))) / _PROBE_STEP
        risk = float(np.mean((plane - clean) ** 2)) - 1 + 2 * slope
        if risk < least:
            best, least = clean, risk
    return best


@contextmanager
def _numpy_with_trapz() -> Iterator[None]:
    """Gives numpy the name `trapz` back for a while: bm3d 4.0.3 calls it, NumPy 2.4 no longer has it."""
    with _TRAPZ:  # the engine filters several planes at a time
        missing = not hasattr(np, "trapz")
        if missing:
            setattr(np, "trapz", np.trapezoid)  # noqa: B010
        try:
            yield
        finally:
            if missing:
                delattr(np, "trapz")


GAUSSIAN = Classical("gaussian", gaussian)
MEDIAN = Classical("median", median)
NLM = Classical("nlm", nlm)
TV = Classical("tv", tv, import_restoration)
WAVELET = Classical("wavelet", wavelet, import_restoration)
BM3D = Classical("bm3d", bm3d, ready=require_bm3d)

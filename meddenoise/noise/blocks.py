"""Cut planes into small blocks and measure each: mean, spread and noise power in narrow radial rings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2
from scipy.ndimage import maximum_filter, minimum_filter

from meddenoise.series import Image, Mask

RING_EDGES = (0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.5, 0.7072)
"""Cycles a pixel; half the width of BAND_EDGES below 0.375. Detrending leaves nothing below the first."""
MAX_BLOCKS = 1200
"""Blocks measured in one plane: enough for a steady 3 % quantile, 40 ms."""
AT_ONCE = 64
"""Blocks measured at a time: of 32 x 32 pixels they stay in a core's own cache."""

CLIPPED = 0.01
"""Share of a plane at its lowest or highest value from which that value is a fill or a clip."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Measurements of n blocks of one size.

    `power` [n, rings] is the power in each ring of RING_EDGES, 1 for white noise of unit variance; `mean`
    and `std` are plain statistics of the pixels; `y` and `x` the block centres, in pixels; `step` the
    distance between blocks.
    """

    size: int
    step: int
    mean: Image
    std: Image
    power: Image
    y: Image
    x: Image

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def independent(self) -> float:
        """Number of blocks that would fit without overlap: how much the measurements are worth."""
        return len(self) * min(self.step / self.size, 1.0) ** 2

    def pick(self, chosen: Mask | NDArray[np.intp]) -> "Blocks":
        """Only the blocks that a mask [n] or indices choose."""
        return Blocks(self.size, self.step, *(part[chosen] for part in self._parts()))

    def _parts(self) -> tuple[Image, ...]:
        return self.mean, self.std, self.power, self.y, self.x


def measure_blocks(plane: Image, usable: Mask, size: int, brightness: Image | None = None) -> Blocks:
    """The blocks of a plane [Y, X] whose pixels are usable (99.5 % of them).

    Their means are those of `brightness` [Y, X] where it is given: what the signal is under a difference.
    """
    step = max(size // 4, round(np.sqrt(plane.size / MAX_BLOCKS)))
    share = _windows(usable, size, step).mean(axis=(2, 3))
    rows, columns = np.nonzero(share >= 0.995)
    windows = _windows(plane, size, step)
    mean, variance = (np.empty(len(rows), np.float32) for _ in range(2))
    power = np.empty((len(rows), len(RING_EDGES) - 1), np.float32)
    for start in range(0, len(rows), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        pixels = np.ascontiguousarray(windows[rows[some], columns[some]], np.float32).reshape(-1, size * size)
        mean[some] = pixels.mean(axis=1)
        pixels -= mean[some, None]
        variance[some] = np.einsum("np,np->n", pixels, pixels) / size**2
        power[some] = _ring_power(pixels, size)
    if brightness is not None:
        mean = _windows(brightness, size, step)[rows, columns].mean(axis=(1, 2), dtype=np.float32)
    return Blocks(
        size,
        step,
        mean,
        np.sqrt(variance),
        power / _white_response(size)[0],
        (rows * step + size / 2).astype(np.float32),
        (columns * step + size / 2).astype(np.float32),
    )


def ring_freedom(size: int) -> NDArray[np.float64]:
    """Degrees of freedom of the ring powers: in pure noise each is Gamma distributed with this shape."""
    return _white_response(size)[1]


@lru_cache
def ring_areas() -> NDArray[np.float64]:
    """Share of all frequencies that lie in each ring; the first also stands for everything below it."""
    f = np.fft.fftfreq(512)
    radius = np.hypot(f[:, None], f[None, :])
    counts = np.histogram(radius, (0.0, *RING_EDGES[1:]))[0]
    areas: NDArray[np.float64] = counts / counts.sum()
    areas.flags.writeable = False
    return areas


def usable_pixels(plane: Image, valid: Mask) -> Mask:
    """True where a pixel can carry noise: valid, not in a constant margin, mask or saturation."""
    usable = valid & np.isfinite(plane)
    usable &= ~_at_extreme(plane, usable, np.min)
    usable &= ~_at_extreme(plane, usable, np.max)
    # A scan circle filled with one value may lie inside padding filled with another.
    below = _at_extreme(plane, usable, np.min)
    if np.count_nonzero(below) <= CLIPPED * plane.size:
        return usable
    constant = maximum_filter(plane, 3) == minimum_filter(plane, 3)
    if np.count_nonzero(below & constant) > CLIPPED * plane.size:
        usable &= ~below
    return usable


def _at_extreme(plane: Image, usable: Mask, extreme: Callable[[Image], np.float32]) -> Mask:
    """True for usable pixels at the lowest or highest value, where too many are for it to be chance."""
    if not usable.any():
        return np.zeros(plane.shape, bool)
    at_level: Mask = usable & (plane == extreme(plane[usable]))
    return at_level & (np.count_nonzero(at_level) > CLIPPED * plane.size)


def _windows(array: NDArray[np.generic], size: int, step: int) -> NDArray[np.generic]:
    view: NDArray[np.generic] = np.lib.stride_tricks.sliding_window_view(array, (size, size))
    return view[::step, ::step]


def _ring_power(pixels: Image, size: int) -> Image:
    """Mean power in each ring of blocks [n, size²], plane-detrended under a Hann window; [n, rings]."""
    hann, basis, ring = _tools(size)
    x = pixels * hann
    x -= (pixels @ basis) @ basis.T
    spectrum = rfft2(x.reshape(-1, size, size), overwrite_x=True).reshape(len(pixels), -1)
    power = spectrum.real**2
    power += spectrum.imag**2
    return np.asarray(power @ ring, np.float32)


@lru_cache
def _tools(size: int) -> tuple[Image, Image, Image]:
    """Hann window [pixels], planes under it [pixels, 3], ring averages [frequencies, rings].

    The planes are orthonormal under the root of the window: fitted with the window as weights.
    """
    hann = np.hanning(size + 2)[1:-1]
    root = np.sqrt(np.outer(hann, hann)).ravel()
    t = (np.arange(size) - (size - 1) / 2) / size
    planes = np.stack([np.ones((size, size)), np.repeat(t[:, None], size, 1), np.repeat(t[None], size, 0)])
    basis = np.linalg.qr((planes.reshape(3, -1) * root).T)[0]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    times = np.full(radius.shape, 2.0)
    times[:, [0, -1]] = 1.0
    index = np.digitize(radius, RING_EDGES) - 1
    ring = np.stack([(times * (index == k)).ravel() for k in range(len(RING_EDGES) - 1)], axis=1)
    ring /= np.maximum(ring.sum(axis=0), 1)
    return (root**2).astype(np.float32), (basis * root[:, None]).astype(np.float32), ring.astype(np.float32)


@lru_cache
def _white_response(size: int) -> tuple[Image, NDArray[np.float64]]:
    """Mean ring power of unit white noise and its Gamma shape, measured once on 2000 fixed blocks."""
    noise = np.random.default_rng(0).standard_normal((2000, size * size), np.float32)
    power = _ring_power(noise, size).astype(np.float64)
    mean = power.mean(axis=0)
    return mean.astype(np.float32), mean**2 / power.var(axis=0)

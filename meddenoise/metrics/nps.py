"""The noise power spectrum in absolute units, and the numbers read from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.planes import paired_planes
from meddenoise.series import Floats, Mask, Numbers

PATCH, SMALLEST_PATCH = 64, 16
"""Sides of the patches: frequencies are 1 / side apart."""

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Nps:
    """Mean power of patches: `power` [P, P] in unit² mm², in the order of `numpy.fft.fftfreq`.

    `spacing_mm` is (row, column); frequencies are in cycles per millimetre, or per pixel where it is (1, 1).
    """

    power: Floats
    spacing_mm: tuple[float, float]
    patches: int

    @property
    def variance(self) -> float:
        """The integral over all frequencies: the variance of the detrended patches."""
        side = len(self.power)
        return float(self.power.sum()) / (side * side * self.spacing_mm[0] * self.spacing_mm[1])

    def radial(self) -> tuple[Floats, Floats]:
        """Frequencies up to Nyquist, and the mean power in a ring around each; without frequency 0."""
        side = len(self.power)
        down, right = (np.fft.fftfreq(side, step) for step in self.spacing_mm)
        step = 1 / (side * min(self.spacing_mm))
        ring = np.rint(np.hypot(down[:, None], right[None, :]) / step).astype(int).ravel()
        counts, sums = np.bincount(ring), np.bincount(ring, self.power.ravel())
        rings = np.arange(1, side // 2 + 1)
        rings = rings[counts[rings] > 0]
        frequency: Floats = rings * np.float64(step)
        return frequency, sums[rings] / counts[rings]


def measure_nps(
    planes: Iterable[tuple[Floats, Mask]], spacing_mm: tuple[float, float] | None, patch: int = PATCH
) -> Nps:
    """The spectrum of planes of noise [Y, X] from patches that overlap by half and lie inside the masks.

    A plane is taken out of each patch. NPS(f) = (dx dy / N²) <|FFT(patch)|²>; its integral is the variance.
    Where a plane is smaller than `patch` pixels, patches are the largest half of it that fits. Raises
    UndefinedError where no patch fits.
    Source: IEC 62220-1; ICRU report 87.
    """
    spacing = spacing_mm or (1.0, 1.0)
    power, count = np.zeros((0, 0)), 0
    for plane, mask in planes:
        side = len(power) or _side(plane.shape, patch)
        if side == 0:
            break
        whole = _patches(plane, side)[_patches(mask, side).all(axis=(1, 2))]
        if len(whole):
            waves = np.abs(np.fft.fft2(detrend(whole))) ** 2
            power = waves.sum(axis=0) + (power if count else 0.0)
            count += len(whole)
    if count == 0:
        raise UndefinedError(f"no patch of {SMALLEST_PATCH} pixels a side or more fits into the image")
    return Nps(power / count * spacing[0] * spacing[1] / power.size, spacing, count)


def patches_nps(patches: Floats, spacing_mm: tuple[float, float] | None) -> Nps:
    """The spectrum of detrended patches [n, side, side]."""
    spacing = spacing_mm or (1.0, 1.0)
    waves = np.square(np.abs(np.fft.fft2(patches))).mean(axis=0)
    return Nps(waves * spacing[0] * spacing[1] / waves.size, spacing, len(patches))


def average_nps(spectra: Sequence[Nps]) -> Nps:
    """The mean of spectra of patches of one size, each weighted by its number of patches."""
    count = sum(one.patches for one in spectra)
    power = sum((one.power * one.patches for one in spectra), np.zeros(spectra[0].power.shape)) / count
    return Nps(power, spectra[0].spacing_mm, count)


def detrend(patches: NDArray[np.floating]) -> Floats:
    """Patches [n, Y, X] less the plane that fits each best."""
    height, width = patches.shape[1:]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    basis = np.linalg.qr(np.stack([np.ones_like(y), y, x], -1).reshape(-1, 3))[0]
    flat = patches.reshape(len(patches), -1).astype(np.float64)
    less: Floats = (flat - (flat @ basis) @ basis.T).reshape(patches.shape)
    return less


def peak_frequency(nps: Nps) -> float:
    """The frequency of the highest ring. Raises UndefinedError where there is no power."""
    frequency, power = nps.radial()
    if not power.max(initial=0) > 0:
        raise UndefinedError("there is no noise")
    return float(frequency[power.argmax()])


def mean_frequency(nps: Nps) -> float:
    """The mean of the frequencies up to Nyquist, weighted by the radial power; about 0.26 if white.

    Raises UndefinedError where there is no power.
    """
    frequency, power = nps.radial()
    if not power.sum() > 0:
        raise UndefinedError("there is no noise")
    return float((frequency * power).sum() / power.sum())


def flatness(nps: Nps) -> float:
    """Geometric over arithmetic mean of the radial power, 1 for white noise, towards 0 for a pattern.

    Raises UndefinedError where there is no power.
    """
    _, power = nps.radial()
    if not power.sum() > 0:
        raise UndefinedError("there is no noise")
    return float(np.exp(np.log(np.maximum(power, 1e-12 * power.max())).mean()) / power.mean())


def nps_peak(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Frequency at which the spectrum of result minus reference is highest; UndefinedError where none is."""
    return peak_frequency(difference_nps(result, reference, protocol))


def nps_mean(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
    """Mean frequency of the spectrum of result minus reference; UndefinedError where there is none."""
    return mean_frequency(difference_nps(result, reference, protocol))


def difference_nps(result: Numbers, other: Numbers, protocol: Protocol) -> Nps:
    """The spectrum of result minus other. Raises UndefinedError where no patch fits."""
    planes = ((np.where(mask, x - y, 0.0), mask) for x, y, mask in paired_planes(result, other, protocol))
    return measure_nps(planes, protocol.spacing_mm)


def _side(shape: tuple[int, ...], patch: int) -> int:
    side = patch
    while side > min(shape):
        side //= 2
    return side if side >= SMALLEST_PATCH else 0


def _patches(plane: NDArray[_Pixel], side: int) -> NDArray[_Pixel]:
    """Patches from border to border that overlap by half or a little more, [n, side, side]."""
    rooms = [size - side for size in plane.shape]
    starts = [np.rint(np.linspace(0, room, -(-room // (side // 2)) + 1)).astype(int) for room in rooms]
    view: NDArray[_Pixel] = np.lib.stride_tricks.sliding_window_view(plane, (side, side))
    patches: NDArray[_Pixel] = view[np.ix_(*starts)].reshape(-1, side, side)
    return patches

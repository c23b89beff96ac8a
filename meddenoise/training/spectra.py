"""Noise amplitude spectra for training: drawn at random, measured in bands, and taken from estimates.

A spectrum is an array [H, W / 2 + 1], the amplitude at each frequency of `rfft2` relative to white noise.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from meddenoise.noise import BAND_EDGES, SPECTRUM_EDGES, WHITE, NoiseEstimate
from meddenoise.noise.correlation import spectrum_of
from meddenoise.noise.spectrum import (
    Amplitude,
    ct_amplitude,
    detector_mtf,
    fading_edge,
    filter_planes,
    gaussian_amplitude,
    radial_frequency,
    unit_gain,
)
from meddenoise.series import Image


@lru_cache(maxsize=8)
def _frequencies(shape: tuple[int, int]) -> tuple[Image, Image]:
    fy = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    return fy, fx


@lru_cache(maxsize=8)
def white_spectrum(shape: tuple[int, int]) -> Image:
    """The amplitude spectrum [H, W/2 + 1] of white noise."""
    return np.ones((shape[0], shape[1] // 2 + 1), np.float32)


_AROUND = 24
"""Pixels that are mirrored around a patch before it is filtered: ringing of its far side stays out."""
SPECTRA = {"CT": (0.1, 0.75, 0.1, 0.05), "MR": (0.3, 0.05, 0.55, 0.1)}
"""Shares of interpolated, ramp-filtered, k-space and scintillator noise in a modality."""
OTHER_SPECTRA = (0.3, 0.1, 0.05, 0.55)
EDGE = 0.02
"""Width, in cycles a pixel, in which k-space ends."""
PURE = 0.4
"""Share of spectra without a white part: reconstruction and interpolation filter all there is."""
CORNERS = 0.15
"""Share of windows that leave out nothing but the corners of k-space."""


def draw_amplitude(shape: tuple[int, ...], modality: str, rng: np.random.Generator) -> Image:
    """A random noise amplitude spectrum [H, W/2 + 1] of unit mean power: blurred, ramp-filtered, k-space."""
    fy, fx = _frequencies((shape[0], shape[1]))
    angle, stretch = rng.uniform(0, np.pi), 1.0 if rng.random() < 0.5 else rng.uniform(1.0, 2.2)
    u, v = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
    f = np.hypot(u * stretch, v)
    kind = rng.choice(4, p=SPECTRA.get(modality, OTHER_SPECTRA))
    if kind == 0:  # interpolation, smoothing: Gaussian kernel of 0.3 to 1.8 pixels
        amplitude = gaussian_amplitude(rng.uniform(0.3, 1.8))(f)
    elif kind == 1:  # CT: ramp times a reconstruction kernel's roll-off
        cutoff, fall = rng.uniform(0.12, 0.5), rng.uniform(1.5, 4)
        amplitude = ct_amplitude(cutoff, rng.uniform(0.3, 1.0), fall)(f)
    elif kind == 2:  # zero-filled or windowed k-space
        cut_x, cut_y = rng.uniform(0.2, 0.55, 2) if rng.random() < 0.5 else (rng.uniform(0.2, 0.5), 1.0)
        amplitude = fading_edge(cut_x, EDGE)(np.abs(fx)) * fading_edge(cut_y, EDGE)(np.abs(fy))
    else:  # scintillator: MTF with 0.1 to 0.6 left at the Nyquist frequency
        amplitude = detector_mtf(rng.uniform(0.1, 0.6), rng.uniform(0.7, 2.0))(f)
    amplitude = unit_gain(amplitude, shape[1])
    white = 0.0 if rng.random() < PURE else rng.uniform(0.0, 0.35)  # electronic noise stays white
    mixed: Image = np.sqrt((1 - white**2) * amplitude**2 + white**2).astype(np.float32)
    return mixed


@dataclass(frozen=True, slots=True)
class KSpaceWindow:
    """Reach of a scan in k-space, and its fading there: signal and noise end at the same frequency.

    Zero-filled scans are cut off sharply, and ring at edges; filters (Fermi, Hamming) fade.
    """

    cut_x: float
    """In cycles per pixel; above 0.5 nothing is cut off."""
    cut_y: float
    width: float
    elliptic: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "KSpaceWindow":
        """A window that leaves out something in at least one direction, or the corners alone."""
        if rng.random() < CORNERS:
            return cls(0.5, 0.5, 0.003, elliptic=True)
        cuts = (
            rng.uniform(0.22, 0.5, 2)
            if rng.random() < 0.6
            else rng.permutation([rng.uniform(0.22, 0.5), 1.0])
        )
        width = float(np.exp(rng.uniform(np.log(0.003), np.log(0.06))))
        return cls(float(cuts[0]), float(cuts[1]), width, bool(cuts.max() < 1 and rng.random() < 0.4))

    def transfer(self, shape: tuple[int, ...]) -> Image:
        """Its values [H, W / 2 + 1], 1 at frequency 0."""
        fy, fx = _frequencies((shape[0], shape[1]))
        if self.elliptic:
            inside = fading_edge(1.0, self.width / self.cut_x)(np.hypot(fx / self.cut_x, fy / self.cut_y))
        else:
            along_x, along_y = (fading_edge(cut, self.width) for cut in (self.cut_x, self.cut_y))
            inside = along_x(np.abs(fx)) * along_y(np.abs(fy))
        window: Image = (inside / inside[0, 0]).astype(np.float32)
        return window

    def scan(self, clean: Image) -> Image:
        """`clean` [..., H, W], nowhere below 0, as magnitude images of such a scan: limited in band."""
        around = [(0, 0)] * (clean.ndim - 2) + [(_AROUND, _AROUND)] * 2
        padded = np.pad(clean, around, mode="reflect")
        seen: Image = np.abs(filter_planes(padded, self.transfer(padded.shape[-2:])))
        return np.ascontiguousarray(seen[..., _AROUND:-_AROUND, _AROUND:-_AROUND], np.float32)

    def amplitude(self, shape: tuple[int, ...]) -> Image:
        """The amplitude spectrum [H, W / 2 + 1] of its noise, unit mean power."""
        return unit_gain(self.transfer(shape), shape[1])


def half_matrix(fine: Image) -> Image:
    """`fine` [..., 2 H, 2 W] as a magnitude scan with half the matrix shows it, [..., H, W].

    k-space ends where the matrix does, so that every sharp edge rings with a period of two pixels: faint, the
    same in every repeat, and no noise. Means of 2 x 2 pixels do not ring.
    """
    height, width = fine.shape[-2] // 2, fine.shape[-1] // 2
    waves = dctn(fine, axes=(-2, -1), norm="ortho")[..., :height, :width] / 2
    seen: Image = idctn(waves, axes=(-2, -1), norm="ortho").astype(np.float32)
    return np.abs(seen) if fine.min() >= 0 else seen


@dataclass(frozen=True, slots=True)
class Scan:
    """Making of the noise of slices: it ends at the `window` of the signal, if there is one, and the part
    `rho` of it is shared from each slice to the next; its level `sigma`, None to draw it."""

    window: KSpaceWindow | None = None
    rho: float = 0.0
    sigma: float | None = None


PLAIN = Scan()


def bands_of(amplitude: Image) -> tuple[float, ...]:
    """Amplitude in each frequency band relative to white noise: `NoiseEstimate.bands` of this spectrum."""
    height, width = amplitude.shape[0], 2 * (amplitude.shape[1] - 1)
    fy, fx = _frequencies((height, width))
    band = np.digitize(np.hypot(fy, fx), BAND_EDGES[1:-1])
    count = np.bincount(band.ravel(), minlength=len(WHITE))
    power = np.bincount(band.ravel(), amplitude.ravel() ** 2, minlength=len(WHITE))
    return tuple(np.sqrt(power / count).tolist())


def directional_bands(amplitude: Image) -> tuple[float, ...]:
    """Amplitude in 8 radial bands, each along x (|fx| >= |fy|) and then along y, relative to white noise."""
    height, width = amplitude.shape[0], 2 * (amplitude.shape[1] - 1)
    place = _directional_bins((height, width))
    count = np.bincount(place, minlength=16)
    power = np.bincount(place, amplitude.ravel() ** 2, minlength=16)
    return tuple(np.sqrt(power / np.maximum(count, 1)).tolist())


@lru_cache(maxsize=8)
def _directional_bins(shape: tuple[int, int]) -> NDArray[np.int64]:
    fy, fx = _frequencies(shape)
    band = np.digitize(np.hypot(fy, fx), SPECTRUM_EDGES[1:-1])
    bins: NDArray[np.int64] = (2 * band + (np.abs(fx) < np.abs(fy))).ravel()
    return bins


def amplitude_of(noise: NoiseEstimate, shape: tuple[int, ...]) -> Image:
    """The amplitude spectrum [H, W / 2 + 1] of an estimate, unit mean power."""
    return _amplitude(noise.bands, (shape[0], shape[1]))


@lru_cache(maxsize=4096)
def _amplitude(bands: tuple[float, ...], shape: tuple[int, int]) -> Image:
    if bands == WHITE or not any(bands):
        return white_spectrum(shape)
    return radial_gain(spectrum_of(NoiseEstimate(1.0, bands)), shape)


def blurring(shape: tuple[int, ...], kernel_px: float) -> Image:
    """The amplitude spectrum [H, W / 2 + 1] of noise smoothed by a Gaussian kernel, unit mean power."""
    return radial_gain(gaussian_amplitude(kernel_px), shape)


def radial_gain(amplitude: Amplitude, shape: tuple[int, ...]) -> Image:
    """The amplitude spectrum [H, W / 2 + 1] of unit mean power that is radially `amplitude`."""
    return unit_gain(amplitude(radial_frequency(shape[0], shape[1])), shape[1])

"""The noise of a device as one sheet: what it is at any brightness, frequency and from frame to frame."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from meddenoise.noise import NoiseEstimate, SignalVariance
from meddenoise.noise.dependence import SMOOTH
from meddenoise.noise.profile.radial import bands_of
from meddenoise.noise.spectrum import Amplitude, sampled_amplitude

Source = Literal["frames", "repeats", "one image"]
SOURCES: tuple[Source, ...] = ("frames", "repeats", "one image")
SCHEDULE = "linear-1000"
"""Schedule whose steps `NoiseProfile.steps` counts. Source: BeFOI (Hu, Huang 2024)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of the images a profile was measured from."""

    series: int
    planes: int
    settled: int
    """Planes whose noise is the usual one, from which all but `steps` and `sigmas` is measured."""
    moved: float = 0.0
    """Share of the pixels left out because something moved there."""
    saturated: float = 0.0
    """Share of the pixels left out because they lie at an end of the stored range, or beside such ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseProfile:
    """Noise as a function of brightness, frequency and time, in the unit of the images it was measured from.

    The variance at a local mean m is `gain` m + `offset`, with gain in the unit and offset in its square;
    both may be below 0 (images that are dark where exposure is high, values that begin above 0), and the
    variance counts as at least 2 % of its largest value. `sigma` is the root mean square noise over all
    pixels. `means` and `deviations` are the same noise level by level, where no line fits.

    `power` is the radial noise power at `frequency` (rising, cycles a pixel), relative to white noise of the
    same variance; `correlation_px` the pixels along a line that share their noise (1: white). `rho` is the
    part of the noise that a frame of a cine shares with the one before, as recursive filters make it.

    `sigmas` is the noise of each plane; `steps` the index of the diffusion state that has as much of it, in
    SCHEDULE for images whose `window` is [-1, 1].
    """

    unit: str
    modality: str
    source: Source
    model: Literal["gaussian", "rician"] = "gaussian"
    gain: float
    offset: float
    sigma: float
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    frequency: tuple[float, ...]
    power: tuple[float, ...]
    correlation_px: float
    rho: float = 0.0
    window: tuple[float, float]
    sigmas: tuple[float, ...]
    steps: tuple[int, ...]
    counts: Counts
    spacing_mm: tuple[float, ...] = ()
    """Between rows and between columns of the pixels that `frequency` counts in; empty where not known."""

    def describe(self) -> str:
        """Line with its level and the images it was measured from."""
        what = " ".join(filter(None, (self.modality, self.source)))
        level = f"{self.sigma:.4g}{f' {self.unit}' if self.unit else ''}"
        return f"{what} ({self.counts.planes} planes), noise {level}"

    def amplitude(self) -> Amplitude:
        """Amplitude sqrt(NPS) at radial frequencies."""
        return sampled_amplitude(self.frequency, self.power)

    def scaled(self, low: float, scale: float) -> "NoiseProfile":
        """The profile of images whose values v became `scale` (v - `low`)."""
        return replace(
            self,
            gain=scale * self.gain,
            offset=scale**2 * (self.offset + self.gain * low),
            sigma=scale * self.sigma,
            means=tuple(scale * (mean - low) for mean in self.means),
            deviations=tuple(scale * deviation for deviation in self.deviations),
            window=(scale * (self.window[0] - low), scale * (self.window[1] - low)),
            sigmas=tuple(scale * sigma for sigma in self.sigmas),
        )

    def in_window(self) -> "NoiseProfile | None":
        """The profile of images of 0 to 255 between the ends of its window: of the same brightness there,
        whatever unit and dose other images have.

        None where the window is that of inverted images.
        """
        low, high = self.window
        if self.means and not low <= float(np.median(self.means)) <= high:
            return None
        return self.scaled(low, 255 / (high - low))

    def levels(self, frames: int) -> tuple[float, ...] | None:
        """The level of each frame of a run of so many, settled where it is longer than the one measured.

        None where no frames were measured, or runs of several lengths.
        """
        runs = self.counts.series
        if self.source != "frames" or len(self.sigmas) % runs:
            return None
        measured = np.median(np.reshape(self.sigmas, (runs, -1)), axis=0).tolist()
        return tuple(measured[:frames]) + (self.sigma,) * (frames - len(measured))

    def draw_ratios(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """The levels of `count` successive frames around one of the device's, relative to its usual level.

        Frames before the first and after the last of a run are as these.
        """
        runs = self.counts.series
        levels = np.array(self.sigmas) / self.sigma
        rows = levels.reshape(runs, -1) if len(levels) % runs == 0 else levels[None]
        row = rows[int(rng.integers(len(rows)))]
        first = int(rng.integers(len(row))) - count // 2
        chosen: NDArray[np.float64] = row[np.clip(np.arange(first, first + count), 0, len(row) - 1)]
        return chosen

    def sigma_at(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Noise standard deviation at each pixel of a plane [Y, X], from the means around them."""
        if self.gain == 0:
            return np.full(plane.shape, np.sqrt(max(self.offset, 0.0)), np.float32)
        mean = uniform_filter(np.nan_to_num(plane, posinf=0, neginf=0), SMOOTH)
        return np.asarray(np.sqrt(SignalVariance(self.gain, self.offset).at(mean)), np.float32)

    def estimate(self, planes: NDArray[np.float32], valid: NDArray[np.bool_]) -> NoiseEstimate:
        """Estimates for planes [N, Y, X] with this noise, its level by their brightness."""
        level = self.sigma
        if self.gain != 0 and valid.any():
            powers = [
                np.square(self.sigma_at(plane)[mask], dtype=np.float64)
                for plane, mask in zip(planes, valid, strict=True)
            ]
            level = float(np.sqrt(np.concatenate(powers).mean()))
        variance = SignalVariance(self.gain, self.offset) if self.gain != 0 else None
        return NoiseEstimate(level, bands_of(self.amplitude()), variance, model=self.model)

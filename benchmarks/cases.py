"""The benchmark's cases: a clean picture, its noisy version, and all that is true of the noise."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.pictures import Picture, Repeats, central_crop
from benchmarks.stabilise import Anscombe, SigmaMap
from meddenoise.noise.models import CorrelatedNoise, CtDoseNoise, GaussianNoise, RicianNoise, XrayNoise
from meddenoise.noise.physics import NPS_FREQUENCIES
from meddenoise.noise.simulate import simulate
from meddenoise.noise.spectrum import detector_mtf, mean_power, radial_frequency
from meddenoise.noise.stabilise import Rician
from meddenoise.series import Image


class Stabiliser(Protocol):
    """Values whose noise follows the signal or the place, to such of noise 1 and back."""

    def forward(self, values: Any, /) -> NDArray[Any]:
        """Values with noise of standard deviation 1."""

    def inverse(self, values: Any, /) -> NDArray[Any]:
        """The values that these stand for."""


SIGMAS = (15, 25, 50)
WIDER = (6, 15, 25, 50)
KERNELS_PX = (0.5, 1.2)
DOSES = (0.25, 0.1)
WIDEST_PIXEL_MM = 0.8
"""Reformats and wide fields are projected as if no larger: hardly a photon would come through."""
RICIAN = (0.03, 0.06, 0.10)
GAINS = (2.0, 6.0)
"""Grey levels a quantum in fluoroscopy."""
ELECTRONIC = 2.0
MTF_NYQUIST = 0.3
HARMLESS = (0, 1, 2, 3, 5)
MISMATCH = (0.8, 1.0, 1.2)


@dataclass(frozen=True)
class NoisyCase:
    """One noisy plane and its truth.

    `sigma` is the true root mean square noise, `told` what a method is told of it. `nps` is the true radial
    noise power at NPS_FREQUENCIES (None: white) and `stabiliser` the true dependence on signal or place.
    """

    group: str
    name: str
    picture: str
    modality: str
    clean: Image
    noisy: Image
    peak: float
    sigma: float
    told: float
    nps: NDArray[np.float64] | None = None
    stabiliser: Stabiliser | None = None

    @property
    def has_model(self) -> bool:
        """True where the noise is more than one white level."""
        return self.nps is not None or self.stabiliser is not None


Maker = Callable[[Picture, int, int], Iterator[NoisyCase]]


def white(picture: Picture, crop: int, seed: int, levels: tuple[int, ...] = SIGMAS) -> Iterator[NoisyCase]:
    """White Gaussian noise of 15, 25 and 50 of 255."""
    clean = central_crop(picture.plane, crop)
    for level in levels:
        sigma = level / 255 * picture.peak
        noisy, _ = simulate(clean, GaussianNoise(sigma), np.random.default_rng([seed, level]))
        yield NoisyCase("white", f"sigma {level}", *_whose(picture), clean, noisy, picture.peak, sigma, sigma)


def mismatch(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    """White noise of 25, told 20 % too low, right, and 20 % too high."""
    for case in white(picture, crop, seed, (25,)):
        for factor in MISMATCH:
            yield replace(case, group="mismatch", name=f"told x {factor:g}", told=factor * case.sigma)


def harm(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    """Little noise, and none."""
    for case in white(picture, crop, seed, HARMLESS):
        yield replace(case, group="harm")


def gaussian(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    """White Gaussian noise from 6 of 255, and the same correlated by kernels of 0.5 and 1.2 pixels."""
    for case in white(picture, crop, seed, WIDER):
        yield replace(case, group="gaussian", name=f"white {case.name}")
    clean = central_crop(picture.plane, crop)
    for kernel in KERNELS_PX:
        for level in WIDER:
            sigma = level / 255 * picture.peak
            rng = np.random.default_rng([seed, level, round(10 * kernel)])
            noisy, info = simulate(clean, CorrelatedNoise(sigma, kernel), rng)
            name, whose = f"kernel {kernel} sigma {level}", _whose(picture)
            yield NoisyCase("gaussian", name, *whose, clean, noisy, picture.peak, sigma, sigma, info.nps)


def physics(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    """The noise the modality really has: low dose, Rician, quanta through a scintillator."""
    makers: dict[str, Maker] = {"CT": _low_dose, "MR": _rician, "XA": _quanta, "RF": _quanta}
    if picture.modality in makers:
        yield from makers[picture.modality](picture, crop, seed)


def real(repeats: Repeats, crop: int) -> Iterator[NoisyCase]:
    """A frame of a still scene against the mean of the others, its neighbours in time left out."""
    frames = np.stack([central_crop(frame, crop) for frame in repeats.frames])
    frame = len(frames) // 2
    # Acquisition starts with unsettled frames, and temporal filters tie neighbours together.
    others = [n for n in range(2, len(frames)) if abs(n - frame) > 1]
    mean = frames[others].mean(axis=0)
    residual = (frames[frame] - mean) * np.sqrt(len(others) / (len(others) + 1))
    sigma = float(residual.std())
    whose = repeats.name, repeats.modality
    nps = radial_power(residual - residual.mean())
    yield NoisyCase("harm", "real repeats", *whose, mean, frames[frame], repeats.peak, sigma, sigma, nps)


CASES: dict[str, Maker] = {
    "white": white,
    "gaussian": gaussian,
    "physics": physics,
    "mismatch": mismatch,
    "harm": harm,
}


def _whose(picture: Picture) -> tuple[str, str]:
    return picture.name, picture.modality


def _low_dose(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    clean = central_crop(picture.plane, crop)
    for dose in DOSES:
        options = CtDoseNoise(dose, pixel_mm=min(picture.pixel_mm, WIDEST_PIXEL_MM))
        rng = np.random.default_rng([seed, round(100 * dose)])
        whole, info = simulate(picture.plane, options, rng)
        noisy, sigmas = central_crop(whole, crop), central_crop(info.sigma, crop).astype(np.float64)
        sigma = float(np.sqrt(np.mean(sigmas**2)))
        name, stable = f"dose {100 * dose:g} %", SigmaMap(np.maximum(sigmas, 0.05 * sigma))
        whose = _whose(picture)
        yield NoisyCase("physics", name, *whose, clean, noisy, picture.peak, sigma, sigma, info.nps, stable)


def _rician(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    clean = np.maximum(central_crop(picture.plane, crop), 0)
    for level in RICIAN:
        sigma = level * picture.peak
        noisy, _ = simulate(clean, RicianNoise(sigma), np.random.default_rng([seed, round(100 * level)]))
        name, stable = f"Rician {100 * level:g} %", Rician(sigma)
        whose = _whose(picture)
        yield NoisyCase("physics", name, *whose, clean, noisy, picture.peak, sigma, sigma, None, stable)


def _quanta(picture: Picture, crop: int, seed: int) -> Iterator[NoisyCase]:
    clean = np.maximum(central_crop(picture.plane, crop), 0)
    transfer = detector_mtf(MTF_NYQUIST)(radial_frequency(*clean.shape))
    kept = mean_power(transfer, clean.shape[1])
    for gain in GAINS:
        options = XrayNoise(gain, ELECTRONIC, MTF_NYQUIST)
        noisy, info = simulate(clean, options, np.random.default_rng([seed, round(gain)]))
        sigma = float(np.sqrt(np.mean(np.square(info.sigma))))
        stable = Anscombe(gain * kept, ELECTRONIC**2)
        whose = _whose(picture)
        yield NoisyCase(
            "physics", f"gain {gain:g}", *whose, clean, noisy, picture.peak, sigma, sigma, info.nps, stable
        )


def radial_power(noise: NDArray[np.floating]) -> NDArray[np.float64]:
    """Radial mean of the power of a plane of noise at NPS_FREQUENCIES."""
    power = np.abs(np.fft.rfft2(noise)) ** 2 / noise.size
    rings = np.rint(radial_frequency(*noise.shape) / NPS_FREQUENCIES[1]).astype(int)
    sums = np.bincount(rings.ravel(), power.ravel())
    counts = np.bincount(rings.ravel())
    filled = counts > 0
    frequencies = np.arange(len(sums)) * NPS_FREQUENCIES[1]
    return np.interp(NPS_FREQUENCIES, frequencies[filled], sums[filled] / counts[filled])

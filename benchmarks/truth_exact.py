"""Trials with exact truth: phantoms of seeds never trained on, photographs, and nearly no noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import NoisyCase, Stabiliser
from benchmarks.pictures import Picture, central_crop
from benchmarks.stabilise import Anscombe, SigmaMap
from benchmarks.truth_trial import TruthTrial, against, plane_trial
from meddenoise.engine.planes import as_map
from meddenoise.noise.models import (
    CorrelatedNoise,
    GaussianNoise,
    NoiseOptions,
    RicianNoise,
    SpectralNoise,
    XrayNoise,
)
from meddenoise.noise.physics import NPS_FREQUENCIES
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.noise.spectrum import (
    Amplitude,
    band_amplitude,
    ct_amplitude,
    detector_mtf,
    mean_power,
    radial_frequency,
)
from meddenoise.noise.stabilise import Rician
from meddenoise.phantom import Phantom, make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.phantom.xray import attenuation, exposure
from meddenoise.series import Image

FIRST_SEED = 9000
"""Phantoms of this seed and above are never trained on."""
KINDS = ("ct", "mr", "xray", "fluoro")
DOSES = {"ct": (0.25, 0.1), "xray": (0.25, 0.1), "fluoro": (1.0, 0.3)}
RICIAN_PERCENT = (3.0, 6.0)
PLANES = 4
SIDE = 256
COARSE = 10
"""Level, 255ths of the peak, of noise that is coarse for the pixels."""
FAINT = (0, 1, 2, 3)
"""Levels of white noise, 255ths of the peak, at which nothing may get worse."""

Level = tuple[str, NoiseOptions]


@dataclass(frozen=True)
class Logarithm:
    """Stabilisation of a radiograph on a log scale: the noise arises in its exposures."""

    counts: Anscombe

    def forward(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values in units of the noise."""
        return self.counts.forward(exposure(z.astype(np.float32)).astype(np.float64))

    def inverse(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """The radiograph of the mean exposure."""
        exposures = self.counts.inverse(d).astype(np.float32)
        values: NDArray[np.float64] = attenuation(exposures).astype(np.float64)
        return values


def phantoms(seeds: int, first: int = FIRST_SEED) -> Iterator[TruthTrial]:
    """All kinds of phantoms, of `seeds` seeds from `first` on, at two doses each."""
    for kind in KINDS:
        for seed in range(first, first + seeds):
            phantom = held_back(kind, seed)
            for name, noise in noises_of(phantom):
                yield phantom_trial(phantom, noise, "phantoms", f"{kind} {name}")


def held_back(kind: str, seed: int = FIRST_SEED) -> Phantom:
    """A phantom; one of FIRST_SEED and above was never trained on."""
    return make_phantom(kind, size=SIDE, planes=1 if kind == "xray" else PLANES, seed=seed)


def noises_of(phantom: Phantom) -> list[Level]:
    """Two strengths of the noise of the phantom's modality by name, the stronger last."""
    if phantom.name == "mr":
        levels = {percent: percent / 100 * peak_of(phantom) for percent in RICIAN_PERCENT}
        return [(f"Rician {percent:g} %", RicianNoise(sigma)) for percent, sigma in levels.items()]
    return [(f"dose {100 * dose:g} %", dose_noise(phantom, dose)[0]) for dose in DOSES[phantom.name]]


def phantom_trial(phantom: Phantom, noise: NoiseOptions, group: str, row: str) -> TruthTrial:
    """A phantom with noise, denoised as a whole; its middle planes are judged."""
    noisy, infos = acquire(phantom, [noise], phantom.seed)
    planes = middle_planes(len(noisy))
    peak, kind = peak_of(phantom), phantom.kind.modality
    image = f"{phantom.name} seed {phantom.seed}"
    cases = tuple(
        NoisyCase(
            group,
            row,
            image,
            kind,
            phantom.truth[n],
            noisy[n],
            peak,
            *model_of(phantom, noise, infos[0], noisy, n),
        )
        for n in planes
    )
    series = (as_map(to_series(phantom, noisy, row), noisy),)
    judge = against([phantom.truth[n] for n in planes], peak)
    return TruthTrial(group, row, kind, image, series, tuple((0, n) for n in planes), cases, judge)


def middle_planes(count: int) -> list[int]:
    """The two planes in the middle, or the only one."""
    return sorted({(count - 1) // 2, count // 2})


def peak_of(phantom: Phantom) -> float:
    """Range of 255 grey levels: 2000 HU, else the 99.9 percentile."""
    return 2000.0 if phantom.kind.modality == "CT" else float(np.percentile(phantom.truth, 99.9))


def model_of(
    phantom: Phantom, noise: NoiseOptions, info: NoiseInfo, noisy: Image, n: int
) -> tuple[float, float, NDArray[np.float64] | None, Stabiliser | Logarithm]:
    """Level (twice: true, and as peers get it), spectrum and stabilisation of the noise of plane `n`."""
    sigmas = np.broadcast_to(info.sigma, noisy.shape)[n].astype(np.float64)
    level = float(np.sqrt(np.mean(sigmas**2)))
    if isinstance(noise, RicianNoise):
        return noise.sigma, noise.sigma, None, Rician(noise.sigma)
    if not isinstance(noise, XrayNoise):
        return level, level, info.nps, SigmaMap(np.maximum(sigmas, 0.05 * level))
    transfer = detector_mtf(noise.mtf_nyquist)(radial_frequency(SIDE, SIDE))
    counts = Anscombe(noise.gain * mean_power(transfer, SIDE), noise.electronic**2)
    if phantom.name != "xray":
        return level, level, info.nps, counts
    level = float(np.std(noisy[n] - phantom.truth[n]))
    return level, level, info.nps, Logarithm(counts)


def natural(pictures: list[Picture], side: int, levels: tuple[int, ...], every: bool) -> Iterator[TruthTrial]:
    """Photographs with white noise of the `levels`, and of 25 of 255 with the spectra of `spectra`."""
    for index, picture in enumerate(pictures):
        clean = central_crop(picture.plane, side)
        for name, noise in noises(picture.peak, levels, every):
            yield plane_trial(noisy_case(picture, clean, noise, index), "natural", name)


def noises(peak: float, levels: tuple[int, ...], every: bool = True) -> list[Level]:
    """White noise of the `levels` (of 255) and correlated noise of 25: kernels, or every spectrum."""
    sigma = 25 / 255 * peak
    found: list[Level] = [(f"white {level}", GaussianNoise(level / 255 * peak)) for level in levels]
    found.append(("kernel 1.2 px", CorrelatedNoise(sigma, 1.2)))
    if every:
        found.insert(-1, ("kernel 0.5 px", CorrelatedNoise(sigma, 0.5)))
        found.append(("CT-like", _spectral(sigma, ct_amplitude(0.3))))
        found.append(("k-space-like", _spectral(sigma, band_amplitude(0.7))))
    return found


def noisy_case(picture: Picture, clean: Image, noise: NoiseOptions, seed: int) -> NoisyCase:
    """A clean plane with stationary noise."""
    noisy, info = simulate(clean, noise, np.random.default_rng([seed, *noise.name.encode()]))
    sigma = float(np.sqrt(np.mean(np.square(info.sigma))))
    nps = None if isinstance(noise, GaussianNoise) else info.nps
    return NoisyCase("", "", picture.name, picture.modality, clean, noisy, picture.peak, sigma, sigma, nps)


def coarse() -> Iterator[TruthTrial]:
    """Phantoms with noise of COARSE whose kernel is wide for the pixels, so that nothing of it is fine."""
    for kind in KINDS:
        phantom = held_back(kind)
        sigma = COARSE / 255 * peak_of(phantom)
        noises = (
            ("kernel 1.5 px", CorrelatedNoise(sigma, 1.5)),
            ("soft CT-like", _spectral(sigma, ct_amplitude(0.13))),
        )
        for name, noise in noises:
            yield phantom_trial(phantom, noise, "coarse", f"{kind} {name}")


def harm(pictures: list[Picture], side: int) -> Iterator[TruthTrial]:
    """Phantoms with next to no noise, and none; photographs without any."""
    for kind in KINDS:
        phantom = held_back(kind)
        for level in FAINT:
            noise = GaussianNoise(level / 255 * peak_of(phantom))
            name = f"white {level}" if level else "no noise"
            yield phantom_trial(phantom, noise, "harm", f"{kind} {name}")
    for picture in pictures:
        clean = central_crop(picture.plane, side)
        yield plane_trial(noisy_case(picture, clean, GaussianNoise(0.0), 0), "harm", "photo no noise")


def _spectral(sigma: float, amplitude: Amplitude) -> SpectralNoise:
    power = np.square(amplitude(NPS_FREQUENCIES.astype(np.float32)), dtype=np.float64)
    return SpectralNoise(sigma, tuple(NPS_FREQUENCIES), tuple(power))

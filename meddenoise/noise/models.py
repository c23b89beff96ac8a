"""The kinds of noise that can be simulated: one frozen options dataclass each, checked when it is made.

Levels are in the units of the image they are added to. Every class raises ValueError where an option is
out of its range.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """White noise of standard deviation `sigma`."""

    name: ClassVar[str] = "gaussian"
    sigma: float

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, 0)


@dataclass(frozen=True, slots=True)
class CorrelatedNoise:
    """Noise of standard deviation `sigma`, blurred with a Gaussian kernel of `kernel_px` pixels."""

    name: ClassVar[str] = "correlated"
    sigma: float
    kernel_px: float = 1.0

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, 0)
        # Wider kernels than this are shading, not noise.
        _check("kernel_px", self.kernel_px, 0, 32)


@dataclass(frozen=True, slots=True)
class SpectralNoise:
    """Noise of standard deviation `sigma` with radial `power` sampled at `frequency`, cycles a pixel."""

    name: ClassVar[str] = "spectral"
    sigma: float
    frequency: tuple[float, ...]
    power: tuple[float, ...]

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, 0)
        if len(self.frequency) != len(self.power) or not self.power:
            raise ValueError("a spectrum needs one power for each frequency")
        for frequency, power in zip(self.frequency, self.power, strict=True):
            _check("a frequency", frequency, 0)
            _check("a power", power, 0)
        if list(self.frequency) != sorted(set(self.frequency)):
            raise ValueError("the frequencies of a spectrum must rise")


@dataclass(frozen=True, slots=True)
class RicianNoise:
    """Magnitude MR noise: `sigma` in the real and the imaginary channel of each of `coils`.

    More than one coil gives the noncentral chi distribution of a sum of squares. `g_peak` raises sigma
    smoothly to (1 + g_peak) times in the middle, as parallel imaging does. `band` < 1 fills k-space to
    that fraction of its radius, which correlates neighbouring pixels.
    """

    name: ClassVar[str] = "rician"
    sigma: float
    coils: int = 1
    g_peak: float = 0.0
    band: float = 1.0

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, 0)
        _check("coils", self.coils, 1)
        _check("g_peak", self.g_peak, 0)
        _check("band", self.band, 0.1, 1)


@dataclass(frozen=True, slots=True)
class XrayNoise:
    """Poisson noise of quanta, blurred by the scintillator, and white electronic noise.

    The image is linear in exposure, `gain` units a quantum; `electronic` is a standard deviation in units.
    `mtf_nyquist` is the scintillator's transfer at Nyquist (1: no blur). `recursion` (0, 1] weighs the new
    frame of a cine in its recursive temporal filter (1: no filter); the noise alone is filtered.
    """

    name: ClassVar[str] = "xray"
    gain: float
    electronic: float = 0.0
    mtf_nyquist: float = 0.3
    recursion: float = 1.0

    def __post_init__(self) -> None:
        _check("gain", self.gain, 1e-12)
        _check("electronic", self.electronic, 0)
        _check("mtf_nyquist", self.mtf_nyquist, 0.01, 1)
        _check("recursion", self.recursion, 0.01, 1)


@dataclass(frozen=True, slots=True)
class ImpulseNoise:
    """Salt and pepper: a `fraction` of pixels, half of them set to `low`, half to `high`.

    Left out, low and high are the smallest and largest value of the image.
    """

    name: ClassVar[str] = "salt-pepper"
    fraction: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        _check("fraction", self.fraction, 0, 1)
        for end in (self.low, self.high):
            _check("low or high", end or 0.0)


@dataclass(frozen=True, slots=True)
class CtDoseNoise:
    """The noise that a scan at `fraction` (0..1) of the dose has more than the image at hand; pixels in HU.

    `photons` reach the detector through air in each ray of the full-dose scan (1e6 normal, 1e5 low), for
    1.5 views a pixel of image width; `electronic` is the detector's noise in photons. `bowtie` is the part
    of the photons left at the edge of the field (1: no bow-tie filter). `kernel` reconstructs: "hann" is
    soft, "ramp" sharp. `fast` shapes stationary noise with the sigma map instead of reconstructing it:
    quicker, and without streaks.
    """

    name: ClassVar[str] = "ct-dose"
    fraction: float
    pixel_mm: float = 0.7
    photons: float = 1e6
    electronic: float = 10.0
    bowtie: float = 1.0
    kernel: Literal["hann", "ramp"] = "hann"
    fast: bool = False

    def __post_init__(self) -> None:
        _check("the dose fraction", self.fraction, 1e-4, 1)
        _check("pixel_mm", self.pixel_mm, 1e-3)
        _check("photons", self.photons, 1)
        _check("electronic", self.electronic, 0)
        _check("bowtie", self.bowtie, 0.01, 1)


@dataclass(frozen=True, slots=True)
class ProfileNoise:
    """Noise as a profile tells it: variance `gain` m + `offset` at the local mean m, with its spectrum.

    `rho` is the part of its noise that a frame shares with the one before; `rician` noise is in both channels
    of a magnitude. `ratios` are the levels of the first frames relative to the usual one: a run whose dose
    settles has noisier frames first.
    """

    name: ClassVar[str] = "profile"
    gain: float
    offset: float
    frequency: tuple[float, ...]
    power: tuple[float, ...]
    rho: float = 0.0
    rician: bool = False
    ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        SpectralNoise(0.0, self.frequency, self.power)
        _check("gain", self.gain)
        _check("offset", self.offset)
        _check("rho", self.rho, 0, 0.999)
        for ratio in self.ratios:
            _check("a ratio", ratio, 0)


NoiseOptions = (
    GaussianNoise
    | CorrelatedNoise
    | SpectralNoise
    | RicianNoise
    | CtDoseNoise
    | XrayNoise
    | ImpulseNoise
    | ProfileNoise
)


def _check(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Both ends are allowed if they are finite; NaN and infinity never are."""
    if not (math.isfinite(value) and low <= value <= high):
        limit = f"at least {low:g}" if low > -math.inf else "a finite number"
        limit = f"from {low:g} to {high:g}" if high < math.inf else limit
        raise ValueError(f"{name} must be {limit}, not {value:g}")

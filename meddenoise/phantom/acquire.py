"""Imaging a phantom: the noise of its physics at a dose, and the truth and the noisy image as series."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from meddenoise.errors import UsageError
from meddenoise.noise.models import CtDoseNoise, NoiseOptions, RicianNoise, XrayNoise
from meddenoise.noise.parse import kind_of, measure, parse_noise
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.noise.table import ELECTRONIC_QUANTA, NOISES
from meddenoise.phantom import Phantom
from meddenoise.phantom.xray import MTF_NYQUIST, attenuation, exposure
from meddenoise.series import Image, Series

MR_PERCENT = 6.0
"""Noise of an MR phantom where none is asked for: percent of the brightest signal."""
CT_PHOTONS = 1e6
RADIOGRAPH_QUANTA, FLUORO_QUANTA = 2500.0, 40.0
"""Quanta a pixel at the mean exposure behind the patient, at normal dose; fluoroscopy: in each frame."""
_NOISELESS = 1e3


def dose_noise(phantom: Phantom, dose: float | None = None) -> tuple[NoiseOptions, ...]:
    """The noise of the phantom's modality at a fraction of normal dose; None takes the kind's default.

    Raises UsageError where the dose is not from 0.001 to 100, or given for MR, which has none.
    """
    if phantom.kind.dose is None:
        if dose is not None:
            raise UsageError(f"an {phantom.name.upper()} phantom has no dose: give --noise rician:PERCENT.")
        return (RicianNoise(MR_PERCENT / 100 * measure(phantom.truth, 1.0).peak),)
    fraction = phantom.kind.dose if dose is None else dose
    if not 0.001 <= fraction <= 100:
        raise UsageError(f"the dose is a fraction of normal dose from 0.001 to 100, not {fraction:g}.")
    if phantom.name == "ct":
        # The truth is a scan of endless dose: all noise of the dose asked for is inserted.
        photons = CT_PHOTONS * fraction * _NOISELESS
        return (CtDoseNoise(1 / _NOISELESS, phantom.geometry.spacing_mm[1], photons),)
    return (
        _quantum_noise(
            phantom, (FLUORO_QUANTA if phantom.name == "fluoro" else RADIOGRAPH_QUANTA) * fraction
        ),
    )


def named_noise(phantom: Phantom, texts: Sequence[str]) -> tuple[NoiseOptions, ...]:
    """The noises of those words; X-ray quanta count at the mean exposure. Raises UsageError."""
    scale = replace(
        measure(phantom.truth, phantom.geometry.spacing_mm[1]),
        cine=phantom.kind.frame_ms is not None,
        unit=phantom.kind.unit,
    )
    linear = replace(scale, mean=float(_linear(phantom).mean()))
    return tuple(parse_noise(text, linear if kind_of(text) == "exposure" else scale) for text in texts)


def acquire(phantom: Phantom, noises: Sequence[NoiseOptions], seed: int) -> tuple[Image, list[NoiseInfo]]:
    """The noisy image [N, Y, X], float32 in the phantom's unit, and what each noise added, in order.

    Quantum noise of a radiograph arises in exposure, before the logarithm: its info is stated in exposures
    relative to the bare detector.
    """
    rng = np.random.default_rng([seed, *b"noise"])
    noisy, infos = phantom.truth, []
    for noise in noises:
        if NOISES[noise.name].values == "exposure" and phantom.name == "xray":
            exposed, info = simulate(exposure(noisy), noise, rng)
            noisy = attenuation(exposed)
        else:
            noisy, info = simulate(noisy, noise, rng)
        infos.append(replace(info, seed=seed))
    return noisy, infos


def to_series(phantom: Phantom, values: Image, name: str) -> Series:
    """Values [N, Y, X] as a series, rounded and cut to what its DICOM pixel format holds."""
    kind = phantom.kind
    low, high = kind.stored_range
    dtype = np.int16 if low < 0 else np.uint16
    return Series(
        pixels=np.clip(np.rint(values), low, high).astype(dtype),
        slope=np.ones(len(values)),
        intercept=np.zeros(len(values)),
        stored_range=(float(low), float(high)),
        geometry=phantom.geometry,
        format="phantom",
        path=Path(f"{phantom.name}-phantom"),
        files=(),
        modality=kind.modality,
        unit=kind.unit,
        name=f"{kind.title} {name}",
        frame_time_ms=kind.frame_ms,
    )


def _quantum_noise(phantom: Phantom, quanta: float) -> XrayNoise:
    gain = float(_linear(phantom).mean()) / quanta
    return XrayNoise(gain, ELECTRONIC_QUANTA * gain, MTF_NYQUIST)


def _linear(phantom: Phantom) -> Image:
    return exposure(phantom.truth) if phantom.name == "xray" else phantom.truth

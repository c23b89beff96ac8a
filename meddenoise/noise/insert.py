"""Noise of given words added to a series in its stored form, padding and geometry untouched."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import UnsupportedError
from meddenoise.noise.models import ProfileNoise
from meddenoise.noise.parse import kind_of, measure, parse_noise
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.noise.table import Values
from meddenoise.series import Derivation, Series
from meddenoise.version import __version__

RINGING, RINGING_SHARE = 0.01, 0.001
"""Below 0 by this share of the peak, in more than this share of the pixels, an image is signed."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """A noisy series, what each noise added, and the part of its pixels cut to the stored range."""

    series: Series
    infos: tuple[NoiseInfo, ...]
    cut: float


def insert_noise(series: Series, texts: Sequence[str], seed: int, index: int = 0) -> Inserted:
    """The series with the noises of `texts` (see `parse`) added in order, in its own dtype and range.

    `index` tells several series of one seed apart: each gets noise of its own. Relative levels refer to the
    clean series. Raises UsageError for a noise that cannot be read, UnsupportedError for a colour image or
    one the noise does not fit.
    """
    if series.channels != 1:
        raise UnsupportedError(
            f"{series.first_file} is a colour image: noise is simulated for grey images only."
        )
    values, valid = series.values(0, len(series)), series.valid(0, len(series))
    scale = replace(
        measure(values[valid], series.geometry.spacing_mm[1]),
        cine=series.frame_time_ms is not None,
        unit=series.unit,
        modality=series.modality,
    )
    noises = []
    for text in texts:
        # The words first: levels of another physics may not even be computed.
        _refuse_unfit(series, text, kind_of(text), values[valid])
        noises.append(parse_noise(text, scale))
        if isinstance(noises[-1], ProfileNoise) and noises[-1].rician:
            _refuse_unfit(series, text, "magnitude", values[valid])
    # What is no image takes the darkest value: air for CT, nothing for the others.
    noisy = np.where(valid, values, values[valid].min() if valid.any() else 0).astype(np.float32)
    rng = np.random.default_rng([seed, index])
    infos = []
    for noise in noises:
        noisy, info = simulate(noisy, noise, rng)
        infos.append(replace(info, seed=seed))
    pixels = series.store(noisy, 0, len(series))
    low, high = series.stored_range
    lost = valid & ((pixels <= low) | (pixels >= high)) & ((series.pixels > low) & (series.pixels < high))
    # A path says nothing to those who see the image, and another file may lie there tomorrow.
    words = ", ".join(
        "profile" if isinstance(n, ProfileNoise) else text for n, text in zip(noises, texts, strict=True)
    )
    settings: dict[str, Any] = {"noise": list(texts), "seed": seed, "index": index}
    profiles = [asdict(noise) for noise in noises if isinstance(noise, ProfileNoise)]
    if profiles:
        settings |= {"noise": words, "profiles": profiles}
    done = Derivation(
        method=words,
        description=f"Simulated noise added by meddenoise {__version__}: {words}, seed {seed}",
        settings=json.dumps(settings),
        verb="noise added",
    )
    return Inserted(series.with_pixels(pixels, done), tuple(infos), float(lost.mean()))


def _refuse_unfit(series: Series, text: str, needed: Values, values: NDArray[np.float32]) -> None:
    """Raises UnsupportedError if the physics of a noise is not that of the image."""
    if needed == "HU" and series.modality not in ("", "CT"):
        raise UnsupportedError(f"{series.path} is {series.modality}, not CT: {text} needs Hounsfield units.")
    if needed == "HU" and not (values[np.isfinite(values)] < 0).any():
        raise UnsupportedError(
            f"{series.path} has no value below 0, as air has in Hounsfield units, which {text} needs."
        )
    if needed != "magnitude":
        return
    if series.unit == "HU" or series.modality == "CT":
        why = "is in HU" if series.unit == "HU" else "is CT"
    elif _has_negatives(values):
        why = f"has values below 0 (down to {float(values[np.isfinite(values)].min()):.4g})"
    else:
        return
    raise UnsupportedError(
        f"{series.path} {why}: Rician noise ({text}) is that of MR magnitudes, which are never negative; "
        "add gaussian:SIGMA instead."
    )


def _has_negatives(values: NDArray[np.float32]) -> bool:
    """True where more lies below 0 than interpolation leaves beside edges of a magnitude image."""
    finite = values[np.isfinite(values)]
    if not finite.size or float(finite.min()) >= 0:
        return False
    peak = float(np.percentile(finite, 99.9))
    return float(np.mean(finite < -RINGING * max(peak, 0.0))) > RINGING_SHARE

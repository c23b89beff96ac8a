"""Noise of given words added to a series in its stored form, padding and geometry untouched."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from meddenoise import __version__
from meddenoise.errors import UnsupportedError
from meddenoise.noise.grammar import measure, parse_noise
from meddenoise.noise.models import ProfileNoise
from meddenoise.noise.simulate import NoiseInfo, simulate
from meddenoise.series import Derivation, Series


@dataclass(frozen=True, slots=True)
class Inserted:
    """A noisy series, what each noise added, and the part of its pixels cut to the stored range."""

    series: Series
    infos: tuple[NoiseInfo, ...]
    cut: float


def insert_noise(series: Series, texts: Sequence[str], seed: int, index: int = 0) -> Inserted:
    """The series with the noises of `texts` (see `grammar`) added in order, in its own dtype and range.

    `index` tells several series of one seed apart: each gets noise of its own. Relative levels refer to the
    clean series. Raises UsageError for a noise that cannot be read, UnsupportedError for a colour image or
    one the noise does not fit.
    """
    if series.channels != 1:
        raise UnsupportedError(f"{series.path} is a colour image: noise is simulated for grey images only.")
    values, valid = series.values(0, len(series)), series.valid(0, len(series))
    scale = replace(
        measure(values[valid], series.geometry.spacing_mm[1]),
        cine=series.frame_time_ms is not None,
        unit=series.unit,
    )
    for text in texts:
        _refuse_unfit(series, text)
    noises = [parse_noise(text, scale) for text in texts]
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


def _refuse_unfit(series: Series, text: str) -> None:
    if text.startswith("ct-dose:") and series.modality not in ("", "CT"):
        raise UnsupportedError(f"{series.path} is {series.modality}, not CT: {text} needs Hounsfield units.")

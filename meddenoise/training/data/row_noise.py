"""Training noise of the kinds in `noise.table`, as a recipe asks for it: `"xray:50..500" = 0.1`."""

from math import exp, log

import numpy as np

from meddenoise.noise.parse import kind_of, parse_noise
from meddenoise.noise.simulate import simulate
from meddenoise.noise.spectrum import sampled_amplitude
from meddenoise.noise.table import Scale, Values
from meddenoise.series import Image
from meddenoise.training.spectra import radial_gain, white_spectrum

Shares = tuple[tuple[str, float], ...]
"""Words, and the share of patches with that noise; LOW..HIGH is drawn from, its logarithm evenly."""

RANGE = 255.0
"""Range of training images; it counts as the brightest signal."""
CT_LOW, CT_WIDTH = -1000.0, 2000.0
"""HU that become 0, and the width that becomes RANGE: air to dense bone."""
DIMMEST = 20.0
"""Least mean signal of a patch: behind dense parts the exposure is not turned up."""
PIXEL_MM = 0.7


def check_shares(shares: Shares) -> None:
    """Raises UsageError for words that `simulate` does not know, ValueError for shares that add up to more
    than 1 or are below 0."""
    if any(share < 0 for _, share in shares) or sum(share for _, share in shares) > 1:
        raise ValueError("the shares of noise_models must be 0 or more and add up to at most 1")
    for text, _ in shares:
        for place in (0.0, 1.0):
            parse_noise(_choose(text, place), Scale(RANGE, DIMMEST, PIXEL_MM))


def draw_row_noise(
    clean: Image, modality: str, shares: Shares, rng: np.random.Generator
) -> tuple[Image, Image, Image] | None:
    """Noisy planes, their sigma map (both as `clean` [..., H, W]) and amplitude spectrum [H, W / 2 + 1].

    None for patches that get other noise: those beyond the shares, and those of a modality whose values the
    drawn kind is not made for.
    """
    if not shares:
        return None
    place = np.searchsorted(np.cumsum([share for _, share in shares]), rng.random(), side="right")
    if place == len(shares):
        return None
    text = _choose(shares[int(place)][0], rng.random())
    kind = kind_of(text)
    if not _fits(kind, modality):
        return None
    low, unit = (CT_LOW, CT_WIDTH / RANGE) if kind == "HU" else (0.0, 1.0)
    scale = Scale(RANGE, max(float(clean.mean()), DIMMEST), PIXEL_MM)
    values = clean * np.float32(unit) + np.float32(low)
    noisy, info = simulate(values, parse_noise(text, scale), rng)
    sigma = np.broadcast_to(info.sigma / np.float32(unit), clean.shape).astype(np.float32)
    shape = (clean.shape[-2], clean.shape[-1])
    amplitude = white_spectrum(shape)
    if info.nps.any():
        amplitude = radial_gain(sampled_amplitude(tuple(info.frequency), tuple(info.nps)), shape)
    return (noisy - np.float32(low)) / np.float32(unit), sigma, amplitude


def _choose(text: str, place: float) -> str:
    """The words with each LOW..HIGH replaced by a number between the two."""
    name, *parts = text.split(":")
    return ":".join([name, *(_between(part, place) for part in parts)])


def _between(part: str, place: float) -> str:
    low, dots, high = part.partition("..")
    try:
        ends = float(low), float(high)
    except ValueError:
        return part
    if not dots or min(ends) <= 0:
        return part
    return repr(exp(log(ends[0]) + place * (log(ends[1]) - log(ends[0]))))


def _fits(kind: Values, modality: str) -> bool:
    if kind == "any":
        return True
    return kind == {"CT": "HU", "MR": "magnitude"}.get(modality, "exposure")

"""The noise profile of some series: what they allow to be measured, and what it gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter

from meddenoise.diffusion.schedules import get_schedule
from meddenoise.engine.level import LARGEST, estimate_series
from meddenoise.errors import InputError, UnsupportedError, UsageError, unknown_name
from meddenoise.io.modality import likely_modality
from meddenoise.noise import NoiseEstimate, SignalVariance
from meddenoise.noise.blocks import usable_pixels
from meddenoise.noise.correlation import spectrum_of
from meddenoise.noise.dependence import SMOOTH
from meddenoise.noise.profile import SCHEDULE, SOURCES, Counts, NoiseProfile, Source
from meddenoise.noise.profile.change import Scene, local_mean
from meddenoise.noise.profile.radial import correlation_length
from meddenoise.noise.profile.repeats import Repeated, measure_repeats
from meddenoise.noise.spectrum import sampled_amplitude
from meddenoise.normalize import fit_window
from meddenoise.series import Image, Mask, Series

Kind = Literal["auto", "frames", "repeats", "image"]
KINDS: dict[str, Source | None] = {
    "auto": None,
    **dict(zip(("frames", "repeats", "image"), SOURCES, strict=True)),
}
"""Name of each source for the user; auto takes the one that the series allow."""
CLIPPED_NEAR = 0.02
"""Share of saturated pixels around a pixel from which noise is cut off there."""
MOST_MOVED = 0.5
"""Share of moved pixels above which planes do not show one scene."""
MAX_REPEATED_PLANES = 32
"""Planes of repeated volumes that are looked at, evenly spread."""
BELOW = 0.01
"""Share of local means below 0 from which an X-ray image counts as subtracted."""
SIGNED = ("CT", "MR", "")
"""Modalities whose values may be negative as they are."""


@dataclass(frozen=True, slots=True)
class MeasuredProfile:
    """A profile, and what a user should know of how it came about."""

    profile: NoiseProfile
    notes: tuple[str, ...]


def measure_profile(series: Sequence[Series], kind: Kind = "auto") -> MeasuredProfile:
    """The noise of one or several series of one device and setting, of one unit and matrix.

    "frames": planes that follow each other in time, as in a cine. "repeats": several series of one scene, in
    the same geometry. "image": planes by themselves, from their flattest parts. "auto" takes repeats where
    there are several series that are no cine, frames where there is a cine.

    Raises UsageError for series that do not go together, UnsupportedError for colour images and values beyond
    single precision, InputError where there is no noise or too much moves.
    """
    if kind not in KINDS:
        raise unknown_name("kind of measurement", kind, KINDS)
    source = KINDS[kind] or _source_of(series)
    _check_together(series, source)
    if source == "one image":
        return _from_image(series)
    clipping = _Clipping()
    scenes = list(_repeats(series, clipping) if source == "repeats" else _frames(series, clipping))
    found = measure_repeats(scenes, independent=source == "repeats")
    if found is None:
        raise InputError(
            f"{series[0].path} shows no noise: its {source} are equal; give images as they were acquired."
        )
    if found.moved > MOST_MOVED:
        raise InputError(
            f"{series[0].path}: {found.moved:.0%} of the pixels move, so the {source} show no one scene: "
            "give a steadier series, or one image."
        )
    return _from_repeats(series, source, found, clipping.share)


def _source_of(series: Sequence[Series]) -> Source:
    if all(one.frame_time_ms is not None and len(one) > 1 for one in series):
        return "frames"
    return "repeats" if len(series) > 1 else "one image"


def _check_together(series: Sequence[Series], source: Source) -> None:
    first = series[0]
    for one in series:
        if one.channels != 1:
            raise UnsupportedError(f"{one.first_file} is a colour image: give grey images.")
        if one.pixels.shape[1:] != first.pixels.shape[1:]:
            sizes = [" x ".join(map(str, each.pixels.shape[1:])) for each in (first, one)]
            raise UsageError(
                f"{one.path} has planes of {sizes[1]} pixels, {first.path} of {sizes[0]}: "
                "give series of one size."
            )
        if (one.unit, one.modality) != (first.unit, first.modality):
            raise UsageError(
                f"{one.path} is {_words(one)}, {first.path} is {_words(first)}: measure them one by one."
            )
        if source == "repeats" and len(one) != len(first):
            raise UsageError(
                f"{one.path} has {len(one)} planes, {first.path} {len(first)}: "
                "repeats have the same geometry."
            )
        if source == "frames" and len(one) < 2:
            raise UsageError(f"{one.path} is a single frame: give a cine, several repeats, or --from image.")
    if source == "repeats" and len(series) < 2:
        raise UsageError(f"{first.path} has no repeat: give two or more series of the scene.")


def _words(series: Series) -> str:
    return f"{series.modality or 'of no modality'} in {series.unit or 'no unit'}"


class _Clipping:
    """Count of the valid pixels that were left out because they are saturated."""

    def __init__(self) -> None:
        self._valid = self._left = 0

    def load(self, series: Series, index: int) -> tuple[Image, Mask]:
        """A plane [Y, X], and where its noise is whole."""
        valid = series.valid(index, index + 1)[0]
        plane = np.where(valid, series.values(index, index + 1)[0], np.float32(0))
        largest = float(np.abs(plane).max(initial=0))
        if not largest < LARGEST:
            raise UnsupportedError(
                f"{series.path} holds values of {largest:.0e}: rescale it to below {LARGEST:.0e}."
            )
        usable = usable_pixels(plane, valid)
        clipped = valid & ~usable
        if series.pixels.dtype.kind != "f":
            stored, (low, high) = series.pixels[index], series.stored_range
            clipped |= valid & ((stored <= low) | (stored >= high))
        if clipped.any():
            usable &= uniform_filter(clipped.astype(np.float32), SMOOTH) <= CLIPPED_NEAR
        self._valid += int(valid.sum())
        self._left += int((valid & ~usable).sum())
        return plane, usable

    @property
    def share(self) -> float:
        """Share of the pixels."""
        return self._left / self._valid if self._valid else 0.0


def _frames(series: Sequence[Series], clipping: _Clipping) -> Iterator[Scene]:
    for one in series:
        yield Scene(len(one), partial(clipping.load, one))


def _repeats(series: Sequence[Series], clipping: _Clipping) -> Iterator[Scene]:
    count = len(series[0])
    for plane in np.unique(np.linspace(0, count - 1, min(count, MAX_REPEATED_PLANES)).astype(int)).tolist():

        def load(k: int, plane: int = plane) -> tuple[Image, Mask]:
            return clipping.load(series[k], plane)

        yield Scene(len(series), load)


def _from_repeats(
    series: Sequence[Series], source: Source, found: Repeated, saturated: float
) -> MeasuredProfile:
    gain, offset = found.curve.line()
    notes = []
    if gain != 0 and _is_subtracted(series[0]):
        gain, offset = 0.0, found.sigma**2
        notes.append("values below 0, as in subtracted images, do not give the exposure: one level for all.")
    count = sum(map(len, found.sigmas))
    if found.settled < count:
        notes.append(f"{count - found.settled} of {count} planes are outside the longest even stretch: only "
                     "their level was taken.")  # fmt: skip
    if saturated > 0:
        notes.append(f"{saturated:.1%} of the pixels are saturated, or next to such, and were left out.")
    window = fit_window(series[0])
    sigmas = tuple(sigma for scene in found.sigmas for sigma in scene)
    profile = NoiseProfile(
        unit=series[0].unit,
        modality=likely_modality(series[0]),
        source=source,
        gain=gain,
        offset=offset,
        sigma=found.sigma,
        means=tuple(found.curve.mean.tolist()),
        deviations=tuple(np.sqrt(found.curve.variance).tolist()),
        frequency=found.frequency,
        power=found.power,
        correlation_px=_correlation(found.frequency, found.power),
        rho=found.rho,
        window=window,
        sigmas=sigmas,
        steps=_steps(sigmas, window),
        spacing_mm=_spacing(series),
        counts=Counts(
            series=len(series), planes=count, settled=found.settled, moved=found.moved, saturated=saturated
        ),
    )
    return MeasuredProfile(profile, tuple(notes))


def _from_image(series: Sequence[Series]) -> MeasuredProfile:
    """The profile of the first series, from its own flattest parts."""
    one = series[0]
    if len(series) > 1:
        raise UsageError(f"{series[1].path} is one series too many: one image needs no other.")
    found = estimate_series(one)
    estimate = found.middle
    if not estimate.sigma > 0:
        raise InputError(f"{one.path} shows no noise: give an image as it was acquired.")
    notes = ["one image was used: frames or repeated scans give gain, spectrum and lag far better."]
    if estimate.field is not None:
        notes.append("its noise follows the place, which a profile does not keep: one level for all.")
    law = estimate.variance or SignalVariance(0.0, estimate.sigma**2)
    if law.exponential:
        notes.append("its noise grows as on a logarithmic scale: a profile keeps the line nearest to that.")
        law = law.nearest_line(one.values(len(one) // 2, len(one) // 2 + 1))
    frequency, power = _spectrum(estimate)
    window, sigmas = fit_window(one), tuple(plane.sigma for plane in found.planes)
    profile = NoiseProfile(
        unit=one.unit,
        modality=likely_modality(one),
        source="one image",
        model=estimate.model,
        gain=law.slope,
        offset=law.constant,
        sigma=estimate.sigma,
        frequency=frequency,
        power=power,
        correlation_px=_correlation(frequency, power),
        window=window,
        sigmas=sigmas,
        steps=_steps(sigmas, window),
        spacing_mm=one.pixel_spacing_mm,
        counts=Counts(series=1, planes=len(one), settled=len(one)),
    )
    return MeasuredProfile(profile, tuple(notes))


def _is_subtracted(series: Series) -> bool:
    if series.modality in SIGNED:
        return False
    middle = len(series) // 2
    plane, valid = series.values(middle, middle + 1)[0], series.valid(middle, middle + 1)[0]
    return float(np.mean(local_mean(plane, valid)[valid] < 0)) > BELOW


def _spacing(series: Sequence[Series]) -> tuple[float, ...]:
    """The pixel spacing of the series, if all have one."""
    spacings = {one.pixel_spacing_mm for one in series}
    return spacings.pop() if len(spacings) == 1 else ()


def _steps(sigmas: Sequence[float], window: tuple[float, float]) -> tuple[int, ...]:
    """The step whose noise-to-signal ratio is nearest to each level, in its logarithm."""
    schedule = get_schedule(SCHEDULE)
    scale = 2 / (window[1] - window[0])
    return tuple(schedule.index_of(max(sigma * scale, 1e-9)) for sigma in sigmas)


def _spectrum(estimate: NoiseEstimate) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Samples of the spectrum that the bands of an estimate stand for."""
    frequency = np.arange(1, 46) / 64
    power = np.square(spectrum_of(estimate)(frequency.astype(np.float32)), dtype=np.float64)
    return tuple(frequency.tolist()), tuple(power.tolist())


def _correlation(frequency: tuple[float, ...], power: tuple[float, ...]) -> float:
    return correlation_length(sampled_amplitude(frequency, power))

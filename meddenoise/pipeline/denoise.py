"""One series denoised: the whole story on one page."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine import Engine, Planes
from meddenoise.engine.device import Device, choose_device
from meddenoise.engine.estimator import doubts
from meddenoise.engine.level import estimate_series, expect_noise, map_noise
from meddenoise.engine.planes import as_map, chunks, load_planes, shown, store_planes
from meddenoise.errors import UsageError
from meddenoise.io.modality import Taken, take
from meddenoise.io.scratch import copy_planes, make_planes, release
from meddenoise.methods import Row, Setup, rows
from meddenoise.methods.choice import Choice, choose
from meddenoise.metrics.measure import Measurement
from meddenoise.noise import SeriesNoise
from meddenoise.noise.map_file import digest
from meddenoise.normalize import fit_window
from meddenoise.pipeline.options import DEFAULTS, Options, check_options, choose_sampling
from meddenoise.pipeline.result import Result, engine_options
from meddenoise.series import Derivation, Series
from meddenoise.trust import Trust
from meddenoise.trust.removal import measure_removal
from meddenoise.trust.selfcheck import MEASURES, Sample, check_method
from meddenoise.trust.series import Change, Run, check_trust
from meddenoise.version import __version__

ROUNDING = 12**-0.5
"""Standard deviation of rounding to whole stored values: less noise than that cannot be seen in integers."""


def denoise_series(
    series: Series, options: Options = DEFAULTS, tick: Callable[[int], None] = lambda planes: None
) -> Result:
    """`series` with its noise removed: same header, geometry and pixel type, derivation added.

    Only some planes at a time are converted from the stored type. `tick` is called with the number of
    planes finished since its last call, before every batch with 0; it may raise to stop.

    Raises UsageError for options that do not fit, WeightsError for a checkpoint that cannot be used and
    MeddenoiseError where memory does not suffice for a single tile.
    """
    started = perf_counter()
    taken = take(series, options.modality)
    series, seen = taken.series, taken.seen
    choice, device = choose_for(seen, options)
    noise = _noise_of(taken, options)
    warnings, row = [*series.warnings, *taken.warnings, *choice.warnings], rows().get(choice.method.name)
    if options.strength > 0 and _has_noise(series, noise, warnings):
        setup = _set_up(seen, choice, noise, options)
        engine = Engine(choice.method, setup, engine_options(options, device), lambda: tick(0))
        made = _run(series, engine, noise, options, tick)
        if engine.context and not series.is_cine:
            name = choice.method.name
            warnings.append(f"no cine of several frames: {name} works on each by itself, with less to go by.")
    else:
        engine, made = None, _leave(series, options)
        tick(len(series))
    checks = Measurement({}, ())
    if row is not None and row.family == "self-supervised":
        checks = _check(series, engine, noise, options.share)
    if engine is not None:
        device = engine.device
        warnings += engine.warnings
    result = series.with_pixels(made.pixels, _describe(choice, options, noise, device))
    removal = measure_removal(series, result, () if _is_given(options) else noise.levels)
    return Result(
        series=result,
        choice=choice,
        device=device,
        noise=noise,
        seconds=perf_counter() - started,
        warnings=(*warnings, *checks.warnings, *filter(None, [removal.misfit(series.unit)])),
        removal=removal,
        mode=_mode(row, made.mode),
        uncertainty=None if made.spread is None else as_map(result, made.spread),
        checks=checks.values,
        trust=_judge(Change(seen, result, removal), engine, noise, options),
        modality=seen.modality,
        modality_from=taken.why,
    )


def _set_up(seen: Series, choice: Choice, noise: SeriesNoise, options: Options) -> Setup:
    return Setup(
        noise.middle,
        seen.modality,
        checkpoint=choice.checkpoint,
        sampling=choose_sampling(options),
        window=fit_window(seen),
        planes=noise,
    )


def _judge(change: Change, engine: Engine | None, noise: SeriesNoise, options: Options) -> Trust:
    """The verdict on the result, held against the noise that is seen: a level that was told may be wrong."""
    seen = estimate_series(change.noisy) if _is_given(options) else noise
    return check_trust(change, seen, None if engine is None else Run(engine, noise, options.share))


def _is_given(options: Options) -> bool:
    return (options.sigma, options.noise_profile, options.noise_map) != (None, None, None)


def _noise_of(taken: Taken, options: Options) -> SeriesNoise:
    """What the options say of the noise, and an estimate of what they do not say."""
    if options.noise_profile is not None:
        # no profile is refused because of a guess
        return expect_noise(taken.series, options.noise_profile)
    if options.noise_map is not None:
        return map_noise(taken.seen, Path(options.noise_map))
    noise = estimate_series(taken.seen)
    return noise if options.sigma is None else noise.with_sigma(options.sigma)


def choose_for(series: Series, options: Options) -> tuple[Choice, Device]:
    """What a series is denoised with, and where.

    Methods without weights are filters for the CPU in full precision, unless told otherwise.
    What `auto` chose must fit the other options too.

    Raises UsageError and WeightsError as `denoise_series`.
    """
    modality = take(series, options.modality).seen.modality
    choice = choose(options.method, options.weights, modality, series.is_cine)
    check_options(replace(options, method=choice.method.name))
    if choice.method.uses_weights:
        return choice, choose_device(options.device, options.precision)
    name = "cpu" if options.device == "auto" else options.device
    return choice, choose_device(name, "fp32" if options.precision == "auto" else options.precision)


@dataclass(frozen=True, slots=True)
class _Made:
    """New stored pixels, and what the engine told beside them."""

    pixels: NDArray[np.generic]
    spread: Planes | None
    mode: str | None


def _run(
    series: Series, engine: Engine, noise: SeriesNoise, options: Options, tick: Callable[[int], None]
) -> _Made:
    """All planes of a series through the engine."""
    shape, path = series.pixels.shape, series.path
    made = _Made(
        make_planes(shape, series.pixels.dtype, path),
        make_planes(shape, np.float32, path) if options.uncertainty else None,
        "diffusion" if engine.samples else "distilled",
    )
    for start, stop in chunks(series, engine):
        noisy, sigma = load_planes(series, start, stop, noise, engine.context)
        denoised = engine.run(noisy, sigma, start)
        # where a map says that there is no noise, no method has a say
        clean = np.where(sigma > 0, denoised.clean, noisy[:, engine.context])
        made.pixels[start:stop] = store_planes(series, start, stop, shown(series, clean), options.share)
        if made.spread is not None:
            if denoised.spread is None:
                raise UsageError("--uncertainty needs draws, and this method gives none: leave it out.")
            valid = series.valid(start, stop)
            made.spread[start:stop] = np.where(valid & (sigma > 0), options.share * denoised.spread, 0)
            release(made.spread)
        release(series.pixels, made.pixels)
        tick(stop - start)
    return made


def _mode(row: Row | None, ran: str | None) -> str | None:
    """How a method with a sampler ran, its one pass by the name its row gives it; None for all others."""
    if row is None or not row.sampler:
        return None
    return row.one_pass if ran == "distilled" else ran


def _leave(series: Series, options: Options) -> _Made:
    """The series as it is: nothing changed, so nothing uncertain."""
    spread = np.broadcast_to(np.float32(0), series.pixels.shape) if options.uncertainty else None
    return _Made(copy_planes(series.pixels, series.path), spread, choose_sampling(options).mode)


def _check(series: Series, engine: Engine | None, noise: SeriesNoise, strength: float) -> Measurement:
    """What a method shows without a reference, in the middle plane; nothing where it did not run."""
    if engine is None:
        why = "nothing was removed: leak, residual and risk are not measured."
        return Measurement(dict.fromkeys(MEASURES), (why,))
    middle = len(series) // 2
    noisy, sigma = load_planes(series, middle, middle + 1, noise, engine.context)
    sample = Sample(noisy, sigma, series.valid(middle, middle + 1), middle)
    return check_method(engine, sample, noise.plane(middle), strength)


def _has_noise(series: Series, noise: SeriesNoise, warnings: list[str]) -> bool:
    """False, and a warning, where there is no more noise than rounding makes."""
    is_float = series.pixels.dtype.kind == "f"
    floor = 0.0 if is_float else ROUNDING * float(np.abs(series.slope).max(initial=0))
    warnings += doubts(noise.planes)
    if noise.range()[1] > floor:
        return True
    warnings.append(
        f"no noise to remove (level {noise.sigma:.3g}{f' {series.unit}' if series.unit else ''}): "
        "the pixels are left as they are; give --sigma where you know better."
    )
    return False


def _describe(choice: Choice, options: Options, noise: SeriesNoise, device: Device) -> Derivation:
    method = choice.method.name
    settings = {
        **asdict(options),
        "method": method,
        "weights": choice.checkpoint.sha256 if choice.checkpoint else None,
        "sigma": noise.sigma,
        "noise_map": None if options.noise_map is None else digest(noise),
        "precision": device.precision,
        "version": __version__,
    }
    # Where it ran is no setting: the same study denoised again elsewhere stays the same object.
    del settings["device"]
    by = "" if options.noise_map is None else " by a map"
    description = (
        f"Noise reduced by meddenoise {__version__}, method {method}, "
        f"noise level {_words(noise)}{by}, strength {options.strength:g}. Not for diagnostic use."
    )
    return Derivation(method, description, json.dumps(settings, sort_keys=True))


def _words(noise: SeriesNoise) -> str:
    """The level of all planes, or the lowest and highest where those differ."""
    low, high = (f"{level:.4g}" for level in noise.range())
    return low if low == high else f"{low} to {high} by plane"

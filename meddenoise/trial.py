"""Every method that fits an image, tried on some of its planes: which one should be used here?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from meddenoise import selfcheck, weights
from meddenoise.errors import MeddenoiseError, first_line
from meddenoise.evaluation import Options as Measured
from meddenoise.evaluation import evaluate_series
from meddenoise.level import estimate_series
from meddenoise.methods import Row, rows
from meddenoise.metrics import UndefinedError
from meddenoise.metrics.measure import Wanted
from meddenoise.options import Options
from meddenoise.pairing import align_planes
from meddenoise.pipeline import denoise_series
from meddenoise.planes import load_planes
from meddenoise.series import Series
from meddenoise.trust import Trust
from meddenoise.trust.again import rebuild

SLICES, FRAMES = 3, 5
"""Planes that are tried: slices spread over the series, frames that follow each other."""
WARM = 64
"""Side of what a method is run on before its time is taken."""
METRICS = ("psnr", "ssim", "rmse")


@dataclass(frozen=True, slots=True)
class Sample:
    """Some planes of a series, which of how many, and the same of its reference."""

    noisy: Series
    planes: tuple[int, ...]
    planes_in_all: int
    reference: Series | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What one method did: seconds a plane, noise left, estimated error (both in the unit), verdict, metrics.

    `error` is the sentence why it has no result.
    """

    method: str
    weights: str | None = None
    seconds: float | None = None
    sigma_after: float | None = None
    risk: float | None = None
    trust: Trust | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""
    result: Series | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Names of methods that fit, and of those left out with the reason."""

    names: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)


def fitting(modality: str) -> Candidates:
    """The methods that fit images of a DICOM `modality` ("" where unknown) and are quick enough to try."""
    found: list[str] = []
    left_out: dict[str, str] = {}
    for name, row in rows().items():
        why = _why_not(name, row, modality)
        if why:
            left_out[name] = why
        else:
            found.append(name)
    return Candidates(tuple(found), left_out)


def take_sample(series: Series, reference: Series | None) -> Sample:
    """Some planes of `series` and those of the reference that belong to them.

    Raises InputError where the two do not agree.
    """
    count = len(series) // series.channels
    if series.is_cine:
        start = max(0, (count - FRAMES) // 2)
        frames = np.arange(start, min(count, start + FRAMES))
    else:
        tried = min(count, SLICES)
        frames = ((np.arange(tried) + 0.5) * count / tried).astype(int)
    planes = (frames[:, None] * series.channels + np.arange(series.channels)).ravel()
    noisy = _pick(series, planes, series)
    clean = None
    if reference is not None:
        clean = _pick(reference, align_planes(series, reference)[planes], series)
    return Sample(noisy, tuple(int(frame) for frame in frames), count, clean)


def try_methods(
    sample: Sample, names: Sequence[str], options: Options, tell: Callable[[str, float], None]
) -> list[Trial]:
    """One trial a method, in the order given; one that fails has its reason.

    `tell` is called with the method that runs and the share of its planes that is done; it may raise to stop.
    """
    return [_try(sample, replace(options, method=name), tell) for name in names]


def suggest(trials: Sequence[Trial]) -> tuple[str, str] | None:
    """The method to use and why it; None where none can be trusted."""
    trusted = [trial for trial in trials if trial.trust is not None and trial.trust.verdict == "ok"]
    pool = trusted or [t for t in trials if t.trust is not None and t.trust.verdict in ("look", None)]
    among = "trust ok" if trusted else "none is trusted without a look"
    for key, sign, why in _ORDER:
        scored = [(sign * value, trial.method) for trial in pool if (value := key(trial)) is not None]
        if scored and len(scored) == len(pool):
            return min(scored)[1], f"{why}; {among}"
    return None


_ORDER: tuple[tuple[Callable[[Trial], float | None], int, str], ...] = (
    (lambda trial: trial.metrics.get("psnr"), -1, "the highest PSNR"),
    (lambda trial: trial.risk, 1, "the least estimated error"),
    (lambda trial: trial.sigma_after, 1, "the least noise left"),
)


def _try(sample: Sample, options: Options, tell: Callable[[str, float], None]) -> Trial:
    name, noisy, done = options.method, sample.noisy, 0

    def tick(planes: int) -> None:
        nonlocal done
        done += planes
        tell(name, done / len(noisy))

    started = perf_counter()
    try:
        # what is loaded and set up at first is no part of the time a plane takes
        denoise_series(_corner(noisy), options, lambda planes: tell(name, 0.0))
        result = denoise_series(noisy, options, tick)
        risk = _estimated_error(noisy, name)
    except Exception as error:
        known = isinstance(error, MeddenoiseError)
        text = str(error) if known else f"{type(error).__name__}: {first_line(error)}"
        return Trial(name, seconds=perf_counter() - started, error=text)
    metrics: dict[str, float | None] = {}
    if sample.reference is not None:
        wanted = Measured(wanted=Wanted(METRICS))
        metrics = evaluate_series(result.series, sample.reference, noisy, wanted).metrics.values
    return Trial(
        name,
        result.choice.weights,
        result.seconds * noisy.channels / len(noisy),
        result.sigma_after,
        risk,
        result.trust,
        metrics,
        result.warnings,
        result=result.series,
    )


def _pick(series: Series, planes: np.ndarray, place: Series) -> Series:
    """Some planes of a series, said to lie where `place` begins: so that both of a pair agree."""
    return replace(
        series,
        pixels=np.ascontiguousarray(series.pixels[planes]),
        slope=series.slope[planes],
        intercept=series.intercept[planes],
        geometry=place.geometry,
        frame_time_ms=place.frame_time_ms,
        files=series.files[:1],
    )


def _corner(series: Series) -> Series:
    """A small part of the first frames."""
    return replace(series, pixels=series.pixels[:, :WARM, :WARM])


def _why_not(name: str, row: Row, modality: str) -> str:
    """Why a method is not tried; empty where it is."""
    if row.sampler and row.shares:
        return "a sampler to compare with, slow"
    if row.white_only:
        return "made for white noise"
    if row.extra and find_spec(row.extra) is None:
        return f"not installed: pip install 'meddenoise[{row.extra}]'"
    if not row.learned:
        return ""
    try:
        best = weights.choose(name, modality, row.shares)
        here = weights.locate_local(best.name) is not None
    except MeddenoiseError:
        return f"no weights for {modality or 'images of unknown modality'}"
    return "" if here else f"weights not here: meddenoise weights pull {best.name}"


def _estimated_error(noisy: Series, name: str) -> float | None:
    """Root of the estimated mean square error in the middle plane; None where it has no value."""
    noise = estimate_series(noisy)
    run = rebuild(name, None, noisy, noise)
    if run.engine.samples or noise.sigma <= 0:
        return None
    middle = len(noisy) // 2
    planes, sigma = load_planes(noisy, middle, middle + 1, noise, run.engine.context)
    seen = selfcheck.Sample(planes, sigma, noisy.valid(middle, middle + 1), middle)
    try:
        return float(np.sqrt(max(selfcheck.estimate_risk(run.engine, seen, noise.plane(middle)), 0.0)))
    except UndefinedError:
        return None

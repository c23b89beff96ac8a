"""Every method that fits an image, tried on some of its planes: which one should be used here?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from meddenoise import weights
from meddenoise.engine.planes import middle_plane
from meddenoise.errors import MeddenoiseError, first_line
from meddenoise.evaluation.forecast import WARM, Forecast
from meddenoise.evaluation.pair import EvaluationOptions, evaluate_series
from meddenoise.evaluation.rerun import rebuild
from meddenoise.io.pairing import align_planes
from meddenoise.methods import MethodRow, rows
from meddenoise.metrics import UndefinedError
from meddenoise.metrics.measure import Wanted
from meddenoise.noise import SeriesNoise
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.series import Series
from meddenoise.trust import Trust
from meddenoise.trust.reference import examine_reference, judge_by_reference
from meddenoise.trust.removal import Removal
from meddenoise.trust.selfcheck import estimate_risk

SLICES, FRAMES = 3, 5
"""Planes that are tried: slices spread over the series, frames that follow each other."""
TIE_DB, TIE_SHARE = 0.05, 0.01
"""Results no further apart in PSNR, or in what is measured without a reference, are level."""
METRICS = ("psnr", "ssim", "rmse")


@dataclass(frozen=True, slots=True)
class Sample:
    """Some planes of a series, which of how many, and the same of its reference."""

    noisy: Series
    planes: tuple[int, ...]
    planes_in_all: int
    reference: Series | None = None

    @property
    def is_its_own_reference(self) -> bool:
        """True where the reference is the noisy image itself."""
        noisy, clean = self.noisy, self.reference
        count = len(noisy)
        return clean is not None and np.array_equal(
            noisy.values(0, count), clean.values(0, count), equal_nan=True
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """Trial of one method: seconds a plane, noise, verdict, metrics.

    `method` is the one that ran, `risk` the estimated error in the unit, `error` why there is no result.
    """

    method: str
    weights: str | None = None
    seconds: float | None = None
    removal: Removal = field(default_factory=Removal)
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
    sample: Sample,
    names: Sequence[str],
    options: Options,
    tell: Callable[[str, float], None],
    warn: Callable[[str], None] = lambda sentence: None,
) -> list[Trial]:
    """One trial a method, in the order given; one that fails has its reason.

    `tell` is called with the method that runs and the share of its planes that is done; it may raise to stop.
    `warn` is called with a sentence for each method that will take long, before the first one runs.
    """
    forecast = Forecast(sample.noisy, options)
    for sentence in filter(None, map(forecast.warning, names)):
        warn(sentence)
    return [_try(sample, replace(options, method=name), tell) for name in names]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The method to use, why it, and the methods whose results are level with it."""

    method: str
    why: str
    ties: tuple[str, ...] = ()


def suggest(trials: Sequence[Trial]) -> Suggestion | None:
    """The method to use, the quickest of those that are level; None where none can be trusted."""
    trusted = [trial for trial in trials if trial.trust is not None and trial.trust.verdict == "ok"]
    pool = trusted or [t for t in trials if t.trust is not None and t.trust.verdict in ("look", None)]
    among = "trust ok" if trusted else "none is trusted without a look"
    for key, margin, why in _ORDER:
        scored = [(value, trial) for trial in pool if (value := key(trial)) is not None]
        if scored and len(scored) == len(pool):
            best = min(value for value, _ in scored)
            level = [trial for value, trial in scored if value <= best + margin(best)]
            chosen = min(level, key=lambda trial: trial.seconds or 0.0)
            ties = tuple(dict.fromkeys(t.method for t in level if t.method != chosen.method))
            return Suggestion(chosen.method, f"{why}; {among}", ties)
    return None


def _negative_psnr(trial: Trial) -> float | None:
    """PSNR with its sign turned, so that less is better."""
    psnr = trial.metrics.get("psnr")
    return None if psnr is None else -psnr


_ORDER: tuple[tuple[Callable[[Trial], float | None], Callable[[float], float], str], ...] = (
    (_negative_psnr, lambda best: TIE_DB, "the highest PSNR"),
    (lambda trial: trial.risk, lambda best: TIE_SHARE * best, "the least estimated error"),
    (lambda trial: trial.removal.after, lambda best: TIE_SHARE * best, "the least noise left"),
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
        name = result.choice.method.name
        risk = _estimated_error(noisy, name, result.seen_noise)
    except Exception as error:
        known = isinstance(error, MeddenoiseError)
        text = str(error) if known else f"{type(error).__name__}: {first_line(error)}"
        return Trial(name, seconds=perf_counter() - started, error=text)
    metrics: dict[str, float | None] = {}
    trust = result.trust
    if sample.reference is not None:
        wanted = EvaluationOptions(wanted=Wanted(METRICS), noise=result.seen_noise)
        pair = evaluate_series(result.series, sample.reference, noisy, wanted)
        metrics = pair.metrics.values
        if trust is not None and pair.protocol.noise is not None:
            found = examine_reference(noisy, result.series, sample.reference, pair.protocol.noise)
            trust = judge_by_reference(trust, found, options.tried(name))
    return Trial(
        name,
        result.choice.weights,
        result.seconds * noisy.channels / len(noisy),
        result.removal or Removal(),
        risk,
        trust,
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


def _why_not(name: str, row: MethodRow, modality: str) -> str:
    """Reason why a method is not tried; empty if it is."""
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


def _estimated_error(noisy: Series, name: str, noise: SeriesNoise) -> float | None:
    """Root of the estimated mean square error in the middle plane; None where it has no value."""
    run = rebuild(name, None, noisy, noise)
    if run.engine.samples or noise.sigma <= 0:
        return None
    plane = middle_plane(noisy, noise, run.engine.context)
    try:
        return float(np.sqrt(max(estimate_risk(run.engine, plane, noise.plane(plane.index)), 0.0)))
    except UndefinedError:
        return None

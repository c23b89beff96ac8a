"""The report of one finished series: its row, and its drawing on the page."""

import logging
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meddenoise.batch.tasks import Task
from meddenoise.errors import InputError, MeddenoiseError
from meddenoise.io import Item, read_item
from meddenoise.io.archive import origin
from meddenoise.io.pairing import follow
from meddenoise.pipeline.options import Options
from meddenoise.report import Row
from meddenoise.report.page import Drawing
from meddenoise.series import Series

if TYPE_CHECKING:  # torch costs over a second: it is imported while the first series is read
    from meddenoise.pipeline.result import Result

_log = logging.getLogger(__name__)


def row_of(task: Task, result: "Result", options: Options, digest: str) -> Row:
    """The row of a result; metrics against a reference are not in it yet."""
    from meddenoise.trust.removal import noise_entry

    series, choice = result.series, result.choice
    planes, height, width = series.pixels.shape
    frames = planes // series.channels
    checkpoint = choice.checkpoint
    return Row(
        input=str(origin(task.item.path)),
        output=str(task.targets[0] if len(task.targets) == 1 else task.targets[0].parent),
        format=task.item.format,
        modality=result.modality,
        modality_from=result.modality_from,
        shape=(frames, height, width),
        spacing_mm=series.geometry.spacing_mm if series.geometry.known else None,
        method=choice.method.name,
        mode=result.mode,
        weights={"name": str(choice.weights), "sha256": checkpoint.sha256} if checkpoint else None,
        seed=options.seed,
        strength=options.strength,
        noise=noise_entry(result.removal, series.unit) | _given(result, options),
        metrics=result.checks,
        seconds=round(result.seconds, 3),
        slices_per_second=round(frames / max(result.seconds, 1e-9), 3),
        peak_memory_mib=_peak_memory_mib(),
        warnings=result.warnings,
        trust=None if result.trust is None else asdict(result.trust),
        done=result.done,
        name=series.label,
        description=series.name,
        fingerprint=digest,
    )


def _given(result: "Result", options: Options) -> dict[str, Any]:
    """The noise level that the method was given, and where it comes from; empty for other tasks."""
    if result.done is not None:
        return {}
    profile = options.noise_profile
    source = "estimated from the image"
    if profile is not None:
        source = "--noise-profile"
    elif options.noise_map is not None:
        source = f"--noise-map {Path(options.noise_map).name}"
    elif options.sigma is not None:
        source = "--sigma"
    measured = None if profile is None else profile.describe()
    return {"sigma_used": result.noise.sigma, "source": source, "profile": measured}


def compare(row: Row, made: "Result", series: Series, item: Item | None) -> tuple[Row, Series | None]:
    """The row with metrics and verdict by the reference of a result of `series`; the reference comes too.

    Without a reference the row as it is; with one that does not fit, a warning and metrics without values.
    """
    if item is None:
        return row, None
    from meddenoise.evaluation.pair import EvaluationOptions, evaluate_series
    from meddenoise.metrics.measure import measurable
    from meddenoise.trust.reference import examine_reference, judge_by_reference

    result, trust = made.series, made.trust
    try:
        reference = read_item(item)
        pair = evaluate_series(result, reference, series, EvaluationOptions(noise=made.seen_noise))
        if trust is not None and pair.protocol.noise is not None:
            found = examine_reference(series, result, reference, pair.protocol.noise)
            trust = judge_by_reference(trust, found, row.tried)
    except InputError as error:
        none = dict.fromkeys(measurable("reference", "noisy", "result"))
        warnings = (*row.warnings, f"no metric could be computed: {error}")
        return replace(row, metrics=row.metrics | none, warnings=warnings), None
    measured = replace(
        row,
        metrics=row.metrics | pair.metrics.values,
        trust=None if trust is None else asdict(trust),
        noisy_metrics={} if pair.before is None else pair.before.values,
        warnings=(*row.warnings, *pair.warnings),
    )
    return measured, follow(result, reference)


@dataclass(frozen=True, slots=True)
class Images:
    """Images drawn of one series: the input, its result, and its reference in the same order."""

    series: Series
    result: "Result"
    reference: Series | None = None


def draw(images: Images, *, brief: bool, phi: bool) -> tuple[Drawing | None, str]:
    """The drawing of a result, naming the patient only with `phi`; None and why where it cannot be drawn."""
    from meddenoise.report.page.drawing import draw_series
    from meddenoise.report.page.shown import Shown

    result = images.result
    shown = Shown(
        result.series,
        images.series,
        images.reference,
        result.uncertainty,
        sigma=result.noise.sigma,
        removal=result.removal,
        brief=brief,
    )
    try:
        drawing = draw_series(shown)
    except Exception as error:  # the images are written: nothing that goes wrong here may lose them
        _log.debug("%s cannot be drawn", images.series.path, exc_info=True)
        return None, f"the HTML report has no pictures of this series ({type(error).__name__}: {error})."
    return drawing if phi else replace(drawing, who=""), ""


def _peak_memory_mib() -> int:
    """Largest resident memory of this process so far; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    from resource import RUSAGE_SELF, getrusage

    peak = getrusage(RUSAGE_SELF).ru_maxrss
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def sentence_of(task: Task, error: BaseException) -> str:
    """Sentence on the failure, with the name of the input."""
    text = str(error).strip().replace(str(task.item.root), str(origin(task.item.root)))
    path = str(origin(task.item.path))
    if isinstance(error, MeddenoiseError):
        return text if path in text else f"{path}: {text}"
    if isinstance(error, OSError):
        where = error.filename or "a file"
        return (
            f"{path}: {where} cannot be read or written ({error.strerror or text}): check it and its space."
        )
    if isinstance(error, MemoryError):
        return f"{path} does not fit into the memory that is free: close other programs or split the series."
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return (
        f"{path} failed for a reason meddenoise does not know ({what}): run again with --debug and report it."
    )

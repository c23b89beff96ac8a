"""An evaluation as a document: JSON for a pipeline, and the same rows as a table."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from meddenoise.evaluation import Evaluation
from meddenoise.evaluation.comparison import Standing
from meddenoise.evaluation.pair import Pair, shared_unit
from meddenoise.io.atomic import staged
from meddenoise.metrics import METRICS, NOISE, TEXTURE, TRUTH, Protocol
from meddenoise.report import as_table, finite, flatten
from meddenoise.trust.removal import noise_entry
from meddenoise.version import __version__

SCHEMA = 1
SUFFIXES = (".json", ".csv", ".html")
"""Of the files that are written; any of them names all."""
KEY = 4
"""Metrics that are listed first."""

Document = dict[str, Any]


def as_document(evaluation: Evaluation) -> Document:
    """The evaluation as JSON can hold it: numbers that could not be measured, and infinite ones, are None."""
    document: Document = {
        "schema": SCHEMA,
        "meddenoise": __version__,
        "pairs": [_pair(pair) for pair in evaluation.pairs],
        "mean": evaluation.mean.values,
        "results": [_standing(standing) for standing in evaluation.standings],
        "comparisons": [asdict(comparison) for comparison in evaluation.comparisons],
        "definitions": _definitions(evaluation),
        "warnings": general_warnings(evaluation) + _mean_warnings(evaluation),
        "failed": [{"input": str(path), "error": error} for path, error in evaluation.failed],
    }
    for name, mean in (("mean_noisy", evaluation.mean_before), ("mean_reference", evaluation.mean_truth)):
        if mean is not None:
            document[name] = mean.values
    cleaned: Document = finite(document)
    return cleaned


def general_warnings(evaluation: Evaluation) -> list[str]:
    """Warnings about all pairs together: means over some results only, too few patients for an interval."""
    warnings = list(evaluation.mean.warnings)
    standings = evaluation.standings
    if any(standing.cases < 2 for standing in standings) and len(evaluation.pairs) > len(standings):
        warnings.append("all series are of one patient: intervals and tests over patients need more.")
    return warnings


def key_metrics(evaluation: Evaluation) -> list[str]:
    """The metrics listed for single series and for comparisons: the first of the table that have a value."""
    measured = [pair.metrics.values for pair in evaluation.pairs]
    return [n for n in evaluation.mean.values if any(of.get(n) is not None for of in measured)][:KEY]


def winner(metric: str, evaluation: Evaluation) -> str | None:
    """The one set of results that is nearest to the best value; None where that is not known, or a tie."""
    best = METRICS[metric].best if metric in METRICS else ""
    aims = {"high": float("inf"), "low": float("-inf"), TRUTH: None, TEXTURE: None, NOISE: None}
    aim = aims[best] if best in aims else float(best or "nan")
    for kind, mean in ((TRUTH, evaluation.mean_truth), (TEXTURE, evaluation.mean_before)):
        aim = mean.values.get(metric) if best == kind and mean else aim
    known = [
        (s.name, value) for s in evaluation.standings if (value := s.mean.values.get(metric)) is not None
    ]
    if aim is None or aim != aim or len(known) < 2:
        return None
    sign = 1 if aim > 0 else -1
    off = {name: -sign * value if abs(aim) == float("inf") else abs(value - aim) for name, value in known}
    least = min(off.values())
    winners = [name for name, distance in off.items() if distance == least]
    return winners[0] if len(winners) == 1 else None


def as_json(document: Document) -> str:
    """The document as text, in ASCII: every locale can print it."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_document(document: Document, path: Path) -> tuple[Path, Path]:
    """Write the document (.json) and its pairs as a table (.csv) of that name; both paths are given back.

    Raises OutputError where one cannot be written.
    """
    sheet, table = path.with_suffix(".json"), path.with_suffix(".csv")
    lines = [flatten(pair) for pair in document["pairs"]]
    lines += [{"result": failure["input"], "error": failure["error"]} for failure in document["failed"]]
    with staged([sheet, table]) as staging:
        for target, text in ((sheet, as_json(document)), (table, as_table(lines))):
            with staging.file(target) as stream:
                stream.write(text.encode(errors="backslashreplace"))
    return sheet, table


def _mean_warnings(evaluation: Evaluation) -> list[str]:
    count = len(evaluation.standings)
    return [f"mean is over {count} sets of results: results has the mean of each."] if count > 1 else []


def _pair(pair: Pair) -> Document:
    protocol = pair.protocol
    document: Document = {
        "result": str(pair.result),
        "reference": None if pair.reference is None else str(pair.reference),
        "noisy": None if pair.noisy is None else str(pair.noisy),
        "case": pair.case,
        "metrics": pair.metrics.values,
        "noise": noise_entry(pair.removal, protocol.unit),
        "protocol": _protocol(protocol),
        "warnings": list(pair.warnings),
    }
    if pair.trust is not None:
        document["trust"] = asdict(pair.trust)
    for name, measured in (("noisy_metrics", pair.before), ("reference_metrics", pair.truth)):
        if measured is not None:
            document[name] = measured.values
    return document


def _protocol(protocol: Protocol) -> Document:
    return {
        "data_range": protocol.data_range,
        "range_source": protocol.range_source,
        "window": protocol.window,
        "unit": protocol.unit,
        "mask": protocol.mask_source,
        "scope": protocol.scope,
        "spacing_mm": protocol.spacing_mm,
        "crop": None if protocol.crop is None else str(protocol.crop),
        "rois": [str(box) for box in protocol.rois],
        "edge": None if protocol.edge is None else str(protocol.edge),
    }


def _standing(standing: Standing) -> Document:
    return {
        "result": standing.name,
        "series": standing.results,
        "cases": standing.cases,
        "sigma_after": standing.sigma_after,
        "mean": standing.mean.values,
        "interval_95": standing.intervals,
    }


def _definitions(evaluation: Evaluation) -> Document:
    """Definition, unit (None where the series have several) and best value of each number."""
    return {
        name: {"unit": shared_unit(name, evaluation.pairs), "best": row.best, "what": row.what}
        for name, row in METRICS.items()
        if name in evaluation.mean.values
    }

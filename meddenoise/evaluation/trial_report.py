"""A trial of methods as JSON and as the pictures of its contact sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from meddenoise.engine.level import estimate_series
from meddenoise.evaluation.trial import Sample, Trial, suggest
from meddenoise.report import finite
from meddenoise.report.contact_sheet import Exhibit
from meddenoise.trust.removal import noise_entry
from meddenoise.version import __version__

SCHEMA = 1


def as_document(sample: Sample, trials: Sequence[Trial], left_out: Mapping[str, str]) -> dict[str, Any]:
    """The trial as JSON can hold it: numbers that could not be measured are None."""
    noise = estimate_series(sample.noisy).sigma
    suggested = suggest(trials) if noise > 0 else None
    document: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "meddenoise": __version__,
            "input": str(sample.noisy.path),
            "reference": None if sample.reference is None else str(sample.reference.path),
            "modality": sample.noisy.modality,
            "unit": sample.noisy.unit,
            "sigma": noise,
            "planes": sample.planes,
            "planes_in_all": sample.planes_in_all,
            "methods": [_row(trial, sample.noisy.unit) for trial in trials],
            "left_out": dict(left_out),
            "suggested": None if suggested is None else asdict(suggested),
        }
    )
    return document


def exhibits(sample: Sample, trials: Sequence[Trial]) -> list[Exhibit]:
    """The input, the reference where there is one, and every result with its verdict."""
    shown = [Exhibit("input", sample.noisy)]
    shown += [] if sample.reference is None else [Exhibit("reference", sample.reference)]
    for trial in trials:
        if trial.result is not None:
            psnr = trial.metrics.get("psnr")
            verdict = (trial.trust and trial.trust.verdict) or "not judged"
            text = verdict if psnr is None else f"{psnr:.2f} dB, {verdict}"
            shown.append(Exhibit(trial.method, trial.result, text))
    return shown


def _row(trial: Trial, unit: str) -> dict[str, Any]:
    return {
        "method": trial.method,
        "weights": trial.weights,
        "seconds_per_plane": trial.seconds,
        "noise": noise_entry(trial.removal, unit),
        "estimated_error": trial.risk,
        "metrics": trial.metrics,
        "trust": None if trial.trust is None else asdict(trial.trust),
        "warnings": trial.warnings,
        "error": trial.error,
    }

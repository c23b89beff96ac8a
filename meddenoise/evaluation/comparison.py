"""Results over several patients: means, intervals, and which of two methods is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from meddenoise.metrics import UndefinedError
from meddenoise.metrics.measure import Measurement, average

NOISY = "noisy"
"""Name of the noisy images in comparisons with results."""

Measured = Sequence[tuple[str, Measurement]]
"""Patient and what was measured of one series of theirs."""
Interval = tuple[float, float]

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST = 6
"""Patients below which no signed rank test can fall under 0.05, whatever the differences."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """One set of results: means over its series, and 95 % intervals of the mean over patients.

    A metric has no interval where fewer than two patients have a value.
    """

    name: str
    mean: Measurement
    intervals: dict[str, Interval | None]
    cases: int
    """Patients."""
    results: int
    """Series."""
    sigma_before: float | None
    sigma_after: float | None
    """Noise in the flat places before and after, over the series that all sets have, or None."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name` less `against` in one metric, over the patients that have a value in both.

    `difference` is the mean over patients with its 95 % interval; `p` that of Wilcoxon's signed rank test,
    None where it has none, with the reason in `why`.
    """

    metric: str
    name: str
    against: str
    difference: float
    interval: Interval
    p: float | None
    cases: int
    why: str = ""


def stand(name: str, measured: Measured, levels: Sequence[tuple[float, float]]) -> Standing:
    """The means of one set of results and their intervals; `levels` are noise before and after of some."""
    mean = average([measurement for _, measurement in measured])
    intervals = {metric: _interval(list(_by_case(measured, metric).values())) for metric in mean.values}
    cases = {case for case, _ in measured}
    before, after = map(fmean, zip(*levels, strict=True)) if levels else (None, None)
    return Standing(name, mean, intervals, len(cases), len(measured), before, after)


def compare(name: str, measured: Measured, against: str, others: Measured) -> list[Comparison]:
    """Each metric of one set of results against another, where two patients or more have a value in both."""
    comparisons = []
    for metric in average([measurement for _, measurement in measured]).values:
        mine, theirs = _by_case(measured, metric), _by_case(others, metric)
        differences = [value - theirs[case] for case, value in mine.items() if case in theirs]
        interval = _interval(differences)
        if interval is not None:
            p, why = _p_value(differences)
            mean = sum(differences) / len(differences)
            comparisons.append(Comparison(metric, name, against, mean, interval, p, len(differences), why))
    return comparisons


def _by_case(measured: Measured, metric: str) -> dict[str, float]:
    """The mean over each patient's series that have a value: patients count alike, however many series."""
    values: dict[str, list[float]] = {}
    for case, measurement in measured:
        value = measurement.values.get(metric)
        if value is not None:
            values.setdefault(case, []).append(value)
    return {case: sum(known) / len(known) for case, known in values.items()}


def _interval(values: list[float]) -> Interval | None:
    try:
        return bootstrap_interval(values)
    except UndefinedError:
        return None


def _p_value(differences: list[float]) -> tuple[float | None, str]:
    try:
        return signed_rank(differences), ""
    except UndefinedError as error:
        return None, str(error)


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The interval of 95 % around the mean of values, one a patient, by 10 000 resamples of patients.

    Percentiles; the same seed gives the same interval. Raises UndefinedError for fewer than two patients.
    Source: Efron, Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    known = np.asarray(values, np.float64)
    if len(known) < 2:
        raise UndefinedError("an interval takes two patients or more")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            known[rng.integers(0, len(known), (_AT_ONCE, len(known)))].mean(axis=1)
            for _ in range(RESAMPLES // _AT_ONCE)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def signed_rank(differences: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed rank test that paired differences, one a patient, lie around 0.

    Raises UndefinedError for fewer than FEWEST patients, or where no difference is other than 0.
    """
    from scipy.stats import wilcoxon

    if len(differences) < FEWEST:
        raise UndefinedError(f"a signed rank test takes {FEWEST} patients or more")
    if not np.any(differences):
        raise UndefinedError("there is no difference")
    return float(wilcoxon(np.asarray(differences, np.float64)).pvalue)

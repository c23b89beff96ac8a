"""Results over several patients: means, intervals, and which of two methods is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from meddenoise.evaluation.statistics import bootstrap_interval, signed_rank
from meddenoise.metrics import UndefinedError
from meddenoise.metrics.measure import Measurement, average

NOISY = "noisy"
"""What the noisy images are called where results are compared with them."""

Measured = Sequence[tuple[str, Measurement]]
"""Patient and what was measured of one series of theirs."""
Interval = tuple[float, float]


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
    sigma_after: float | None
    """Noise left in the flat places of the results, mean over series; None where none has any."""


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


def stand(name: str, measured: Measured, sigmas: Sequence[float | None]) -> Standing:
    """The means of one set of results and their intervals; `sigmas` is the noise left in each."""
    mean = average([measurement for _, measurement in measured])
    intervals = {metric: _interval(list(_by_case(measured, metric).values())) for metric in mean.values}
    cases = {case for case, _ in measured}
    known = [sigma for sigma in sigmas if sigma is not None]
    return Standing(name, mean, intervals, len(cases), len(measured), fmean(known) if known else None)


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

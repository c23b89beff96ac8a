"""The results of an evaluation side by side: their means with intervals, and which differences are real."""

from html import escape
from pathlib import Path

from meddenoise.evaluation import Evaluation
from meddenoise.evaluation.comparison import Comparison, Standing
from meddenoise.evaluation.document import key_metrics, winner
from meddenoise.evaluation.pair import shared_unit
from meddenoise.report.page.meanings import meaning_of, name_of
from meddenoise.report.page.tables import number, table


def standings(evaluation: Evaluation) -> str:
    """Both tables as HTML; nothing where a single result is measured, whose own section says it all."""
    if len(evaluation.pairs) < 2:
        return ""
    return _means(evaluation) + _differences(evaluation)


def _means(evaluation: Evaluation) -> str:
    """A row a metric: the noisy images, every set of results, the references."""
    before, truth, sets = evaluation.mean_before, evaluation.mean_truth, evaluation.standings
    heads = [*(["noisy"] if before else []), *(standing.name for standing in sets)]
    heads += ["reference"] if truth and truth.values else []
    rows = []
    for metric in evaluation.mean.values:
        unit = shared_unit(metric, evaluation.pairs)
        if unit is None:
            continue
        best = winner(metric, evaluation)
        cells = [_cell(number(before.values.get(metric), metric=metric))] if before else []
        cells += [_mean(standing, metric, standing.name == best) for standing in sets]
        cells += [_cell(number(truth.values.get(metric), metric=metric))] if truth and truth.values else []
        label = _with_unit(name_of(metric), unit)
        rows.append(
            f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}'
            f"<td>{escape(meaning_of(metric))}</td></tr>"
        )
    head = "".join(f'<th scope="col" class="n">{escape(name)}</th>' for name in heads)
    told = any(interval is not None for standing in sets for interval in standing.intervals.values())
    over = ", with 95 % intervals over patients" if told else ""
    note = " The best of each row is marked." if len(sets) > 1 else ""
    return table(
        "standings",
        f"Means over {evaluation.standings[0].results} series{over}.{note}",
        f'<th scope="col">Measure</th>{head}<th scope="col">Meaning</th>',
        rows,
    )


def _mean(standing: Standing, metric: str, is_best: bool) -> str:
    """One mean and, below it, its interval."""
    interval = standing.intervals.get(metric)
    about = "" if interval is None else f"<small>{escape(_between(interval))}</small>"
    return _cell(number(standing.mean.values.get(metric), metric=metric), about, "best" if is_best else "")


def _differences(evaluation: Evaluation) -> str:
    """One result less another over patients, of the first metrics."""
    wanted = key_metrics(evaluation)
    rows = [_difference(row, evaluation) for row in evaluation.comparisons if row.metric in wanted]
    if not rows:
        return ""
    heads = "".join(f'<th scope="col" class="n">{head}</th>' for head in ("Mean", "95 % interval", "p", "n"))
    return table(
        "standings",
        "Differences over patients. If the interval contains 0, or p is above 0.05, it may be chance.",
        f'<th scope="col">Difference</th><th scope="col">Measure</th>{heads}',
        rows,
    )


def _difference(row: Comparison, evaluation: Evaluation) -> str:
    names = f"{_short(row.name)} − {_short(row.against)}"
    label = _with_unit(name_of(row.metric), shared_unit(row.metric, evaluation.pairs) or "")
    p = escape(f"{row.p:.2g}") if row.p is not None else f'<span title="{escape(row.why)}">–</span>'
    return (
        f'<tr><th scope="row">{escape(names)}</th><td>{escape(label)}</td>'
        + _cell(_signed(row.difference))
        + _cell(_between(row.interval, signed=True))
        + f'<td class="n">{p}</td>{_cell(str(row.cases))}</tr>'
    )


def _with_unit(name: str, unit: str) -> str:
    """The name of a metric with its unit."""
    return f"{name} [{unit}]" if unit else name


def _short(name: str) -> str:
    return Path(name).name or name


def _between(interval: tuple[float, float], *, signed: bool = False) -> str:
    low, high = (_signed(end) if signed else number(end) for end in interval)
    return f"{low} … {high}"


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def _cell(text: str, more: str = "", kind: str = "") -> str:
    return f'<td class="{" ".join(filter(None, ("n", kind)))}">{escape(text)}{more}</td>'

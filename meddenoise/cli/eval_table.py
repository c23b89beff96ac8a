"""The tables of `meddenoise eval` on stderr: results side by side, within 80 columns."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meddenoise.cli.streams import printable
from meddenoise.cli.tables import format_number, name_series
from meddenoise.evaluation.document import general_warnings, key_metrics, winner
from meddenoise.evaluation.pair import shared_unit
from meddenoise.metrics import METRICS, NOISE, TEXTURE, TRUTH
from meddenoise.trust import CHECKS
from meddenoise.trust.advice import say_advice

if TYPE_CHECKING:
    from meddenoise.evaluation import Evaluation
    from meddenoise.evaluation.comparison import Standing
    from meddenoise.evaluation.pair import Pair
    from meddenoise.metrics.measure import Measurement

_WIDTH = 80
"""Columns where stderr is no terminal."""
_NAME = 12
"""Columns of the name of a result above its numbers."""
_LABEL, _NUMBER = 21, 9
"""Columns of the name of a metric with its unit, and of a number with its asterisk."""
_MOST = 40
"""Single series that are listed."""
_PATHS = ("warning: ", "failed: ", "trust: ")
_BEST = {TRUTH: "ref.", TEXTURE: "noisy", NOISE: ""}


def show(evaluation: "Evaluation") -> None:
    """Means, single series, comparisons; then protocols, warnings and failures."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    if evaluation.pairs:
        for standings in _fitting(evaluation, console.width):
            console.print(_means(evaluation, standings))
        if len(evaluation.pairs) > len(evaluation.standings):
            console.print(_singles(evaluation))
        if evaluation.comparisons:
            console.print(_differences(evaluation))
    for line in _lines(evaluation):
        # a path must not be broken, the rest reads better by words
        whole = line.startswith(_PATHS) or not console.is_terminal
        console.print(printable(line), markup=False, soft_wrap=whole)


def _fitting(evaluation: "Evaluation", width: int) -> "list[Sequence[Standing]]":
    """The sets of results, as many in one table as fit beside the metric and the two columns around them."""
    standings = evaluation.standings
    names = _short_names([standing.name for standing in standings]).values()
    beside = _LABEL + 2 * _NUMBER + len("noisy") + 6
    count = max(1, (width - beside) // (max(_NUMBER, *map(len, names)) + 2))
    return [standings[start : start + count] for start in range(0, len(standings), count)]


def _means(evaluation: "Evaluation", standings: "Sequence[Standing]") -> Table:
    """A row a metric, a column a set of results, between the noisy images and the references."""
    before, truth = evaluation.mean_before, evaluation.mean_truth
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column("best", no_wrap=True)
    names = _short_names([standing.name for standing in evaluation.standings])
    for name in [*(["noisy"] if before else []), *(names[s.name] for s in standings)]:
        table.add_column(escape(name), justify="right", no_wrap=True)
    if truth and truth.values:
        table.add_column("reference", justify="right", no_wrap=True)
    if before:
        _add_noise(table, evaluation, standings)
    for metric in evaluation.mean.values:
        if shared_unit(metric, evaluation.pairs) is None:
            continue
        best = winner(metric, evaluation) if len(evaluation.standings) > 1 else None
        cells = [_cell(before, metric)] if before else []
        stars = {s.name: "*" if s.name == best else " " for s in standings if len(evaluation.standings) > 1}
        cells += [_cell(s.mean, metric) + stars.get(s.name, "") for s in standings]
        cells += [_cell(truth, metric)] if truth and truth.values else []
        table.add_row(escape(_label(metric, evaluation)), _best(metric), *cells)
    return table


def _add_noise(table: Table, evaluation: "Evaluation", standings: "Sequence[Standing]") -> None:
    """The noise in the flat places of the images, the same before and after; not of different units."""
    units = {pair.protocol.unit for pair in evaluation.pairs}
    if len(units) > 1:
        return
    cells = [format_number(evaluation.standings[0].sigma_before)]
    blank = " " if len(evaluation.standings) > 1 else ""
    cells += [format_number(standing.sigma_after) + blank for standing in standings]
    unit = units.pop()
    table.add_row(escape(f"noise in flat places{f' [{unit}]' if unit else ''}"), "", *cells)


def _singles(evaluation: "Evaluation") -> Table:
    """A row a series, with the first metrics of the table."""
    metrics = key_metrics(evaluation)
    table = Table("series", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for metric in metrics:
        table.add_column(escape(_label(metric, evaluation)), justify="right")
    odd = [name for name in metrics if shared_unit(name, evaluation.pairs) is None]
    for pair in evaluation.pairs[:_MOST]:
        units = {name: f" {unit}" for name in odd if (unit := METRICS[name].unit_in(pair.protocol))}
        cells = (escape(_cell(pair.metrics, name) + units.get(name, "")) for name in metrics)
        table.add_row(escape(printable(_named(pair))), *cells)
    return table


def _differences(evaluation: "Evaluation") -> Table:
    """Comparisons over patients, of the first metrics of the table."""
    table = Table(
        "difference",
        "metric",
        "mean",
        "95 % interval",
        "p",
        "n",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    metrics = key_metrics(evaluation)
    names = _short_names([standing.name for standing in evaluation.standings])
    for row in evaluation.comparisons:
        if row.metric in metrics:
            pair = f"{names[row.name]} - {names.get(row.against, row.against)}"
            mean, low, high = (
                format_number(value, row.metric, digits=3, sign="+")
                for value in (row.difference, *row.interval)
            )
            p = "-" if row.p is None else f"{row.p:.2g}"
            label = _label(row.metric, evaluation)
            table.add_row(escape(pair), escape(label), mean, f"{low} .. {high}", p, str(row.cases))
    return table


def _lines(evaluation: "Evaluation") -> list[str]:
    """Lines on the protocol, warnings and failures; the same sentence once."""
    protocols = sorted({pair.protocol.describe() for pair in evaluation.pairs})
    lines = [f"measured with: {line}" for line in protocols]
    if len(evaluation.standings) > 1:
        lines.append("* the best of the results in its row.")
    left = len(evaluation.pairs) - _MOST
    if left > 0:
        lines.append(f"{left} more series are in the JSON and the table that --output writes.")
    lines += [line for pair in evaluation.pairs[:_MOST] if (line := _trust(pair))]
    sentences = [(text, pair) for pair in evaluation.pairs for text in pair.warnings]
    for text, times in Counter(text for text, _ in sentences).items():
        first = next(pair for sentence, pair in sentences if sentence == text)
        where = _named(first) + (f" and {times - 1} more" if times > 1 else "")
        lines.append(f"warning: {where}: {text}")
    lines += [f"warning: {text}" for text in general_warnings(evaluation)]
    return lines + [f"failed: {error}" for _, error in evaluation.failed]


def _named(pair: "Pair") -> str:
    """The path of a result, and which of its series where that is not told by it."""
    return name_series(str(pair.result), pair.description, pair.name)


def _trust(pair: "Pair") -> str:
    """The verdict on one result, empty where nothing is known of its input."""
    if pair.trust is None:
        return ""
    kept = pair.trust.values.get("lesion_survival")
    good = kept is not None and CHECKS["lesion_survival"].judge(kept) == "ok"
    parts = [f"discs keep {kept:.0%} of their contrast"] if good else []
    parts += [*pair.trust.reasons, *pair.trust.notes]
    parts += filter(None, [say_advice(pair.trust.advice)])
    return (
        f"trust: {_named(pair)}: {pair.trust.verdict or 'not judged'}"
        + (": " if parts else "")
        + "; ".join(parts)
    )


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Short names of the sets of results: the last parts of their paths, cut to the width of a column."""
    parts = {name: Path(name).parts or (name,) for name in names}
    count = 1
    longest = max(len(part) for part in parts.values())
    while count < longest and len({part[-count:] for part in parts.values()}) < len(parts):
        count += 1
    tails = {name: printable(str(Path(*part[-count:]))) for name, part in parts.items()}
    half = (_NAME - 2) // 2
    return {
        name: tail if len(tail) <= _NAME else f"{tail[:half]}..{tail[-half:]}" for name, tail in tails.items()
    }


def _label(metric: str, evaluation: "Evaluation") -> str:
    if metric not in METRICS:
        return metric
    row = METRICS[metric]
    unit = shared_unit(metric, evaluation.pairs)
    return f"{row.label} [{unit}]" if unit else row.label


def _best(metric: str) -> str:
    best = METRICS[metric].best if metric in METRICS else ""
    return _BEST.get(best, best)


def _cell(measurement: "Measurement | None", metric: str) -> str:
    if measurement is None:
        return "-"
    return "inf" if metric in measurement.infinite else format_number(measurement.values.get(metric), metric)

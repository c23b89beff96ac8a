"""The page of an evaluation: every result beside what it was made from and what it is measured against."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from meddenoise.evaluation import Evaluation
from meddenoise.evaluation.document import general_warnings
from meddenoise.evaluation.pair import Pair
from meddenoise.evaluation.standings import standings
from meddenoise.io import read_item
from meddenoise.io.pairing import follow
from meddenoise.metrics import METRICS
from meddenoise.metrics.measure import Measurement
from meddenoise.report.page import Drawing, Levels, Page, PageEntry
from meddenoise.report.page.compose import write_page
from meddenoise.report.page.drawing import draw_series
from meddenoise.report.page.gallery import MANY, MOST_BYTES, MOST_DRAWN
from meddenoise.report.page.shown import Shown
from meddenoise.version import __version__

MOST_RIVALS = 3
"""Other results of the same image that are shown with each."""


def write_evaluation(
    evaluation: Evaluation, path: Path, *, command: str = "", phi: bool = False
) -> tuple[str, ...]:
    """Write the page of an evaluation of files; what could not be drawn, a sentence each.

    The images are read again, one result at a time, as long as there is room on the page.
    Raises OutputError where the page cannot be written.
    """
    drawings, problems = _draw(evaluation, phi)
    facts = (
        ("Command", command),
        ("Version", f"meddenoise {__version__}"),
        ("Results", f"{len(evaluation.pairs)} measured, {len(evaluation.failed)} failed"),
        ("Means", "; ".join(general_warnings(evaluation))),
    )
    page = Page(
        title="meddenoise evaluation",
        facts=facts,
        entries=tuple(_entry(pair) for pair in evaluation.pairs),
        failed=tuple((str(name), why) for name, why in evaluation.failed),
        drawings=drawings,
        table=path.with_suffix(".csv").name,
        lead=standings(evaluation),
    )
    write_page(page, path)
    return problems


def _draw(evaluation: Evaluation, phi: bool) -> tuple[dict[str, Drawing], tuple[str, ...]]:
    drawings: dict[str, Drawing] = {}
    problems: list[str] = []
    brief, size = len(evaluation.pairs) > MANY, 0
    for pair in evaluation.pairs:
        if size >= MOST_BYTES or len(drawings) >= MOST_DRAWN:
            break
        try:
            drawing = _draw_pair(pair, _rivals(pair, evaluation.pairs), brief)
        except Exception as error:  # whatever goes wrong with pictures must not lose the numbers
            problems.append(f"{pair.result} is not drawn ({type(error).__name__}: {error}).")
            continue
        size += len(drawing.body)
        drawings[_key(pair)] = drawing if phi else replace(drawing, who="")
    return drawings, tuple(problems)


def _draw_pair(pair: Pair, rivals: list[Pair], brief: bool) -> Drawing:
    assert pair.items is not None, "an evaluation of files"
    result, reference, noisy = (None if item is None else read_item(item) for item in pair.items)
    assert result is not None
    truth, before = (None if other is None else follow(result, other) for other in (reference, noisy))
    # without the noisy image, what is looked at is the error
    sigma = pair.protocol.sigma or pair.metrics.values.get("rmse") or 0.0
    names = _names([pair, *rivals])
    others = [follow(result, read_item(rival.items[0])) for rival in rivals if rival.items]
    shown = Shown(
        result,
        before,
        truth,
        sigma=sigma,
        removal=pair.removal,
        name=names[0],
        rivals=tuple(zip(names[1:], others, strict=True)),
        brief=brief,
    )
    return draw_series(shown)


def _rivals(pair: Pair, pairs: Sequence[Pair]) -> list[Pair]:
    """Other results of the same noisy image and reference, as many as are shown with it."""
    return [one for one in pairs if one is not pair and one.source == pair.source][:MOST_RIVALS]


def _names(pairs: Sequence[Pair]) -> list[str]:
    """Names that tell results apart: of the file, else of its folder, else the whole path."""
    paths = [pair.result for pair in pairs]
    for names in ([path.name for path in paths], [path.parent.name for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _key(pair: Pair) -> str:
    """Tells a pair from all others: one folder may hold several series."""
    return f"{pair.result}\n{pair.items[0].files[0]}" if pair.items else str(pair.result)


def _entry(pair: Pair) -> PageEntry:
    protocol = pair.protocol
    return PageEntry(
        key=_key(pair),
        title=" · ".join(filter(None, (str(pair.result), pair.name))),
        short=pair.name,
        about=(f"measured with: {protocol.describe()}",),
        facts=(
            ("Result", str(pair.result)),
            ("Reference", "" if pair.reference is None else str(pair.reference)),
            ("Noisy", "" if pair.noisy is None else str(pair.noisy)),
            ("Protocol", protocol.describe()),
        ),
        noise=_levels(pair),
        metrics=_values(pair.metrics),
        metrics_before={} if pair.before is None else _values(pair.before),
        units={name: row.unit_in(protocol) for name, row in METRICS.items()},
        warnings=pair.warnings,
        trust=pair.trust,
    )


def _levels(pair: Pair) -> Levels:
    measured = pair.removal.before, pair.removal.after, pair.removal.removed
    return Levels(
        *measured, pair.protocol.unit, pair.protocol.sigma or None, "estimated from the noisy image"
    )


def _values(measured: Measurement) -> dict[str, float | None]:
    return measured.values | dict.fromkeys(measured.infinite, math.inf)

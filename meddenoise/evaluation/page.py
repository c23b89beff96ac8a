"""The page of an evaluation: every result beside what it was made from and what it is measured against."""

import math
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
from meddenoise.report.page.drawing import Shown, draw_series
from meddenoise.report.page.gallery import MANY, MOST_BYTES, MOST_DRAWN
from meddenoise.version import __version__


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
            drawing = _draw_pair(pair, brief)
        except Exception as error:  # whatever goes wrong with pictures must not lose the numbers
            problems.append(f"{pair.result} is not drawn ({type(error).__name__}: {error}).")
            continue
        size += len(drawing.body)
        drawings[_key(pair)] = drawing if phi else replace(drawing, who="")
    return drawings, tuple(problems)


def _draw_pair(pair: Pair, brief: bool) -> Drawing:
    assert pair.items is not None, "an evaluation of files"
    result, reference, noisy = (None if item is None else read_item(item) for item in pair.items)
    assert result is not None
    truth, before = (None if other is None else follow(result, other) for other in (reference, noisy))
    sigma = pair.protocol.sigma or pair.removal.after or 0.0
    return draw_series(Shown(result, before, truth, sigma=sigma, removal=pair.removal, brief=brief))


def _key(pair: Pair) -> str:
    """Tells a pair from all others: one folder may hold several series."""
    return f"{pair.result}\n{pair.items[0].files[0]}" if pair.items else str(pair.result)


def _entry(pair: Pair) -> PageEntry:
    protocol = pair.protocol
    return PageEntry(
        key=_key(pair),
        title=str(pair.result),
        about=(f"measured with {protocol.describe()}",),
        facts=(
            ("Result", str(pair.result)),
            ("Reference", "" if pair.reference is None else str(pair.reference)),
            ("Noisy", "" if pair.noisy is None else str(pair.noisy)),
            ("Protocol", protocol.describe()),
        ),
        noise=Levels(pair.removal.before, pair.removal.after, pair.removal.removed, protocol.unit),
        metrics=_values(pair.metrics),
        metrics_before={} if pair.before is None else _values(pair.before),
        units={name: row.unit_in(protocol) for name, row in METRICS.items()},
        warnings=pair.warnings,
        trust=pair.trust,
    )


def _values(measured: Measurement) -> dict[str, float | None]:
    return measured.values | dict.fromkeys(measured.infinite, math.inf)

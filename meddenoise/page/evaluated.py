"""The page of an evaluation: every result beside what it was made from and what it is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from meddenoise import __version__
from meddenoise.evaluation import Evaluation, Pair
from meddenoise.io import Item, discover, read_item
from meddenoise.page import Drawing, Entry, Page
from meddenoise.page.compose import write_page
from meddenoise.page.drawing import Shown, draw_series
from meddenoise.page.gallery import MANY, MOST_BYTES, MOST_DRAWN
from meddenoise.pairing import align_planes, pair_items
from meddenoise.series import Series


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the images of an evaluation are: what `evaluation.evaluate` was given."""

    results: Sequence[Path]
    reference: Path | None
    noisy: Path | None


def write_evaluation(
    evaluation: Evaluation, sources: Sources, path: Path, *, command: str = "", phi: bool = False
) -> tuple[str, ...]:
    """Write the page of an evaluation; what could not be drawn, a sentence each.

    The images are read again, one result at a time, as long as there is room on the page.
    Raises OutputError where the page cannot be written.
    """
    drawings, problems = _draw(evaluation, sources, phi)
    facts = (
        ("Command", command),
        ("Version", f"meddenoise {__version__}"),
        ("Results", f"{len(evaluation.pairs)} measured, {len(evaluation.failed)} failed"),
        ("Means", "; ".join(evaluation.mean.warnings)),
    )
    page = Page(
        title="meddenoise evaluation",
        facts=facts,
        entries=tuple(_entry(pair) for pair in evaluation.pairs),
        failed=tuple((str(name), why) for name, why in evaluation.failed),
        drawings=drawings,
        table=path.with_suffix(".json").name,
    )
    write_page(page, path)
    return problems


def _draw(evaluation: Evaluation, sources: Sources, phi: bool) -> tuple[dict[str, Drawing], tuple[str, ...]]:
    drawings: dict[str, Drawing] = {}
    problems: list[str] = []
    brief, size = len(evaluation.pairs) > MANY, 0
    try:
        found = _find(evaluation, sources)
    except Exception as error:  # the numbers are there: whatever goes wrong with pictures must not lose them
        return {}, (f"the HTML report has no pictures ({type(error).__name__}: {error}).",)
    for pair, (item, reference, noisy) in found:
        if size >= MOST_BYTES or len(drawings) >= MOST_DRAWN:
            break
        try:
            result = read_item(item)
            before, truth = (None if other is None else _align(result, other) for other in (noisy, reference))
            sigma = pair.protocol.sigma or pair.sigma_after
            drawing = draw_series(Shown(result, before, truth, sigma=sigma, brief=brief))
        except Exception as error:  # as above
            problems.append(f"{pair.result} is not drawn ({type(error).__name__}: {error}).")
            continue
        size += len(drawing.body)
        drawings[_key(pair)] = drawing if phi else replace(drawing, who="")
    return drawings, tuple(problems)


def _find(
    evaluation: Evaluation, sources: Sources
) -> list[tuple[Pair, tuple[Item, Item | None, Item | None]]]:
    """The files of every pair; those left out whose path stands for several series."""
    items = list(discover(sources.results).items)
    partners = [
        [None] * len(items) if path is None else pair_items(items, list(discover([path]).items), option)
        for path, option in ((sources.reference, "--ref"), (sources.noisy, "--noisy"))
    ]
    by_path: dict[Path, list[tuple[Item, Item | None, Item | None]]] = {}
    for item, reference, noisy in zip(items, *partners, strict=True):
        by_path.setdefault(item.path, []).append((item, reference, noisy))
    return [(pair, by_path[pair.result][0]) for pair in evaluation.pairs if len(by_path[pair.result]) == 1]


def _align(result: Series, other: Item) -> Series:
    """The planes of another series that belong to those of the result, in its order."""
    series = read_item(other)
    planes = align_planes(result, series)
    return replace(
        series, pixels=series.pixels[planes], slope=series.slope[planes], intercept=series.intercept[planes]
    )


def _key(pair: Pair) -> str:
    return str(pair.result)


def _entry(pair: Pair) -> Entry:
    protocol = pair.protocol
    return Entry(
        key=_key(pair),
        title=str(pair.result),
        about=(f"measured with {protocol.describe()}",),
        facts=(
            ("Result", str(pair.result)),
            ("Reference", "" if pair.reference is None else str(pair.reference)),
            ("Noisy", "" if pair.noisy is None else str(pair.noisy)),
            ("Protocol", protocol.describe()),
        ),
        noise=(protocol.sigma, pair.sigma_after, protocol.unit),
        metrics=pair.metrics.values,
        metrics_before={} if pair.before is None else pair.before.values,
        warnings=pair.warnings,
    )

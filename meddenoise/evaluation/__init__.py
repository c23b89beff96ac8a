"""Measure results that are on disk: find their references, align the planes, run the metrics."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from meddenoise.errors import InputError, UsageError
from meddenoise.evaluation.comparison import NOISY, Comparison, Measured, Standing, compare, stand
from meddenoise.evaluation.pair import EvaluationOptions, Pair, Triple, evaluate_series, shared_unit
from meddenoise.evaluation.rerun import lesions_again, row_of
from meddenoise.io import Item, discover, read_item
from meddenoise.io.pairing import follow, pair_items
from meddenoise.metrics.measure import Measurement, average
from meddenoise.series import Series
from meddenoise.trust import Trust, judge
from meddenoise.trust.reference import examine_reference, judge_by_reference
from meddenoise.trust.removal import Removal
from meddenoise.trust.series import examine_series, with_removal

DEFAULTS = EvaluationOptions()
NOISE = "the noise in flat places"
"""Its name beside those of metrics."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All pairs, their means, and the results that could not be measured, each with the sentence why.

    `standings` has the results apart, in the order they were given; `comparisons` each of them against the
    first one and against the noisy image.
    """

    pairs: tuple[Pair, ...]
    mean: Measurement
    mean_before: Measurement | None
    failed: tuple[tuple[Path, str], ...]
    standings: tuple[Standing, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    mean_truth: Measurement | None = None


def evaluate(
    results: Sequence[Path | str],
    reference: Path | str | None = None,
    noisy: Path | str | None = None,
    options: EvaluationOptions = DEFAULTS,
    tell: Callable[[str, float, float], None] = lambda what, done, total: None,
) -> Evaluation:
    """Every series among `results` measured against its partners under `reference` and `noisy`.

    Each folder among `results` is one set of results, and files are one together; where these are more than
    there are partners, each file is a set. Every set finds its partners anew. `tell` is called with the
    result that is measured, how many are done and how many there are; it may raise to stop.
    Raises NothingReadableError where one of them holds no image and UsageError where partners cannot be
    told; what is wrong with a single pair is in `failed`.

    >>> import numpy as np, meddenoise
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> folder, truth = TemporaryDirectory(), np.full((1, 64, 64), 100, np.float32)
    >>> for name, offset in ("truth", 0), ("result", 2):
    ...     series = meddenoise.as_series(truth + np.float32(offset))
    ...     _ = meddenoise.write(series, f"{folder.name}/{name}.nii", format="nifti")
    >>> scores = meddenoise.evaluate([Path(folder.name, "result.nii")], Path(folder.name, "truth.nii"))
    >>> scores.mean.values["rmse"], scores.mean.values["bias"]
    (2.0, 2.0)
    """
    paths = _paths(results)
    references = None if reference is None else items_under(_paths([reference]))[0]
    noisies = None if noisy is None else items_under(_paths([noisy]))[0]
    sets, failed = result_sets(paths, references or noisies)
    measured: list[tuple[str, list[Pair]]] = []
    done, total = 0, sum(len(items) for _, items in sets)
    for name, items in sets:
        clean = _partners(items, references, "--ref")
        source = _partners(items, noisies, "--noisy")
        pairs: list[Pair] = []
        for triple in zip(items, clean, source, strict=True):
            told = partial(_tell, tell, str(triple[0].path), (done, total))
            told(0.0)
            try:
                pairs.append(_evaluate_items(triple, options, told))
            except InputError as error:
                failed.append((triple[0].path, str(error)))
            done += 1
        measured.append((name, pairs))
    return _summarise(measured, failed)


def _paths(given: Any) -> list[Path]:
    """The paths in a list. Raises UsageError for anything else, such as images."""
    wrong = [given]
    if isinstance(given, list | tuple):
        wrong = [path for path in given if not isinstance(path, str | Path)]
    if wrong:
        raise UsageError(
            f"evaluate was given an object of type {type(wrong[0]).__name__}: give a list of the paths of "
            "results, and paths to compare with; meddenoise.write makes files of images."
        )
    return [Path(path) for path in given]


def _partners(items: list[Item], others: list[Item] | None, option: str) -> Sequence[Item | None]:
    return [None] * len(items) if others is None else pair_items(items, others, option)


def _tell(tell: Callable[[str, float, float], None], what: str, place: tuple[int, int], share: float) -> None:
    tell(what, place[0] + share, place[1])


def _evaluate_items(triple: Triple, options: EvaluationOptions, tick: Callable[[float], None]) -> Pair:
    """A result on the disk with its verdict, which looks at it beside the noisy image."""
    result = read_item(triple[0])
    clean, before = (None if item is None else read_item(item) for item in triple[1:])
    pair = evaluate_series(result, clean, before, options, tick)
    trust = _trust(result, (clean, before), pair, options)
    return replace(pair, items=triple, trust=trust, name=result.label, description=result.name)


def _trust(
    result: Series, others: tuple[Series | None, Series | None], pair: Pair, options: EvaluationOptions
) -> Trust | None:
    """The verdict on a result, given its reference and the noisy image; None without the latter."""
    clean, noisy = others
    noise = pair.protocol.noise
    if noisy is None or noise is None:
        return None
    before = follow(result, noisy)
    measured = with_removal(examine_series(before, result, noise), pair.measured)
    if options.lesions is not None:
        measured = lesions_again(measured, (before, result), noise, options.lesions)
    row = row_of(result)
    tried = None if row is None else row.tried
    trust = judge(measured, tried)
    if clean is None:
        return trust
    return judge_by_reference(trust, examine_reference(before, result, clean, noise), tried)


def _summarise(sets: list[tuple[str, list[Pair]]], failed: list[tuple[Path, str]]) -> Evaluation:
    paths = Counter(str(pair.result) for _, found in sets for pair in found)
    sets = [(name, [_without_name(p) if paths[str(p.result)] == 1 else p for p in ps]) for name, ps in sets]
    measured = [pair for _, found in sets for pair in found]
    odd, sentences = _without_mean(measured)
    sets = [(name, [_comparable(pair, odd) for pair in found]) for name, found in sets if found]
    pairs = [pair for _, found in sets for pair in found]
    scores: list[tuple[str, Measured]] = [
        (name, [(pair.case, pair.metrics) for pair in found]) for name, found in sets
    ]
    before = [(pair.case, pair.before) for pair in _distinct(pairs) if pair.before is not None]
    truth = [pair.truth for pair in _distinct(pairs) if pair.truth is not None]
    comparisons = [row for score in scores for row in compare(*score, NOISY, before)]
    for score in scores[1:]:
        comparisons += compare(*score, *scores[0])
    levels, warnings = _levels([found for _, found in sets])
    mean = average([pair.metrics for pair in pairs])
    return Evaluation(
        tuple(measured),
        replace(mean, warnings=(*mean.warnings, *sentences, *warnings)),
        average([measurement for _, measurement in before]) if before else None,
        tuple(failed),
        tuple(stand(*score, known) for score, known in zip(scores, levels, strict=True)),
        tuple(comparisons),
        average(truth) if truth else None,
    )


def _without_name(pair: Pair) -> Pair:
    """The same where its path tells it from all others."""
    return replace(pair, name="", description="")


def _without_mean(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """The metrics, and the noise by the name NOISE, that have several units; a sentence if there are any."""
    names = dict.fromkeys(name for pair in pairs for name in pair.metrics.values)
    odd = [name for name in names if shared_unit(name, pairs) is None]
    if len({pair.protocol.unit for pair in pairs}) > 1 and any(pair.removal.before for pair in pairs):
        odd.append(NOISE)
    if not odd:
        return [], []
    return odd, [f"the series are in different units, so that there is no mean of {', '.join(odd)}."]


def _comparable(pair: Pair, odd: Sequence[str]) -> Pair:
    """The same without what `odd` names."""

    def without(measured: Measurement) -> Measurement:
        return replace(measured, values={n: None if n in odd else v for n, v in measured.values.items()})

    return replace(
        pair,
        metrics=without(pair.metrics),
        before=pair.before and without(pair.before),
        truth=pair.truth and without(pair.truth),
        measured=Removal() if NOISE in odd else pair.measured,
    )


def _levels(sets: list[list[Pair]]) -> tuple[list[list[tuple[float, float]]], list[str]]:
    """Noise before and after of each set in the series where all have it; a sentence if there are others."""
    known = [
        [
            (pair.source, (before, after))
            for pair in pairs
            if (before := pair.removal.before) is not None and (after := pair.removal.after) is not None
        ]
        for pairs in sets
    ]
    shared = set.intersection(*({source for source, _ in found} for found in known)) if known else set()
    count = len({pair.source for pairs in sets for pair in pairs})
    why = f"{NOISE} is over {len(shared)} of {count} series, where all results have it."
    warnings = [why] if any(known) and len(shared) < count else []
    return [[levels for source, levels in found if source in shared] for found in known], warnings


def _distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of other partners: several sets of results share theirs."""
    return list({pair.source: pair for pair in pairs}.values())


def result_sets(
    results: Sequence[Path], partners: Sequence[Item] | None
) -> tuple[list[tuple[str, list[Item]]], list[tuple[Path, str]]]:
    """Name and series of each set of results, and the files that are damaged.

    Raises NothingReadableError where one holds no image.
    """
    folders = [path for path in results if path.is_dir()]
    files = [path for path in results if path not in folders]
    sets: list[tuple[str, list[Item]]] = []
    failed: list[tuple[Path, str]] = []
    for group in ([files] if files else []) + [[folder] for folder in dict.fromkeys(folders)]:
        items, problems = items_under(group)
        failed += problems
        if group is files and partners is not None and len(items) > len(partners):
            sets += [(str(item.path), [item]) for item in items]
        else:
            sets.append((str(group[0]) if len(group) == 1 else f"{len(group)} files", items))
    order = {str(path): place for place, path in enumerate(results)}
    return sorted(sets, key=lambda named: order.get(named[0], -1)), failed


def items_under(paths: Sequence[Path]) -> tuple[list[Item], list[tuple[Path, str]]]:
    """The series under the paths, and the files that are damaged.

    Raises NothingReadableError where there is no image.
    """
    found = discover(paths)
    if not found.items:
        raise found.nothing_readable(paths)
    return list(found.items), [(problem.path, str(problem.error)) for problem in found.failed]

"""Measure results that are on disk: find their references, align the planes, run the metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine.level import estimate_series
from meddenoise.errors import InputError
from meddenoise.evaluation.cautions import cautions
from meddenoise.evaluation.comparison import NOISY, Comparison, Measured, Standing, compare, stand
from meddenoise.evaluation.rerun import Lesions, lesions_again
from meddenoise.evaluation.result_sets import items_under, result_sets
from meddenoise.io import Item, read_item
from meddenoise.io.masks import read_mask
from meddenoise.io.pairing import align_series, follow, pair_items
from meddenoise.metrics import METRICS, TRUTH, Protocol
from meddenoise.metrics.measure import Compared, Measurement, Wanted, average, measure
from meddenoise.metrics.presets import Preset, data_range
from meddenoise.metrics.regions import Box, Circle
from meddenoise.series import Series
from meddenoise.trust import Trust, judge
from meddenoise.trust.reference import examine_reference, judge_by_reference
from meddenoise.trust.removal import Removal, measure_remaining, measure_removal
from meddenoise.trust.series import examine_series, with_removal


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to measure: the protocol, and which metrics.

    `data_range` is R in the image's unit (None: by `preset`); `per_plane` takes planes apart.
    `mask` marks the pixels that count, by anything but 0; `crop` is the part that is measured; `rois` and
    `edge` are places in the whole image.
    """

    data_range: float | None = None
    per_plane: bool = False
    preset: Preset = field(default_factory=Preset)
    mask: Path | None = None
    crop: Box | None = None
    rois: tuple[Box, ...] = ()
    edge: Box | Circle | None = None
    wanted: Wanted = field(default_factory=Wanted)
    networks: Path | None = None
    """The folder with the weights of LPIPS and FID; None: they are fetched."""
    lesions: Lesions | None = None
    """Whether to denoise once more with discs in the noisy image; None: no."""


Triple = tuple[Item, Item | None, Item | None]


@dataclass(frozen=True, slots=True)
class Pair:
    """One result and what was measured of it; `before` is the same of the noisy image it was made from."""

    result: Path
    reference: Path | None
    noisy: Path | None
    protocol: Protocol
    metrics: Measurement
    before: Measurement | None
    removal: Removal
    """The noise before and after on the same flat places; without the noisy image only that after."""
    warnings: tuple[str, ...] = ()
    truth: Measurement | None = None
    """Of the reference itself, the metrics whose best value is that of the reference."""
    case: str = ""
    """The patient, as a hash; where none is stated, the file of the reference."""
    items: "Triple | None" = None
    """Where result, reference and noisy image were read from; None where they were at hand."""
    trust: Trust | None = None
    """The verdict on the result; None without the noisy image."""


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
    results: Sequence[Path],
    reference: Path | None,
    noisy: Path | None,
    options: Options,
    tell: Callable[[str, float, float], None] = lambda what, done, total: None,
) -> Evaluation:
    """Every series among `results` measured against its partners under `reference` and `noisy`.

    Each folder among `results` is one set of results, and files are one together; where these are more than
    there are partners, each file is a set. Every set finds its partners anew. `tell` is called with the
    result that is measured, how many are done and how many there are; it may raise to stop.
    Raises NothingReadableError where one of them holds no image and UsageError where partners cannot be
    told; what is wrong with a single pair is in `failed`.
    """
    references = None if reference is None else items_under([reference])[0]
    noisies = None if noisy is None else items_under([noisy])[0]
    sets, failed = result_sets(results, references or noisies)
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


def evaluate_series(
    result: Series,
    reference: Series | None,
    noisy: Series | None,
    options: Options,
    tick: Callable[[float], None] = lambda share: None,
) -> Pair:
    """One result against a reference and the noisy image it was made from, where given.

    `tick` is called with the share of the metrics that is done.

    Raises InputError where their geometry, modality or unit do not agree, or a region lies outside.
    """
    aligned = None if reference is None else align_series(result, reference)
    before = None if noisy is None else align_series(result, noisy)
    mask = result.valid(0, len(result))
    whole = Compared(
        result.values(0, len(result)),
        None if aligned is None else aligned.values,
        None if before is None else before.values,
    )
    warnings = cautions(result, reference, noisy, whole, aligned)
    for other in (aligned, before):
        if other is not None:
            mask &= other.valid
    if options.mask is not None:
        mask &= read_mask(options.mask, result, "measured")
    protocol = _protocol(result, reference, mask, options)
    if noisy is not None:
        protocol = replace(protocol, noise=estimate_series(follow(result, noisy)))
    images = _cut(whole, options.crop)
    parts = 1 if images.noisy is None else 2
    source = None if noisy is None else follow(result, noisy)
    removal = measure_remaining(result) if source is None else measure_removal(source, result)
    metrics = measure(images, protocol, options.wanted, lambda share: tick(share / parts))
    noisy_alone = None if images.noisy is None else Compared(images.noisy, images.reference)
    return Pair(
        result.path,
        None if reference is None else reference.path,
        None if noisy is None else noisy.path,
        protocol,
        metrics,
        None
        if noisy_alone is None
        else measure(noisy_alone, protocol, options.wanted, lambda share: tick((1 + share) / parts)),
        removal,
        (*warnings, *metrics.warnings, *filter(None, [removal.misfit(result.unit)])),
        _truth(images, protocol, options.wanted),
        _case(result, reference, noisy),
    )


def _truth(images: Compared, protocol: Protocol, wanted: Wanted) -> Measurement | None:
    """The reference's own value of the metrics that should come near it."""
    if images.reference is None:
        return None
    names = [
        name
        for name, row in METRICS.items()
        if row.best == TRUTH and (wanted.names is None or name in wanted.names)
    ]
    return measure(Compared(images.reference, images.reference), protocol, Wanted(names))


def _partners(items: list[Item], others: list[Item] | None, option: str) -> Sequence[Item | None]:
    return [None] * len(items) if others is None else pair_items(items, others, option)


def _tell(tell: Callable[[str, float, float], None], what: str, place: tuple[int, int], share: float) -> None:
    tell(what, place[0] + share, place[1])


def _evaluate_items(triple: Triple, options: Options, tick: Callable[[float], None]) -> Pair:
    """A result on the disk with its verdict, which looks at it beside the noisy image."""
    result = read_item(triple[0])
    clean, before = (None if item is None else read_item(item) for item in triple[1:])
    pair = evaluate_series(result, clean, before, options, tick)
    return replace(pair, items=triple, trust=_trust(result, (clean, before), pair, options))


def _trust(
    result: Series, others: tuple[Series | None, Series | None], pair: Pair, options: Options
) -> Trust | None:
    """The verdict on a result, given its reference and the noisy image; None without the latter."""
    clean, noisy = others
    noise = pair.protocol.noise
    if noisy is None or noise is None:
        return None
    before = follow(result, noisy)
    measured = with_removal(examine_series(before, result, noise), pair.removal)
    if options.lesions is not None:
        measured = lesions_again(measured, (before, result), noise, options.lesions)
    trust = judge(measured)
    return trust if clean is None else judge_by_reference(trust, examine_reference(result, clean, noise))


def _protocol(
    result: Series, reference: Series | None, mask: NDArray[np.bool_], options: Options
) -> Protocol:
    shape = result.pixels.shape
    for region in (options.crop, *options.rois, options.edge):
        if region is not None:
            region.check(shape, str(result.path))
    size, how, crop = options.data_range, "is given", options.crop
    if reference is not None and size is None:
        size, how = data_range(reference, reference.valid(0, len(reference)), options.preset)
    scope: Literal["volume", "plane"] = "plane" if options.per_plane else "volume"
    known = next((s.geometry for s in (reference, result) if s is not None and s.geometry.known), None)
    return Protocol(
        size if reference is not None else None,
        how,
        result.unit if reference is None else reference.unit or result.unit,
        mask if crop is None else crop.cut(mask).astype(bool),
        f"{'all pixels' if options.mask is None else f'the mask {options.mask}'} but padding and NaN",
        scope,
        window=options.preset.window if reference is not None else None,
        spacing_mm=None if known is None else known.spacing_mm[1:],
        crop=crop,
        rois=tuple(box.inside(crop) for box in options.rois),
        edge=None if options.edge is None else options.edge.inside(crop),
        networks=options.networks,
    )


def _cut(images: Compared, crop: Box | None) -> Compared:
    if crop is None:
        return images
    others = (None if part is None else crop.cut(part) for part in (images.reference, images.noisy))
    return Compared(crop.cut(images.result), *others)


def _case(result: Series, *others: Series | None) -> str:
    """The patient, else what tells pairs apart: the partner, which all sets of results share."""
    known = [series for series in (*others, result) if series is not None]
    return next((series.subject for series in known if series.subject), str(known[0].path))


def _summarise(sets: list[tuple[str, list[Pair]]], failed: list[tuple[Path, str]]) -> Evaluation:
    pairs = [pair for _, found in sets for pair in found]
    sets = [(name, found) for name, found in sets if found]
    scores: list[tuple[str, Measured]] = [
        (name, [(pair.case, pair.metrics) for pair in found]) for name, found in sets
    ]
    before = [(pair.case, pair.before) for pair in _distinct(pairs) if pair.before is not None]
    truth = [pair.truth for pair in _distinct(pairs) if pair.truth is not None]
    comparisons = [row for name, measured in scores for row in compare(name, measured, NOISY, before)]
    for name, measured in scores[1:]:
        comparisons += compare(name, measured, *scores[0])
    return Evaluation(
        tuple(pairs),
        average([pair.metrics for pair in pairs]),
        average([measured for _, measured in before]) if before else None,
        tuple(failed),
        tuple(
            stand(*score, [pair.removal.after for pair in found])
            for score, (_, found) in zip(scores, sets, strict=True)
        ),
        tuple(comparisons),
        average(truth) if truth else None,
    )


def _distinct(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of other partners: several sets of results share theirs."""
    return list({(pair.reference, pair.noisy, pair.case): pair for pair in pairs}.values())

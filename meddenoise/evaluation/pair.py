"""One result measured against its reference and the noisy image it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine.level import estimate_series
from meddenoise.evaluation.rerun import Lesions
from meddenoise.io import Item
from meddenoise.io.masks import read_mask
from meddenoise.io.pairing import Aligned, align_series, follow
from meddenoise.metrics import METRICS, TRUTH, Protocol
from meddenoise.metrics.measure import Compared, Measurement, Wanted, measure
from meddenoise.metrics.presets import Preset, data_range
from meddenoise.metrics.regions import Box, Circle
from meddenoise.noise import Noise, SeriesNoise
from meddenoise.series import Series
from meddenoise.trust import Trust
from meddenoise.trust.removal import Removal, measure_removal


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation: the protocol, and which metrics.

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
    noise: SeriesNoise | None = None
    """The noise that the noisy image shows, in the order of the result; None: it is estimated."""
    lesions: Lesions | None = None
    """Discs to put into the noisy image, to denoise it once more; None: no."""


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
    measured: Removal
    """Before and after on the same flat places, empty without the noisy image.

    What is flat in a result is where it is smooth: only the noisy image has places that are fair to all.
    """
    warnings: tuple[str, ...] = ()
    truth: Measurement | None = None
    """Of the reference itself, the metrics whose best value is that of the reference."""
    case: str = ""
    """The patient, as a hash; where none is stated, the file of the reference."""
    items: "Triple | None" = None
    """Paths of result, reference and noisy image; None for images given in memory."""
    trust: Trust | None = None
    """The verdict on the result; None without the noisy image."""
    name: str = ""
    description: str = ""
    """Label and description of the series of the result, which tell it from others of its folder.

    Empty where its path does that.
    """

    @property
    def removal(self) -> Removal:
        """The noise before and after; empty where the flat places hold more than noise."""
        return self.measured.of_noise()

    @property
    def source(self) -> tuple[Path | None, ...]:
        """First files of the reference and the noisy image: a folder may hold several series.

        Of all sets of results, those of one image have the same.
        """
        items = (None, None) if self.items is None else self.items[1:]
        return tuple(None if item is None else item.files[0] for item in items)


def shared_unit(metric: str, pairs: Sequence[Pair]) -> str | None:
    """The unit of a metric in all pairs, empty for a pure number; None where they have several."""
    units = {METRICS[metric].unit_in(pair.protocol) if metric in METRICS else "" for pair in pairs}
    return units.pop() if len(units) == 1 else None


def evaluate_series(
    result: Series,
    reference: Series | None,
    noisy: Series | None,
    options: EvaluationOptions,
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
        protocol = replace(protocol, noise=options.noise or estimate_series(follow(result, noisy)))
    images = _cut(whole, options.crop)
    parts = 1 if images.noisy is None else 2
    source = None if noisy is None else follow(result, noisy)
    measured = _removal(source, result, protocol.noise if options.noise is None else None)
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
        measured,
        (*warnings, *metrics.warnings, *filter(None, [measured.of_noise().misfit(result.unit)])),
        _truth(images, protocol, options.wanted),
        _case(result, reference, noisy),
    )


def _removal(source: Series | None, result: Series, estimated: Noise | None) -> Removal:
    """The noise in the noisy image, whose estimate helps if it is its own, and in the result."""
    return Removal() if source is None else measure_removal(source, result, estimated)


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


def _protocol(
    result: Series, reference: Series | None, mask: NDArray[np.bool_], options: EvaluationOptions
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


def cautions(
    result: Series, reference: Series | None, noisy: Series | None, images: Compared, truth: Aligned | None
) -> list[str]:
    """A sentence for each: pixels left out of the result alone, and images that are the same."""
    sentences = []
    valid = result.valid(0, len(result))
    expected = np.ones_like(valid) if truth is None else truth.valid
    left_out = int(np.count_nonzero(expected & ~np.isfinite(images.result)))
    if left_out:
        sentences.append(f"{left_out} pixels are NaN or infinite: they do not count in any metric.")
    if reference is not None and _same(images.result, images.reference):
        sentences.append(
            f"it is identical to its reference {reference.path}: was the reference denoised, or copied?"
        )
    if reference is not None and noisy is not None and _same(images.noisy, images.reference):
        sentences.append(
            f"the reference {reference.path} is the noisy image {noisy.path} itself: "
            "the metrics show how little was changed, not how good it is."
        )
    elif noisy is not None and _same(images.result, images.noisy):
        sentences.append(f"it is identical to the noisy image {noisy.path}: nothing was removed.")
    return sentences


def _same(one: NDArray[np.floating] | None, two: NDArray[np.floating] | None) -> bool:
    return one is not None and two is not None and np.array_equal(one, two, equal_nan=True)

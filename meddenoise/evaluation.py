"""Measure results that are on disk: find their references, align the planes, run the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meddenoise.errors import InputError, NothingReadableError
from meddenoise.io import Item, discover, read_item
from meddenoise.level import estimate_series
from meddenoise.metrics import Image, Protocol
from meddenoise.metrics.measure import Compared, Measurement, average, data_range, measure
from meddenoise.pairing import align_planes, pair_items
from meddenoise.series import Series


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure: R of PSNR and SSIM in the image's unit (None: by modality), planes pooled or not."""

    data_range: float | None = None
    per_plane: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """One result and what was measured of it; `before` is the noisy image against the same reference."""

    result: Path
    reference: Path | None
    noisy: Path | None
    protocol: Protocol
    metrics: Measurement
    before: Measurement | None
    sigma_after: float
    """Estimated noise of the result; that of the noisy image is `protocol.sigma`."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All pairs, their means, and the results that could not be measured, each with the sentence why."""

    pairs: tuple[Pair, ...]
    mean: Measurement
    mean_before: Measurement | None
    failed: tuple[tuple[Path, str], ...]


def evaluate(
    results: Sequence[Path], reference: Path | None, noisy: Path | None, options: Options
) -> Evaluation:
    """Every series among `results` measured against its partners under `reference` and `noisy`.

    Raises NothingReadableError where one of them holds no image and UsageError where partners cannot be
    told; what is wrong with a single pair is in `failed`.
    """
    items, problems = _items(results)
    references = None if reference is None else pair_items(items, _items([reference])[0], "--ref")
    noisies = None if noisy is None else pair_items(items, _items([noisy])[0], "--noisy")
    pairs: list[Pair] = []
    failed = problems
    for index, item in enumerate(items):
        try:
            clean, source = _read(references, index), _read(noisies, index)
            pairs.append(evaluate_series(read_item(item), clean, source, options))
        except InputError as error:
            failed.append((item.path, str(error)))
    before = [pair.before for pair in pairs if pair.before is not None]
    mean = average([pair.metrics for pair in pairs])
    return Evaluation(tuple(pairs), mean, average(before) if before else None, tuple(failed))


def evaluate_series(result: Series, reference: Series | None, noisy: Series | None, options: Options) -> Pair:
    """One result against a reference and the noisy image it was made from, where given.

    Raises InputError where their geometry does not agree.
    """
    aligned = None if reference is None else _align(result, reference)
    before = None if noisy is None else _align(result, noisy)
    mask = result.valid(0, len(result))
    for other in (aligned, before):
        if other is not None:
            mask &= other.valid
    protocol = replace(_protocol(result if reference is None else reference, options), mask=mask)
    if noisy is not None:
        protocol = replace(protocol, sigma=estimate_series(noisy).sigma)
    images = Compared(
        result.values(0, len(result)),
        None if aligned is None else aligned.values,
        None if before is None else before.values,
    )
    metrics = measure(images, protocol)
    warnings = (*metrics.warnings, *_unit_warnings(result, reference, noisy))
    return Pair(
        result.path,
        None if reference is None else reference.path,
        None if noisy is None else noisy.path,
        protocol,
        metrics,
        _before(images, protocol),
        estimate_series(result).sigma,
        warnings,
    )


@dataclass(frozen=True, slots=True)
class _Aligned:
    """The planes of another series that belong to those of a result, in its order."""

    values: Image
    valid: NDArray[np.bool_]


def _align(result: Series, other: Series) -> _Aligned:
    planes = align_planes(result, other)
    values, valid = other.values(0, len(other)), other.valid(0, len(other))
    if np.array_equal(planes, np.arange(len(other))):
        return _Aligned(values, valid)
    return _Aligned(values[planes], valid[planes])


def _before(images: Compared, protocol: Protocol) -> Measurement | None:
    """The noisy image's own row against the reference."""
    if images.noisy is None or images.reference is None:
        return None
    return measure(Compared(images.noisy, images.reference), protocol)


def _read(partners: list[Item] | None, index: int) -> Series | None:
    return None if partners is None else read_item(partners[index])


def _protocol(reference: Series, options: Options) -> Protocol:
    size, how = options.data_range, "is given"
    if size is None:
        size, how = data_range(reference, reference.valid(0, len(reference)))
    scope: Literal["volume", "plane"] = "plane" if options.per_plane else "volume"
    return Protocol(size, how, reference.unit, mask_source="all pixels but padding and NaN", scope=scope)


def _unit_warnings(result: Series, *others: Series | None) -> list[str]:
    return [
        f"{result.path} is in {result.unit} and {other.path} in {other.unit}: their difference means nothing."
        for other in others
        if other is not None and result.unit and other.unit and other.unit != result.unit
    ]


def _items(paths: Sequence[Path]) -> tuple[list[Item], list[tuple[Path, str]]]:
    """The series under the paths, and the files that are damaged.

    Raises NothingReadableError where there is no image.
    """
    found = discover(paths)
    if not found.items:
        if len(found.failed) == 1:
            raise NothingReadableError(str(found.failed[0].error)) from found.failed[0].error
        names = ", ".join(map(str, paths))
        raise NothingReadableError(f"{names} holds no image that can be read: give images or their folder.")
    return list(found.items), [(problem.path, str(problem.error)) for problem in found.failed]

"""Measure one result: run the table's metrics, say why a number is missing, average over results."""

import math
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

from meddenoise.metrics import METRICS, Metric, Protocol, UndefinedError
from meddenoise.metrics.downstream import Hook
from meddenoise.series import Numbers


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metric values by name, None where one has no value, and a sentence for each of those.

    `infinite` names those without a value because it is infinite: the PSNR of identical images.
    """

    values: dict[str, float | None]
    warnings: tuple[str, ...]
    infinite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """The images a result is measured against: [N, Y, X] each, in one unit; None where there is none."""

    result: Numbers
    reference: Numbers | None = None
    noisy: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Choice of metrics: `names` of METRICS (None: all but the optional ones), and named hooks.

    Hooks are called with result and reference, `meddenoise.metrics.downstream` makes two.
    """

    names: Collection[str] | None = None
    hooks: Mapping[str, Hook] = field(default_factory=dict)


def measure(
    images: Compared,
    protocol: Protocol,
    wanted: Wanted | None = None,
    tick: Callable[[float], None] = lambda share: None,
) -> Measurement:
    """Every metric that is wanted, and whose images and regions are there; the others are absent.

    Metrics run side by side in threads; `tick` is called from this one with the share of them that is done,
    and may raise to stop.
    Raises ValueError where the images differ in shape.
    """
    chosen = _chosen(images, protocol, wanted or Wanted())
    values: dict[str, float | None] = {}
    warnings: list[str] = []
    infinite: list[str] = []
    pool = ThreadPoolExecutor(os.cpu_count(), "metric")
    try:
        running = [(name, pool.submit(_value, function, pair, protocol)) for name, function, pair in chosen]
        for name, future in running:
            value, why = future.result()
            infinite += [name] if value == math.inf else []
            values[name] = None if why else value
            if why:
                warnings.append(f"{name} has no value: {why}.")
            tick(len(values) / len(chosen))
    finally:
        pool.shutdown(cancel_futures=True)
    return Measurement(values, tuple(warnings), tuple(infinite))


def average(measurements: list[Measurement]) -> Measurement:
    """The mean of every metric over the measurements that have a value; None where none has."""
    names = list(dict.fromkeys(name for m in measurements for name in m.values))
    values: dict[str, float | None] = {}
    warnings: list[str] = []
    for name in names:
        known = [value for m in measurements if (value := m.values.get(name)) is not None]
        values[name] = sum(known) / len(known) if known else None
        if 0 < len(known) < len(measurements):
            warnings.append(f"the mean of {name} is over {len(known)} of {len(measurements)} results.")
    infinite = [name for name in names if all(name in m.infinite for m in measurements)]
    return Measurement(values, tuple(warnings), tuple(infinite))


def measurable(*needs: str) -> list[str]:
    """The names of METRICS that are measured by default where one of `needs` is there, without a region."""
    return [n for n, row in METRICS.items() if row.needs in needs and not (row.region or row.optional)]


def _chosen(
    images: Compared, protocol: Protocol, wanted: Wanted
) -> list[tuple[str, Hook, tuple[Numbers, Numbers]]]:
    """Name, function and the two images of what is wanted and can be had."""
    pairs = _pairs(images, protocol.window)
    regions = {"": True, "roi": len(protocol.rois) > 0, "rois": len(protocol.rois) > 1, "edge": protocol.edge}
    chosen = [
        (name, _function(row.where), pairs[row.needs])
        for name, row in METRICS.items()
        if _is_wanted(name, row, wanted.names) and regions[row.region] and row.needs in pairs
    ]
    if "reference" in pairs:
        chosen += [(name, hook, pairs["reference"]) for name, hook in wanted.hooks.items()]
    return chosen


def _pairs(images: Compared, window: tuple[float, float] | None) -> dict[str, tuple[Numbers, Numbers]]:
    """The images that a metric of each need takes; only what is compared with a reference is clipped."""
    result, reference = images.result, images.reference
    pairs = {"result": (result, result if reference is None else reference)}
    if reference is not None:
        pairs["reference"] = (result, reference)
        if window is not None:
            pairs["reference"] = (np.clip(result, *window), np.clip(reference, *window))
    if images.noisy is not None:
        pairs["noisy"] = (result, images.noisy)
    return pairs


def _is_wanted(name: str, row: Metric, names: Collection[str] | None) -> bool:
    return not row.optional if names is None else name in names


def _value(function: Hook, pair: tuple[Numbers, Numbers], protocol: Protocol) -> tuple[float | None, str]:
    """The value of a metric, and why it has none: because it is infinite, or not defined."""
    try:
        value = function(*pair, protocol)
    except UndefinedError as error:
        return None, str(error)
    return value, "" if math.isfinite(value) else _infinite(value)


def _infinite(value: float) -> str:
    return "it is infinite, the images are identical" if value > 0 else "the images hold no usable numbers"


def _function(where: str) -> Hook:
    module, name = where.split(":")
    function: Hook = getattr(import_module(module), name)
    return function

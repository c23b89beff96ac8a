"""Measure one result: choose the protocol, run the table's metrics, say why a number is missing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics import METRICS, Image, Protocol, UndefinedError
from meddenoise.series import Series

CT_RANGE_HU = 2000.0
"""PSNR and SSIM of CT: a window of 2000 HU (-1000 to 1000); pixels outside it count as they are."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metric values by name, None where one has no value, and a sentence for each of those."""

    values: dict[str, float | None]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The images a result is measured against: [N, Y, X] each, in one unit; None where there is none."""

    result: Image
    reference: Image | None = None
    noisy: Image | None = None


def measure(images: Compared, protocol: Protocol) -> Measurement:
    """Every metric of METRICS whose images are there; the others are absent.

    Raises ValueError where the images differ in shape.
    """
    values: dict[str, float | None] = {}
    warnings: list[str] = []
    others = {"reference": images.reference, "noisy": images.noisy}
    for name, metric in METRICS.items():
        other = others[metric.needs]
        if other is None:
            continue
        try:
            value = _function(metric.where)(images.result, other, protocol)
        except UndefinedError as error:
            values[name], why = None, str(error)
        else:
            values[name], why = (value, "") if math.isfinite(value) else (None, _infinite(value))
        if why:
            warnings.append(f"{name} has no value: {why}.")
    return Measurement(values, tuple(warnings))


def average(measurements: list[Measurement]) -> Measurement:
    """The mean of every metric over the measurements that have a value; None where none has."""
    names = [name for name in METRICS if any(name in m.values for m in measurements)]
    values: dict[str, float | None] = {}
    warnings: list[str] = []
    for name in names:
        known = [value for m in measurements if (value := m.values.get(name)) is not None]
        values[name] = sum(known) / len(known) if known else None
        if len(known) < len(measurements):
            warnings.append(f"the mean of {name} is over {len(known)} of {len(measurements)} results.")
    return Measurement(values, tuple(warnings))


def data_range(reference: Series, valid: NDArray[np.bool_]) -> tuple[float | None, str]:
    """The R of PSNR and SSIM for a reference in its own unit, and how it was chosen.

    CT: 2000 HU. 8-bit files: 255 grey levels. All others: largest minus smallest valid pixel of the whole
    reference series, None where that is 0. Never taken from the result or from one plane.
    """
    if reference.modality == "CT" or reference.unit == "HU":
        return CT_RANGE_HU, "is a window of 2000 HU for CT"
    if tuple(reference.stored_range) == (0, 255):
        return 255.0 * abs(float(reference.slope.max())), "is 255 stored grey levels for 8 bits"
    low, high = math.inf, -math.inf
    for n in range(len(reference)):
        plane = reference.values(n, n + 1)[0][valid[n]]
        if plane.size:
            low, high = min(low, float(plane.min())), max(high, float(plane.max()))
    return (
        high - low if high > low else None
    ), "is the largest minus the smallest value of the reference series"


def _infinite(value: float) -> str:
    return "it is infinite, the images are identical" if value > 0 else "the images hold no usable numbers"


def _function(where: str) -> Callable[[Image, Image, Protocol], float]:
    module, name = where.split(":")
    function: Callable[[Image, Image, Protocol], float] = getattr(import_module(module), name)
    return function

"""Downstream tasks as metrics: the user's own segmenter or classifier, before and after.

A hook is a metric like those of the table: give it to `measure` under a name of one's own.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.planes import mean_of_planes
from meddenoise.series import Numbers

Hook = Callable[[Numbers, Numbers, Protocol], float]
"""(result, reference, protocol) -> a number, or UndefinedError."""
Segment = Callable[[Numbers], NDArray[np.generic]]
"""Planes [N, Y, X] in physical units -> labels [N, Y, X], 0 or False for the background."""
Classify = Callable[[Numbers], NDArray[np.generic]]
"""Planes [N, Y, X] in physical units -> a label for each plane, [N]."""


def dice(segment: Segment) -> Hook:
    """The metric: Dice of what `segment` finds in the result against what it finds in the reference, 0 to 1.

    Mean over the labels that either holds. The metric raises UndefinedError where neither holds any, and
    ValueError where `segment` gives another shape.
    Source: Dice 1945, Ecology 26(3).
    """

    def measure(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
        found, wanted = (_labels(segment, image, image.shape) for image in (result, reference))
        counts = True if protocol.mask is None else protocol.mask
        labels = np.setdiff1d(np.union1d(found[counts & (found != 0)], wanted[counts & (wanted != 0)]), [0])
        overlaps = []
        for label in labels:
            a, b = (found == label) & counts, (wanted == label) & counts
            overlaps.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
        return mean_of_planes(overlaps, "nothing is segmented in either image")

    return measure


def accuracy(classify: Classify) -> Hook:
    """The metric: share of planes that `classify` gives the same label in result and reference, 0 to 1.

    The metric raises UndefinedError without a plane, and ValueError where `classify` gives another shape.
    """

    def measure(result: Numbers, reference: Numbers, protocol: Protocol) -> float:
        found, wanted = (_labels(classify, image, image.shape[:1]) for image in (result, reference))
        if not len(found):
            raise UndefinedError("there is no plane to classify")
        return float((found == wanted).mean())

    return measure


def _labels(
    find: Callable[[Numbers], NDArray[np.generic]], image: Numbers, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    labels = np.asarray(find(image))
    if labels.shape != shape:
        raise ValueError(f"the hook gives labels {list(labels.shape)}, wanted are {list(shape)}")
    return labels

"""What makes the numbers of an evaluation mean less than they seem: said beside them."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.io.pairing import Aligned
from meddenoise.metrics.measure import Compared
from meddenoise.series import Series


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

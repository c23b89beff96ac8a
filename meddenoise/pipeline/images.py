"""Images of any kind denoised: the front door of the Python package."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, TypeVar, overload

from meddenoise.errors import DenoisingWarning, UsageError
from meddenoise.io.memory import as_image, as_series
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import DEFAULTS, Options, check_options
from meddenoise.pipeline.plan import ignore
from meddenoise.pipeline.result import Result
from meddenoise.series import Series

Image = TypeVar("Image")
Progress = Callable[[int], Any]


@overload
def denoise(
    image: Series,
    options: Options = ...,
    progress: Progress | None = ...,
    *,
    sigma: float | None = ...,
    modality: str | None = ...,
    spacing_mm: None = ...,
) -> Result: ...


@overload
def denoise(
    image: Image,
    options: Options = ...,
    progress: Progress | None = ...,
    *,
    sigma: float | None = ...,
    modality: str | None = ...,
    spacing_mm: float | Sequence[float] | None = ...,
) -> Image: ...


def denoise(
    image: Any,
    options: Options = DEFAULTS,
    progress: Progress | None = None,
    *,
    sigma: float | None = None,
    modality: str | None = None,
    spacing_mm: float | Sequence[float] | None = None,
) -> Any:
    """`image` with its noise removed, as an image of the same type, shape and dtype.

    `image` is anything that `as_series` takes: a NumPy array or a torch tensor, 2-D, 3-D or 4-D, a SimpleITK
    or a nibabel image. A series of `read` or `as_series` comes back as a `Result`: the series, noise before
    and after, the verdict. Integers stay integers, rounded; NaN and infinity stay what they are.

    `sigma` is the standard deviation of the noise in the image's own unit; None estimates it, plane by plane.
    `modality` is a DICOM code (CT, MR, DX, XA, ...), which arrays do not state; None guesses it. `spacing_mm`
    as of `as_series`. `options` has the rest: method, weights, strength, device, seed. `progress` is called
    with the number of planes finished since its last call, as `tqdm.update` wants it, and before every batch
    with 0; it may raise to stop; None follows nothing.

    Warns with DenoisingWarning, one for each fallback and for a verdict that is not `ok`, where no `Result`
    says so. Raises InputError for an image that cannot be used, UsageError for options that do not fit and
    WeightsError for a checkpoint that cannot be used.

    >>> import numpy as np, meddenoise
    >>> noisy = np.random.default_rng(0).normal(100, 10, (64, 64)).astype(np.float32)
    >>> clean = meddenoise.denoise(noisy, sigma=10, modality="MR")
    >>> clean.shape, clean.dtype, bool(clean.std() < noisy.std() / 3)
    ((64, 64), dtype('float32'), True)
    """
    asked = _asked(options, sigma, modality)
    tick = ignore if progress is None else progress
    if isinstance(image, Series):
        if spacing_mm is not None:
            raise UsageError("a series states its own spacing: leave spacing_mm out.")
        return denoise_series(image, asked, tick)
    series = as_series(image, modality=asked.modality, spacing_mm=spacing_mm)
    result = denoise_series(series, replace(asked, modality=None), tick)
    _warn(result)
    return as_image(result.series, image)


def _asked(options: Any, sigma: Any, modality: Any) -> Options:
    """The options with what was given beside them. Raises UsageError."""
    if not isinstance(options, Options):
        raise UsageError(
            f"options is {options!r}: give meddenoise.Options(...), and a noise level by its name, sigma=12."
        )
    if sigma is not None and not (isinstance(sigma, Real) and 0 <= float(sigma) < math.inf):
        raise UsageError(f"sigma is {sigma!r}: give a number of 0 or more, or None to estimate it.")
    if modality is not None and not isinstance(modality, str):
        raise UsageError(f"modality is {modality!r}: give a DICOM code such as 'CT', or None to guess it.")
    asked: Options = options
    if sigma is not None:
        asked = replace(asked, sigma=float(sigma))
    if modality is not None:
        asked = replace(asked, modality=modality)
    check_options(asked)
    return asked


def _warn(result: Result) -> None:
    """Raise the warnings of a report as Python warnings, at the line that called `denoise`."""
    told = list(result.warnings)
    if result.trust is not None and result.trust.verdict not in ("ok", None):
        told.append(f"verdict {result.trust.verdict}: {'; '.join(result.trust.reasons)}")
    for text in told:
        warnings.warn(text, DenoisingWarning, stacklevel=3)

"""Numbers of a denoised fluoroscopy frame: those of BeFOI's Table 1, and the ghosts of what moved."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter, uniform_filter
from skimage.measure import blur_effect

from meddenoise.metrics import Protocol
from meddenoise.metrics.reference import psnr, ssim
from meddenoise.series import Image, Mask
from papers.befoi.cine_problems import CineScene

ROI = 48
"""Side in pixels of the region of SNR."""
BRIGHT = 0.25
"""Least mean of that region, of the mean of the frame: what is behind a collimator is flat too."""
REBLUR = 11
REBLUR_METRIC: Callable[..., float] = blur_effect
CHANGE = 0.5
"""Least change that counts as moved, in standard deviations of the noise."""
MOVED = 0.005
"""Least share of the pixels that must move for the ghosts of a frame to be counted."""

BLURS = (1.0, 2.0, 4.0)
"""Widths in pixels of the blurs by which detail counts as lost."""


@dataclass(frozen=True)
class CineScores:
    """Of one frame; `psnr_corrected` takes the noise of the reference off the error, None where that is all.

    `ghost` and `moved_rmse` are None where nothing moves, or the truth of the neighbours is not known.
    """

    snr: float
    reblur: float
    psnr: float
    psnr_corrected: float | None
    ssim: float
    ghost: float | None
    moved_rmse: float | None


def score(result: Image, scene: CineScene, region: tuple[slice, slice]) -> CineScores:
    """All numbers of a result [Y, X]."""
    clean, peak = scene.case.clean, scene.case.peak
    protocol = Protocol(peak, "peak of the picture")
    error = float(np.mean(np.square(result.astype(np.float64) - clean))) - scene.reference_variance
    return CineScores(
        snr=region_snr(result, region),
        reblur=float(REBLUR_METRIC(result, h_size=REBLUR)),
        psnr=psnr(result[None], clean[None], protocol),
        psnr_corrected=10 * math.log10(peak**2 / error) if error > 0 else None,
        ssim=ssim(result[None], clean[None], protocol),
        ghost=ghost_of(result, scene),
        moved_rmse=moved_error(result, scene),
    )


def flattest_region(clean: Image, side: int = ROI) -> tuple[slice, slice]:
    """The `side` x `side` window of least standard deviation over mean, of a clean frame.

    Windows that touch a clipped pixel, or are darker than BRIGHT of the frame, count only where there are no
    others.
    """
    side = min(side, *clean.shape)
    values = clean.astype(np.float64)
    mean = _windows(uniform_filter(values, side), side)
    variance = np.maximum(_windows(uniform_filter(values**2, side), side) - mean**2, 0)
    lowest, highest = (_windows(f(values, side), side) for f in (minimum_filter, maximum_filter))
    usable = (lowest > values.min()) & (highest < values.max()) & (mean >= BRIGHT * values.mean())
    if not usable.any():
        usable = mean > 0
    ratio = np.where(usable, np.sqrt(variance) / np.maximum(mean, 1e-9), np.inf)
    top, left = np.unravel_index(int(np.argmin(ratio)), ratio.shape)
    return slice(int(top), int(top) + side), slice(int(left), int(left) + side)


def region_snr(plane: Image, region: tuple[slice, slice]) -> float:
    """Mean over standard deviation in a region."""
    values = plane[region].astype(np.float64)
    deviation = float(values.std())
    return float(values.mean()) / deviation if deviation else math.inf


def moved_mask(scene: CineScene) -> Mask | None:
    """Mask of what differs in a neighbouring frame by more than half the noise, None if hardly any."""
    if scene.truth is None:
        return None
    middle = scene.truth[scene.middle]
    beside = scene.truth[[scene.middle - 1, scene.middle + 1]]
    moved: Mask = np.abs(beside - middle).max(axis=0) > CHANGE * scene.case.sigma
    return moved if moved.mean() >= MOVED else None


def ghost_of(result: Image, scene: CineScene) -> float | None:
    """Share of the neighbours in a result, in what moved.

    0: no trace of them; 1: their mean in place of the frame; 2/3: the mean of the three.
    """
    moved = moved_mask(scene)
    if moved is None or scene.truth is None:
        return None
    truth = scene.truth.astype(np.float64)
    beside = (truth[scene.middle - 1] + truth[scene.middle + 1]) / 2
    return ghost_amplitude(result, truth[scene.middle], beside, moved)


def ghost_amplitude(result: Image, truth: Image, beside: Image, moved: Mask) -> float:
    """Regression coefficient of (result - truth) on (beside - truth) over the `moved` pixels.

    What a result lost of the frame's own detail is a regressor too: by itself it looks like the neighbours,
    which do not have that detail there either.
    """
    exact = truth.astype(np.float64)
    lost = [gaussian_filter(exact, width) - exact for width in BLURS]
    regressors = np.stack([image[moved] for image in (beside.astype(np.float64) - exact, *lost)], axis=1)
    coefficients = np.linalg.lstsq(regressors, (result - exact)[moved], rcond=None)[0]
    return float(coefficients[0])


def moved_error(result: Image, scene: CineScene) -> float | None:
    """Root mean square error over what moved."""
    moved = moved_mask(scene)
    if moved is None:
        return None
    return float(np.sqrt(np.mean(np.square(result.astype(np.float64) - scene.case.clean)[moved])))


def _windows(filtered: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Of a filter of `side` pixels, the values of windows that lie inside, by their first row and column."""
    rows, columns = (size - side + 1 for size in filtered.shape)
    return filtered[side // 2 :, side // 2 :][:rows, :columns]

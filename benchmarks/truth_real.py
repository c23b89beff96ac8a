"""Trials of real noise: pairs of acquisitions, and frames of a scene in which nothing moves.

Source: section 13 of the method notes. Two acquisitions z1, z2 of one object: noise² = mean (z1 - z2)² / 2;
left² = mean (D(z1) - z2)² - noise². Differences are high-passed: what drifts slowly is not noise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.filters import threshold_otsu

from benchmarks.cases import NoisyCase, radial_power
from benchmarks.pictures import split_files
from benchmarks.truth_trial import Box, Judge, TruthOutcome, TruthTrial
from meddenoise.engine.planes import as_map
from meddenoise.io import read
from meddenoise.series import Image, Mask, Series

DRIFT_PX = 6.0
"""Changes over more than about that many pixels are drift."""
RIM_PX = 4
LOCAL_PX, MOVED = 4.0, 3.0
"""Times the median of the local power of a difference above which something moved."""
SETTLED = 1.5
"""Frames with more than that times the median noise of the run are no reference: a filter has to settle."""
CORRELATED = 0.12
"""Frames whose noise is correlated by more than that with the next one's do not judge each other."""
_SIDE = 256


def without_drift(difference: NDArray[np.floating]) -> NDArray[np.float64]:
    """A difference [Y, X] without what changes slowly over the plane."""
    fine = difference.astype(np.float64)
    fine -= gaussian_filter(fine, DRIFT_PX)
    return fine


def mean_fine(difference: NDArray[np.floating], where: Mask) -> float:
    """Mean square of a difference without its drift, over the mask."""
    return float(np.mean(without_drift(difference)[where] ** 2))


def pair_noise(first: Image, second: Image, where: Mask) -> float:
    """Noise power of two acquisitions of one object."""
    return mean_fine(first - second, where) / 2


def judge_pair(first: Image, second: Image, where: Mask, peak: float) -> Judge:
    """Each result held against the other acquisition; both directions together halve the chance error."""
    noise = pair_noise(first, second, where)

    def judge(planes: Sequence[Image]) -> list[TruthOutcome]:
        seen = [mean_fine(planes[0] - second, where), mean_fine(planes[1] - first, where)]
        return [TruthOutcome("", peak, None, float(np.mean(seen)) - noise)]

    return judge


def repeats(folder: Path) -> Iterator[TruthTrial]:
    """Pairs of MR acquisitions, each denoised and judged by the other, scaled to one mean."""
    firsts = [path for path in split_files(folder, "val") if "repeats" in path.parts and "_1." in path.name]
    for path in firsts:
        pair = [read(path)[0], read(path.with_name(path.name.replace("_1.", "_2.")))[0]]
        planes = [series.values(0, 1)[0] for series in pair]
        planes[1] = planes[1] * np.float32(planes[0].mean() / planes[1].mean())
        where = still_part(planes[0], planes[1])
        peak = float(np.percentile(planes[0], 99.9))
        name = path.name.split(".")[0].removeprefix("snr_").removesuffix("_1")
        sigma = float(np.sqrt(pair_noise(planes[0], planes[1], where)))
        nps = radial_power(np.where(where, without_drift(planes[0] - planes[1]), 0))
        cases = tuple(
            NoisyCase("repeats", name, name, "MR", plane, plane, peak, sigma, sigma, nps) for plane in planes
        )
        series = tuple(as_map(one, plane[None]) for one, plane in zip(pair, planes, strict=True))
        judge = judge_pair(planes[0], planes[1], where, peak)
        yield TruthTrial("repeats", name, "MR", name, series, ((0, 0), (1, 0)), cases, judge)


def still_part(first: Image, second: Image) -> Mask:
    """Mask of what two acquisitions of one object share: the object with its rim, but for what has moved.

    A rim that moved by a tenth of a pixel differs, with its ringing, by far more than noise. What is left
    out is chosen by the pair alone, the same for all methods.
    """
    smooth = gaussian_filter((first + second) / 2, 2.0)
    otsu: Callable[[NDArray[np.floating]], float] = threshold_otsu
    inside = binary_dilation(smooth > 0.5 * otsu(smooth), iterations=RIM_PX)
    power = without_drift(first - second) ** 2
    local = gaussian_filter(power, LOCAL_PX)
    moved = inside & (local > MOVED * np.median(local[inside]))
    still: Mask = inside & ~binary_dilation(moved, iterations=RIM_PX)
    return still


@dataclass(frozen=True)
class Witness:
    """Reference of a frame: a mean of other frames, and the noise power that this mean still has."""

    mean: Image
    noise_ms: float


def witness(frames: Image, frame: int, others: Sequence[int], reach: int) -> Witness:
    """The mean of two means of `others`, before `frame` and after it: their difference is its own noise.

    Each half is of frames that follow each other, so that what ties neighbours in time counts in it; where
    one side has too few, the other is cut in two, with a gap wherever neighbours are tied.
    """
    early, late = [n for n in others if n < frame], [n for n in others if n > frame]
    if min(len(early), len(late)) < 2:
        half = len(others) // 2
        early, late = list(others[:half]), [n for n in others[half:] if n >= others[half - 1] + reach]
    halves = [frames[part].mean(axis=0, dtype=np.float64) for part in (early, late)]
    mean = (halves[0] + halves[1]) / 2
    scale = frames[frame].mean(dtype=np.float64) / mean.mean()
    own = mean_fine(halves[0] - halves[1], np.ones(mean.shape, bool)) / 4
    return Witness((scale * mean).astype(np.float32), scale**2 * own)


def witnesses(frames: Image) -> list[Witness]:
    """A witness for each frame [T, Y, X]: settled frames that share no noise with it or its neighbours.

    Neighbours are left out as methods look at them; where noise is tied in time, theirs too.
    """
    levels = frame_levels(frames)
    settled = [n for n in range(len(frames)) if levels[n] <= SETTLED * np.median(levels)]
    reach = 3 if tied_in_time(frames, settled) > CORRELATED else 1
    return [
        witness(frames, n, [other for other in settled if abs(other - n) > reach], reach)
        for n in range(len(frames))
    ]


def frame_levels(frames: Image) -> list[float]:
    """Noise of each frame, from its difference to the mean of the last half of the run."""
    everywhere = np.ones(frames.shape[1:], bool)
    count = len(frames)
    levels = []
    for n in range(count):
        others = [other for other in range(count // 2, count) if abs(other - n) > 1]
        share = 1 + 1 / len(others)
        levels.append((mean_fine(frames[n] - frames[others].mean(axis=0), everywhere) / share) ** 0.5)
    return levels


def tied_in_time(frames: Image, settled: Sequence[int]) -> float:
    """Correlation of the noise of neighbouring frames: differences of neighbours are smaller where it is."""
    everywhere = np.ones(frames.shape[1:], bool)
    near = [mean_fine(frames[n] - frames[n + 1], everywhere) for n in settled if n + 1 in settled]
    far = [mean_fine(frames[n] - frames[n + 4], everywhere) for n in settled if n + 4 in settled]
    return float(1 - np.mean(near) / np.mean(far))


def judge_frames(found: Sequence[Witness], peak: float) -> Judge:
    """Each frame held against its witness."""
    everywhere = np.ones(found[0].mean.shape, bool)

    def judge(planes: Sequence[Image]) -> list[TruthOutcome]:
        return [
            TruthOutcome(f"frame {n}", peak, None, mean_fine(plane - one.mean, everywhere) - one.noise_ms)
            for n, (plane, one) in enumerate(zip(planes, found, strict=True))
        ]

    return judge


def cines(folder: Path) -> Iterator[TruthTrial]:
    """Runs of a scene in which nothing moves, denoised whole and judged frame by frame in the middle."""
    for path in split_files(folder, "val"):
        if "xa_vessel_phantom_cine_dicom" in path.parts:
            series = read(path)[0]
            yield cine_trial(series, path.stem)


def cine_trial(series: Series, name: str) -> TruthTrial:
    """The trial of one run; peers get the middle of each frame with its own level and spectrum."""
    values = series.values(0, len(series))
    peak = 255.0
    box = middle(values.shape[1:], _SIDE)
    frames = values[:, *box]
    found = witnesses(frames)
    cases = []
    for n, (frame, one) in enumerate(zip(frames, found, strict=True)):
        residual = without_drift(frame - one.mean)
        power = float(np.mean(residual**2))
        sigma = max(power - one.noise_ms, 0.0) ** 0.5
        nps = radial_power(residual) * sigma**2 / power
        cases.append(NoisyCase("cines", f"frame {n}", name, "XA", one.mean, frame, peak, sigma, sigma, nps))
    judged = tuple((0, n) for n in range(len(frames)))
    whole = replace(as_map(series, values), modality="XA")
    return TruthTrial(
        "cines", name, "XA", name, (whole,), judged, tuple(cases), judge_frames(found, peak), box
    )


def middle(shape: Sequence[int], side: int) -> Box:
    """The middle `side` x `side` pixels of a plane."""
    top, left = (max((size - side) // 2, 0) for size in shape)
    return slice(top, top + side), slice(left, left + side)

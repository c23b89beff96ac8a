"""Noise before and after, and what was removed: one estimator, on the same flat places, plane by plane."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meddenoise.io.scratch import release
from meddenoise.metrics.flat import Places, find_places
from meddenoise.metrics.nps import Nps, average_nps, mean_frequency, patches_nps
from meddenoise.noise import Noise, NoiseEstimate
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Floats, Image, Series, fill_holes

LOST_FREEDOM = 3
"""Numbers that taking the slope out of a place uses up."""
FIT = 0.3
"""Before and the root of after² + removed² may differ by this share. Independent parts agree; where noise is
halved the root is 0.71 of before, as low as it comes."""
VISIBLE = 0.3
"""Share of the noise that must be left for its grain to be seen."""
TYPICAL = 1.5
"""Planes whose noise is within this factor of the median stand for the series."""
STRUCTURE = 2.5
"""Places that show this many times the estimated level hold structure: small matrices have no flat ones."""
SOME_STRUCTURE = 1.2
"""From here on they hold some: what is left there can be compared with what was, and is not the noise."""
SAMPLED, ALL_SAMPLED = 4096, 1 << 16
"""Values of a plane, and of all planes, that are kept for the histogram."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """Root mean squares over the flat places of the typical planes of a series, in its unit, or None.

    `by_plane` has (before, after) of every frame, None without a flat place. `values` [2, n] are some
    of the values before and after, for the histogram, `spectra` the power spectra of both.
    """

    before: float | None = None
    after: float | None = None
    removed: float | None = None
    shared: float | None = None
    """Mean of before times removed: what both have in common."""
    by_plane: tuple[tuple[float | None, float | None], ...] = ()
    flat: bool = True
    """False if the places show SOME_STRUCTURE times the estimated level."""
    values: NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 0), np.float32), repr=False)
    spectra: tuple[Nps, Nps] | None = field(default=None, repr=False)

    @property
    def left(self) -> float | None:
        """Share of the noise that is left, 0 to 1; None where it cannot be measured.

        The lesser of after / before, which structure in the places raises, and of 1 - removed² / shared,
        which structure leaves alone: noise scaled down to s has s for both, and noise untouched has 1.
        """
        if not self.before or self.after is None or self.removed is None or self.shared is None:
            return None
        share = min(1.0, self.after / self.before)
        if self.shared <= 0:
            return share
        return min(share, max(0.0, 1 - self.removed**2 / self.shared))

    @property
    def coarser(self) -> float | None:
        """Fall of the mean frequency of the noise, as a share of that before.

        None where so little noise is left that nobody sees its grain: all methods leave its coarse part.
        """
        left = self.left
        if self.spectra is None or not self.after or left is None or left < VISIBLE:
            return None
        before, after = (mean_frequency(one) for one in self.spectra)
        return 1 - after / before

    def of_noise(self) -> "Removal":
        """Itself; nothing measured if the places hold some structure, which is not noise before or after."""
        return self if self.flat else Removal(by_plane=((None, None),) * len(self.by_plane))

    def misfit(self, unit: str) -> str:
        """A sentence where before, after and removed do not fit together; empty where they do."""
        if not self.before or self.after is None or self.removed is None:
            return ""
        if abs(np.hypot(self.after, self.removed) / self.before - 1) <= FIT:
            return ""
        unit = f" {unit}" if unit else ""
        return (
            f"the noise numbers do not fit together: in flat places {self.before:.3g}{unit} before and "
            f"{self.after:.3g}{unit} after, yet {self.removed:.3g}{unit} were removed there: what is left is "
            "not the noise of the input."
        )


def measure_removal(noisy: Series, result: Series, noise: Noise | None = None) -> Removal:
    """The noise of a series and of what was made of it, on the same grid and in the same order.

    `noise` is what was estimated of the noisy series: if the flat places of a frame show STRUCTURE times as
    much, or TYPICAL times what is usual in the others, they hold structure, and the frame is not measured.
    """
    starts = _starts(result)
    kept = min(SAMPLED, max(1, ALL_SAMPLED // max(len(starts), 1)))
    frames = []
    for n in starts:
        planes = range(n, n + result.channels)
        frames.append(_measure(noisy, result, planes, kept, None if noise is None else noise.plane(n)))
        release(noisy.pixels, result.pixels)
    frames = _without_structure(frames)
    known = _typical([frame for frame in frames if frame is not None])
    if not known:
        return Removal(by_plane=((None, None),) * len(frames))
    ratios = [frame.ratio for frame in known if frame.ratio is not None]
    powers = np.mean([frame.power for frame in known], axis=0)
    before, after, removed = np.sqrt(powers[:3])
    side = max((frame.side for frame in known), key=[frame.side for frame in known].count)
    alike = [frame.spectra for frame in known if frame.side == side]
    return Removal(
        float(before),
        float(after),
        float(removed),
        float(powers[3]),
        tuple((None, None) if frame is None else frame.pair for frame in frames),
        not ratios or float(np.median(ratios)) < SOME_STRUCTURE,
        np.concatenate([frame.values for frame in known], axis=1),
        (average_nps([pair[0] for pair in alike]), average_nps([pair[1] for pair in alike])),
    )


def noise_entry(removal: Removal | None, unit: str) -> dict[str, Any]:
    """`noise` of a report; None where nothing was measured."""
    measured = Removal() if removal is None else removal
    return {
        "sigma_before": measured.before,
        "sigma_after": measured.after,
        "removed_rms": measured.removed,
        "unit": unit,
        "by_plane": [list(pair) for pair in measured.by_plane],
    }


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame: powers (before, after, removed, before x removed), side of its places, values [2, n].

    `expected` is the level estimated for its places; 0 where it is not known.
    """

    power: NDArray[np.float64]
    expected: float
    side: int
    values: NDArray[np.float32]
    spectra: tuple[Nps, Nps]

    @property
    def pair(self) -> tuple[float, float]:
        return float(np.sqrt(self.power[0])), float(np.sqrt(self.power[1]))

    @property
    def ratio(self) -> float | None:
        """Noise that the places show, relative to the estimate; None if nothing is expected."""
        return self.pair[0] / self.expected if self.expected > 0 else None


def _without_structure(frames: list[_Frame | None]) -> list[_Frame | None]:
    """The frames, None for those that show far more than expected, or than is usual relative to that."""
    ratios = [frame.ratio for frame in frames if frame is not None and frame.ratio is not None]
    if not ratios:
        return frames
    most = min(STRUCTURE, TYPICAL * float(np.median(ratios)))
    return [frame if frame is None or (frame.ratio or 0.0) <= most else None for frame in frames]


def _typical(frames: list[_Frame]) -> list[_Frame]:
    """Those whose noise before is near the median: one with little but structure must not stand for all."""
    middle = float(np.median([frame.pair[0] for frame in frames])) if frames else 0.0
    return [frame for frame in frames if middle / TYPICAL <= frame.pair[0] <= middle * TYPICAL]


def _starts(series: Series) -> range:
    return range(0, len(series), series.channels)


def _measure(
    noisy: Series, result: Series, planes: range, kept: int, noise: NoiseEstimate | None
) -> _Frame | None:
    """One frame, its colours measured in the places of the first of them."""
    places: Places | None = None
    powers, cuts, expected = [], [], 0.0
    for n in planes:
        valid = noisy.valid(n, n + 1) & result.valid(n, n + 1)
        before, after = (fill_holes(series.values(n, n + 1), valid)[0] for series in (noisy, result))
        if places is None:
            places = find_places(before, valid[0])
            if places is None:
                return None
            expected = 0.0 if noise is None else _expected(noise, before, places)
        pair = (places.cut(before), places.cut(after))
        gone = pair[0] - pair[1]
        squares = (pair[0] ** 2, pair[1] ** 2, gone**2, pair[0] * gone)
        powers.append([_mean(products) for products in squares])
        cuts.append(pair)
    assert places is not None
    spacing = result.geometry.spacing_mm[1:] if result.geometry.known else None
    first = cuts[0]
    picked = np.random.default_rng(SEED).permutation(first[0].size)[:kept]
    return _Frame(
        np.mean(powers, axis=0),
        expected,
        places.side,
        np.stack([part.ravel()[picked] for part in first]).astype(np.float32),
        (patches_nps(first[0], spacing), patches_nps(first[1], spacing)),
    )


def _expected(noise: NoiseEstimate, plane: Image, places: Places) -> float:
    """The level estimated for the places of a plane."""
    power = np.lib.stride_tricks.sliding_window_view(sigma_map(noise, plane) ** 2, (places.side,) * 2)
    return float(np.sqrt(power[places.corners[:, 0], places.corners[:, 1]].mean(dtype=np.float64)))


def _mean(products: Floats) -> float:
    count = products[0].size
    mean = float(products.mean())
    return float(mean * count / (count - LOST_FREEDOM))

"""Resolution from an edge: the spread of the edge, super-sampled, and its modulation transfer function.

Nonlinear methods keep strong edges and lose weak ones: the number tells of an edge of this contrast in noise
of this level, no more (a task transfer function). Averaging over planes averages over their noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.signal.windows import tukey

from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.regions import Box, Circle
from meddenoise.series import Floats, Numbers

BIN = 0.1
"""Width of a bin across the edge, in pixels."""
REACH = 12.0
"""Largest distance from the edge that counts, in pixels: beyond it other edges begin."""
LEAST = 3.0
"""Smallest such distance: below it the foot of the edge is not seen."""
CLEAR = 4.0
"""Contrast of an edge over the deviation of the profile beside it below which it is lost in the noise."""
CROOKED = 1.0
"""Median distance of an edge from its line or circle, in pixels, above which it is another shape."""
_FINEST = 1.0
"""Cycles a pixel up to which the function is told."""
_PADDED = 4096
_TAPER = 0.5
"""A Hann window all along would narrow a wide line: 11 % too high an MTF at 2.5 pixels of blur."""


@dataclass(frozen=True, slots=True, eq=False)
class Mtf:
    """`modulation` at `frequency` (cycles per millimetre, or a pixel), 1 at frequency 0.

    `contrast` is the step of the edge in the image's unit, to the further side of a line or the inside of a
    circle from the other.
    """

    frequency: Floats
    modulation: Floats
    contrast: float

    def frequency_at(self, level: float) -> float:
        """The lowest frequency at which the modulation falls to `level`, interpolated.

        Raises UndefinedError where it never does.
        """
        below = np.flatnonzero(self.modulation < level)
        if below.size == 0 or below[0] == 0:
            raise UndefinedError(f"the modulation never falls to {level:g}")
        k = int(below[0])
        high, low = self.modulation[k - 1], self.modulation[k]
        share = (high - level) / (high - low)
        return float(self.frequency[k - 1] + share * (self.frequency[k] - self.frequency[k - 1]))


def mtf_50(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """Frequency at which the edge keeps half its contrast; UndefinedError as `measure_mtf`."""
    return measure_mtf(result, other, protocol).frequency_at(0.5)


def mtf_10(result: Numbers, other: Numbers, protocol: Protocol) -> float:
    """Frequency at which the edge keeps a tenth of its contrast; UndefinedError as `measure_mtf`."""
    return measure_mtf(result, other, protocol).frequency_at(0.1)


def measure_mtf(result: Numbers, other: Numbers, protocol: Protocol) -> Mtf:
    """The transfer function of `result` from the edge of the protocol, located in `other`.

    The spread of the edge in bins of 0.1 pixels is differentiated, its outer quarters under the slopes of a
    Hann window; bin and difference are divided out. Pixels are taken as square. Raises UndefinedError where
    there is no edge, one of another shape, one that runs along the pixels (it shows too few distances), or
    one that is lost in the noise.
    Source: ISO 12233; Richard, Husarik, Yadava, Murphy, Samei 2012, Medical Physics 39(7).
    """
    edge = protocol.edge
    assert edge is not None
    where, values = edge.cut(other).astype(np.float64), edge.cut(result).astype(np.float64)
    if not (np.isfinite(where).all() and np.isfinite(values).all()):
        raise UndefinedError("the region of the edge holds pixels that are not finite")
    mean = where.mean(axis=0)
    distance = _from_line(mean) if isinstance(edge, Box) else _from_circle(mean, edge)
    reach = REACH if isinstance(edge, Box) else min(REACH, 0.7 * edge.radius)
    spread = _edge_spread(values.mean(axis=0), distance, reach)
    pixel = 1.0 if protocol.spacing_mm is None else float(np.mean(protocol.spacing_mm))
    return _transfer(spread, pixel)


def _from_line(plane: Floats) -> Floats:
    """Signed distance of every pixel from the straight edge across the plane, in pixels."""
    slopes = np.gradient(gaussian_filter(plane, 1.0)) if min(plane.shape) >= 2 else ()
    if not slopes or min(plane.shape) < 2 * LEAST:
        raise UndefinedError(f"the region of the edge has fewer than {2 * LEAST:g} pixels a side")
    upright = np.abs(slopes[1]).sum() >= np.abs(slopes[0]).sum()
    slope = np.abs(slopes[1] if upright else slopes[0].T)
    height, width = slope.shape
    # half of the highest slope of its row: noise beside the edge must not pull
    weight = np.maximum(slope - 0.5 * slope.max(axis=1, keepdims=True), 0)
    if not (weight.sum(axis=1) > 0).all():
        raise UndefinedError("the region has no edge")
    centre = (weight * np.arange(width)).sum(axis=1) / weight.sum(axis=1)
    tilt, start = _fit_line(np.arange(height), centre)
    distance = (np.arange(width)[None, :] - start - tilt * np.arange(height)[:, None]) / np.hypot(1, tilt)
    turned: Floats = distance if upright else distance.T
    return turned


def _fit_line(row: NDArray[np.int_], centre: Floats) -> tuple[float, float]:
    """Slope and start of the line through the centres, those far off left out in a second fit."""
    tilt, start = np.polyfit(row, centre, 1)
    off = np.abs(centre - start - tilt * row)
    if float(np.median(off)) > CROOKED:
        raise UndefinedError("the edge in the region is not straight, one of several, or lost in the noise")
    near = off <= max(3 * float(np.median(off)), 0.2)
    tilt, start = np.polyfit(row[near], centre[near], 1) if near.sum() > 2 else (tilt, start)
    return float(tilt), float(start)


def _from_circle(plane: Floats, edge: Circle) -> Floats:
    """Distance of every pixel from the circle that fits the edge near `edge`, in pixels, outside above 0."""
    angle = np.arange(0, 2 * np.pi, np.pi / 36)
    radius = np.arange(0.5 * edge.radius, 1.5 * edge.radius, 0.25)
    y = edge.row + radius * np.sin(angle)[:, None]
    x = edge.column + radius * np.cos(angle)[:, None]
    inside = (y >= 0) & (x >= 0) & (y <= plane.shape[0] - 1) & (x <= plane.shape[1] - 1)
    profile = map_coordinates(gaussian_filter(plane, 1.0), [y, x], order=1, mode="nearest")
    slope = np.abs(np.gradient(profile, axis=1)) * inside
    weight = np.maximum(slope - 0.5 * slope.max(axis=1, keepdims=True), 0)
    total = weight.sum(axis=1)
    if (total > 0).sum() < len(angle) / 2:
        raise UndefinedError("the circle has no edge")
    found = (weight * radius).sum(axis=1)[total > 0] / total[total > 0]
    a = angle[total > 0]
    points = np.stack([found * np.sin(a), found * np.cos(a)], -1)
    # x² + y² = 2 a x + 2 b y + c, linear in the centre (a, b) and in c
    system = np.column_stack([2 * points, np.ones(len(points))])
    (dy, dx, rest), *_ = np.linalg.lstsq(system, np.square(points).sum(axis=1), rcond=None)
    size = float(np.sqrt(max(rest + dy * dy + dx * dx, 0.0)))
    off = np.abs(np.hypot(points[:, 0] - dy, points[:, 1] - dx) - size)
    if float(np.median(off)) > CROOKED:
        raise UndefinedError("the edge along the circle is not round, one of several, or lost in the noise")
    rows, columns = np.indices(plane.shape)
    distance: Floats = np.hypot(rows - edge.row - dy, columns - edge.column - dx)
    return distance - size


def _edge_spread(plane: Floats, distance: Floats, reach: float) -> Floats:
    """Means of the pixels in bins of 0.1 pixels from -reach to reach, as far as there are pixels."""
    reach = min(reach, -float(distance.min()), float(distance.max()))
    if reach < LEAST:
        raise UndefinedError(f"the region reaches less than {LEAST:g} pixels beyond the edge")
    half = int(reach / BIN)
    index = np.floor(distance / BIN).astype(int) + half
    near = (index >= 0) & (index < 2 * half)
    count = np.bincount(index[near], minlength=2 * half)
    total = np.bincount(index[near], plane[near], minlength=2 * half)
    filled = count > 0
    if filled.mean() < 0.8:
        raise UndefinedError(
            "the edge runs along the pixels: choose one slanted by some degrees, or a circle"
        )
    middle = np.arange(2 * half)
    spread: Floats = np.interp(middle, middle[filled], total[filled] / count[filled])
    return spread


def _transfer(spread: Floats, pixel: float) -> Mtf:
    foot = max(len(spread) // 5, 5)
    low, high = spread[:foot], spread[-foot:]
    contrast = float(high.mean() - low.mean())
    if not abs(contrast) > CLEAR * max(float(low.std()), float(high.std())):
        raise UndefinedError("the edge is lost in the noise next to it")
    line = np.diff(spread)
    # centred where the edge is steepest: what a window cuts off must be alike on both sides
    weight = np.maximum(line * np.sign(contrast), 0)
    centre = float((weight * np.arange(len(line))).sum() / weight.sum())
    half = int(min(centre, len(line) - 1 - centre))
    middle = round(centre)
    part = line[max(middle - half, 0) : middle + half + 1]
    modulation = np.abs(np.fft.rfft(part * tukey(len(part), _TAPER), _PADDED))
    frequency = np.fft.rfftfreq(_PADDED, BIN)
    told = frequency <= _FINEST
    known: Floats = modulation[told] / modulation[0] / np.square(np.sinc(frequency[told] * BIN))
    return Mtf(frequency[told] / np.float64(pixel), known, contrast)

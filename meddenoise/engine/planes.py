"""Planes of a series as a method sees them: with neighbours, holes filled, bright what is shown bright."""

import numpy as np
from numpy.typing import NDArray

from meddenoise.engine import Planes
from meddenoise.holes import fill_holes
from meddenoise.noise import Noise
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Series

LOUDER = 1.4
"""Ratio of levels from which a neighbour is too noisy for methods that are given one level for all frames."""


def load_planes(series: Series, start: int, stop: int, noise: Noise, context: int) -> tuple[Planes, Planes]:
    """Planes with their neighbours [N, 2 context + 1, Y, X], holes filled, and noise maps [N, Y, X].

    Bright is what is shown bright, as in all that networks are trained on.
    Neighbours are frames of the same colour channel; beyond the ends the last one repeats. In a series that
    is no cine the plane itself does: the next slice shows another place. So it does for a neighbour without
    noise (a blank frame) or with much more than the plane's own, which methods would take for structure.
    """
    channels = series.channels
    planes = np.arange(start, stop)[:, None]
    steps = np.arange(-context, context + 1) * series.is_cine
    frames = np.clip(planes // channels + steps, 0, len(series) // channels - 1)
    index = frames * channels + planes % channels
    index = np.where(_helps(noise, index, planes), index, planes)
    low, high = int(index.min()), int(index.max()) + 1
    filled = fill_holes(series.values(low, high), series.valid(low, high))
    own = zip(range(start, stop), filled[start - low : stop - low], strict=True)
    sigma = np.stack([sigma_map(noise.plane(n), plane) for n, plane in own])
    return shown(series, filled)[index - low], sigma


def _helps(noise: Noise, index: NDArray[np.intp], planes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True for neighbours [N, 2 context + 1] with noise, not much more of it than `planes` [N, 1] have."""
    known = {n: noise.plane(n).sigma for n in np.unique([*index.flat, *planes.flat]).tolist()}
    level, own = (np.array([known[n] for n in part.flat]).reshape(part.shape) for part in (index, planes))
    return (level > 0) & (level <= LOUDER * own)


def shown(series: Series, planes: Planes) -> Planes:
    """Planes in the polarity they are shown in, from the stored one or back."""
    return -planes if series.inverted else planes

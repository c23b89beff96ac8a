"""Planes of a series as a method sees them: with neighbours, holes filled, bright what is shown bright."""

import numpy as np

from meddenoise.engine import Planes
from meddenoise.holes import fill_holes
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import sigma_map
from meddenoise.series import Series


def load_planes(
    series: Series, start: int, stop: int, noise: NoiseEstimate, context: int
) -> tuple[Planes, Planes]:
    """Planes with their neighbours [N, 2 context + 1, Y, X], holes filled, and noise maps [N, Y, X].

    Bright is what is shown bright, as in all that networks are trained on.
    Neighbours are frames of the same colour channel; beyond the ends the last one repeats. In a series that
    is no cine the plane itself does: the next slice shows another place.
    """
    channels = series.channels
    planes = np.arange(start, stop)[:, None]
    steps = np.arange(-context, context + 1) * series.is_cine
    frames = np.clip(planes // channels + steps, 0, len(series) // channels - 1)
    index = frames * channels + planes % channels
    low, high = int(index.min()), int(index.max()) + 1
    filled = fill_holes(series.values(low, high), series.valid(low, high))
    if noise.given is not None:
        return shown(series, filled)[index - low], np.ascontiguousarray(noise.given[start:stop])
    sigma = np.stack([sigma_map(noise, plane) for plane in filled[start - low : stop - low]])
    return shown(series, filled)[index - low], sigma


def shown(series: Series, planes: Planes) -> Planes:
    """Planes in the polarity they are shown in, from the stored one or back."""
    return -planes if series.inverted else planes

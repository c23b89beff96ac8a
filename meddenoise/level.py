"""The noise level of a series, from some of its planes."""

import numpy as np

from meddenoise.holes import fill_holes
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import MAX_PLANES, estimate_noise
from meddenoise.series import Series


def estimate_series(series: Series) -> NoiseEstimate:
    """The noise of a series in its own unit, from some of its planes."""
    channels = series.channels
    frames = len(series) // channels
    count = min(frames, MAX_PLANES)
    if series.frame_time_ms is None:
        picked = np.linspace(0, frames - 1, count).astype(int) * channels
    else:
        # Frames that follow each other: their differences show the noise.
        picked = (np.arange(count) + (frames - count) // 2) * channels
    valid = np.concatenate([series.valid(n, n + 1) for n in picked])
    return estimate_noise(
        fill_holes(np.concatenate([series.values(n, n + 1) for n in picked]), valid),
        modality=series.modality,
        valid=valid,
        frame_time_ms=series.frame_time_ms,
    )

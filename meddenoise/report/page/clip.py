"""Frames of a cine that follow each other, for the page to play."""

from typing import Any

import numpy as np

from meddenoise.report.page.pictures import Fineness, picture
from meddenoise.report.page.shown import Shown, name_plane, planes_of

LARGEST = 512
"""Side, in pixels, beyond which frames are played smaller."""
MOST_PIXELS, MOST_FRAMES = 6 << 20, 64
"""Of all frames that are played, before as after: some megabytes of the page."""
BRIEF_LARGEST, BRIEF_FRAMES = 192, 24
"""Side and number of the frames where the page is shared by many series: some hundred kilobytes."""
FEWEST = 3
UNKNOWN_MS = 1000 / 15
"""Time between frames of files that state none."""
COARSER = 4
"""Steps of the pictures in one of the frames that are played: a quarter of the noise is fine enough."""


def draw_clip(shown: Shown, fineness: Fineness) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Data and pictures with which page.js plays the first frames of a cine; None for all else."""
    after = shown.after
    if not after.is_cine or not shown.is_compared or shown.before is None:
        return None, []
    largest, most = (BRIEF_LARGEST, BRIEF_FRAMES) if shown.brief else (LARGEST, MOST_FRAMES)
    height, width = after.pixels.shape[1:]
    factor = -(-max(height, width) // largest)
    pixels = max(1, (height // factor) * (width // factor))
    count = min(shown.frames, most, MOST_PIXELS // pixels)
    if count < FEWEST:
        return None, []
    pictures = []
    for index in range(count):
        planes = planes_of(shown, index)
        drawn = picture(planes, fineness, largest=largest, coarser=COARSER)
        pictures.append(drawn | {"label": name_plane(after, index), "index": index, "clip": True})
    ms = float(np.clip(after.frame_time_ms or UNKNOWN_MS, 20, 2000))
    return {"ms": round(ms, 2), "count": count, "frames": shown.frames}, pictures

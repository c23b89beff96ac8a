"""Training images with exact truth that are drawn, not read: phantoms and random scenes."""

from collections.abc import Iterator

import numpy as np

from meddenoise.noise import NoiseEstimate
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.training.data import SCENES, TrainingImage
from meddenoise.training.recipe import DataRow

FIRST_SEED, HELD_OUT_SEED = 1000, 500
"""Phantoms are trained on from the one seed on, validated on from the other; benchmarks take 9000 on."""
SIZE, PLANES = 256, 4
VOLUMES = "ct", "mr"
"""Phantoms whose planes are neighbouring slices."""
EXACT = NoiseEstimate(0.0)
LARGEST = 4096


def draw_phantoms(row: DataRow, held_out: bool = False) -> Iterator[TrainingImage]:
    """The planes of `row.seeds` phantoms, or of one held-out phantom, scaled to 0..255.

    One place holder stands for the "scenes", none is held out; nothing for rows of images.
    Raises UsageError for an unknown phantom.
    """
    if not row.phantom:
        return
    if row.phantom == "scenes":
        if held_out:
            return
        nothing = np.broadcast_to(np.float32(0), (LARGEST, LARGEST))
        yield TrainingImage(nothing, row.modality or "*", SCENES, SCENES, EXACT)
        return
    first, count = (HELD_OUT_SEED, 1) if held_out else (FIRST_SEED, row.seeds)
    for seed in range(first, first + count):
        phantom = make_phantom(row.phantom, size=SIZE, planes=PLANES, seed=seed)
        low, width = row.low, row.range or float(np.percentile(phantom.truth, 99.9)) - row.low
        modality = row.modality or PHANTOMS[row.phantom].modality
        volume = (phantom.truth - np.float32(low)) * np.float32(255 / width)
        solid = row.phantom in VOLUMES
        for index, plane in enumerate(volume):
            run = volume[index - 1 : index + 2] if solid and 0 < index < PLANES - 1 else None
            yield TrainingImage(plane, modality, row.source, f"{row.source}/{seed}", EXACT, run=run)

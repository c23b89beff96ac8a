"""The bundled weights of `upscale` and `inpaint`, on phantoms whose truth is known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic
from torch.nn.functional import interpolate

from meddenoise import Options
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.pipeline.restore import prepare_restoring
from meddenoise.series import Series
from meddenoise.weights.manifest import published

KINDS = ("ct", "mr", "xray", "fluoro")
MOST_OF_SMOOTH = {"ct": 0.85, "mr": 0.92, "xray": 0.95, "fluoro": 1.3}
"""Error in a filled hole over that of a biharmonic membrane: a little over what was measured when the weights
were bundled. The smooth fluoroscopy phantom is what a membrane is right for."""
Values = NDArray[np.float32]


@cache
def clean(kind: str) -> Series:
    """A phantom plane of 256 x 256 pixels without noise."""
    phantom = make_phantom(kind, size=256, planes=1, seed=3)
    return holding(to_series(phantom, phantom.truth, "clean"), phantom.truth)


def holding(series: Series, values: Values) -> Series:
    """The series with other values, as float pixels that hold anything."""
    limit = float(np.finfo(np.float32).max)
    return replace(
        series,
        pixels=values.astype(np.float32),
        stored_range=(-limit, limit),
        slope=np.ones(1),
        intercept=np.zeros(1),
    )


def rms(difference: Values) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def averaged(values: Values, factor: int) -> Values:
    size = values.shape[-1] // factor
    made: Values = values.reshape(-1, size, factor, size, factor).mean(axis=(2, 4))
    return made


def upscaled(series: Series, factor: int) -> Values:
    options = Options(task="upscale", factor=factor, device="cpu", precision="fp32")
    return prepare_restoring(series, options, None).run().series.values(0, 1)


def coarse(kind: str, factor: int) -> Series:
    """The phantom on a grid `factor` times as coarse."""
    fine = clean(kind)
    planes, rows, columns = fine.geometry.spacing_mm
    geometry = replace(fine.geometry, spacing_mm=(planes, factor * rows, factor * columns))
    return holding(replace(fine, geometry=geometry), averaged(fine.values(0, 1), factor))


def test_all_three_tasks_of_medcdiff_are_bundled_for_every_modality() -> None:
    for task in ("medcdiff", "medcdiff-upscale", "medcdiff-inpaint"):
        assert {"CT", "MR", "DX", "XA", "other"} <= set(published()[task].modality)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [2, 4])
def test_upscaling_comes_nearer_to_the_truth_than_bicubic_interpolation(kind: str, factor: int) -> None:
    source, truth = coarse(kind, factor), clean(kind).values(0, 1)
    image = torch.from_numpy(source.values(0, 1))[:, None]
    bicubic = interpolate(image, size=truth.shape[1:], mode="bicubic", align_corners=False)[:, 0].numpy()
    made = upscaled(source, factor)
    assert rms(made - truth) < 0.95 * rms(bicubic - truth)
    assert rms(averaged(made, factor) - source.values(0, 1)) < 0.5 * rms(bicubic - truth)


@pytest.mark.parametrize("level", [-1000.0, 0.0, 900.0])
def test_even_fields_stay_even(level: float) -> None:
    even = holding(clean("ct"), np.full((1, 64, 64), level, np.float32))
    assert np.abs(upscaled(even, 3) - level).max() < 10, "HU"
    hole = np.zeros((1, 64, 64), bool)
    hole[:, 20:40, 24:36] = True
    filled = (
        prepare_restoring(even, Options(task="inpaint", device="cpu", precision="fp32"), hole).run().series
    )
    assert np.abs(filled.values(0, 1) - level).max() < 40, "HU"


@pytest.mark.parametrize("kind", KINDS)
def test_a_filled_hole_is_about_as_near_to_the_truth_as_a_membrane_or_nearer(kind: str) -> None:
    series = clean(kind)
    truth, hole = series.values(0, 1), np.zeros((1, 256, 256), bool)
    for y, x in ((60, 60), (60, 150), (150, 60), (150, 150)):
        hole[:, y : y + 28, x : x + 28] = True
    options = Options(task="inpaint", device="cpu", precision="fp32")
    made = prepare_restoring(series, options, hole).run().series.values(0, 1)
    assert np.array_equal(made[~hole], truth[~hole])
    smooth = inpaint_biharmonic(truth[0], hole[0])
    assert rms(made[hole] - truth[hole]) < MOST_OF_SMOOTH[kind] * rms(smooth[hole[0]] - truth[hole])

"""The noise of files that state no modality."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.engine.level import estimate_series
from meddenoise.errors import UnsupportedError
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.series import Series


def unnamed(kind: str, sigma: float = 0.0, rician: bool = False) -> Series:
    phantom = make_phantom(kind, size=192, planes=1)
    rng = np.random.default_rng(0)
    noisy = phantom.truth + sigma * rng.standard_normal(phantom.truth.shape)
    if rician:
        noisy = np.hypot(noisy, sigma * rng.standard_normal(phantom.truth.shape))
    return replace(to_series(phantom, noisy.astype(np.float32), "noisy"), modality="")


def test_rician_noise_is_found_where_no_modality_is_stated() -> None:
    estimate = estimate_series(unnamed("mr", 80, rician=True))
    assert estimate.middle.model == "rician"
    assert estimate.sigma == pytest.approx(80, rel=0.1)


def test_colours_have_noise_of_their_own() -> None:
    rng = np.random.default_rng(0)
    sigma = np.tile([4.0, 8.0, 16.0], 3)
    values = 100 + sigma[:, None, None] * rng.standard_normal((9, 128, 128))
    colour = replace(unnamed("mr"), pixels=values.astype(np.float32), channels=3, slope=np.ones(9))
    colour = replace(colour, intercept=np.zeros(9), modality="XA", stored_range=(-1e9, 1e9))
    assert [p.sigma for p in estimate_series(colour).planes] == pytest.approx(sigma.tolist(), rel=0.1)


def test_stated_exposure_helps_only_where_it_fits_the_planes() -> None:
    planes = 20 * np.random.default_rng(0).standard_normal((4, 96, 96))
    series = replace(
        unnamed("ct"),
        pixels=planes.astype(np.float32),
        slope=np.ones(4),
        intercept=np.zeros(4),
        modality="CT",
    )
    plain = estimate_series(series)
    assert estimate_series(replace(series, exposures=(100.0,) * 3)) == plain
    assert estimate_series(replace(series, exposures=(100.0, 0.0, 100.0, 100.0))) == plain
    told = estimate_series(replace(series, exposures=(100.0, 400.0, 50.0, 100.0)))
    assert [p.sigma for p in told.planes] == pytest.approx([20.0] * 4, rel=0.1)


def test_values_beyond_single_precision_are_named() -> None:
    series = unnamed("mr")
    huge = replace(series, pixels=np.full((1, 64, 64), 1e20))
    with pytest.raises(UnsupportedError, match="rescale it"):
        estimate_series(huge)

"""The noise estimator on synthetic anatomy with known noise."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.estimate import estimate_noise, sigma_map

Plane = NDArray[np.float32]


def anatomy(size: int = 256, seed: int = 0) -> Plane:
    """Ellipses of different brightness with soft edges and smooth shading, 0 to about 1000, air around."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size * 2 - 1
    image = np.where(x**2 + (1.2 * y) ** 2 < 0.7, 500.0, 0.0)
    for _ in range(12):
        cy, cx, ry, rx = *rng.uniform(-0.45, 0.45, 2), *rng.uniform(0.05, 0.25, 2)
        image += np.where(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1, rng.uniform(-200, 250), 0)
    image = gaussian_filter(image, 1.0) * (1 + 0.1 * x)
    return image.astype(np.float32)[None]


def white(shape: tuple[int, ...], seed: int = 1) -> Plane:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("sigma", [10.0, 40.0, 150.0])
def test_white_noise_level_is_within_ten_percent(sigma: float) -> None:
    planes = anatomy()
    estimate = estimate_noise(planes + sigma * white(planes.shape))
    assert estimate.sigma == pytest.approx(sigma, rel=0.1)
    assert estimate.bands == pytest.approx((1, 1, 1, 1), rel=0.2)
    assert estimate.variance is None


@pytest.mark.parametrize("width", [0.5, 0.8, 1.2])
def test_correlated_noise_level_and_bands_are_within_twenty_percent(width: float) -> None:
    planes = anatomy()
    noise = gaussian_filter(white(planes.shape)[0], width, mode="wrap")[None]
    noise *= 60 / noise.std()
    estimate = estimate_noise(planes + noise)
    assert estimate.sigma == pytest.approx(60, rel=0.2)
    assert estimate.bands[0] > 1.2 > 0.5 > estimate.bands[3] or width == 0.5


def test_constant_image_has_no_noise() -> None:
    assert estimate_noise(np.full((1, 64, 64), 7.0, np.float32)) == NoiseEstimate(0.0)


def test_sigma_map_has_the_estimated_level() -> None:
    planes = anatomy() + 30 * white((1, 256, 256))
    estimate = estimate_noise(planes)
    local = sigma_map(estimate, planes[0])
    assert local.shape == (256, 256) and local.dtype == np.float32
    assert np.sqrt(np.mean(local**2)) == pytest.approx(estimate.sigma, rel=1e-4)

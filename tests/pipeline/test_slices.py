"""Volumes: a slice with its neighbours where these help, by itself where they do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from meddenoise.noise.models import GaussianNoise
from meddenoise.noise.simulate import simulate
from meddenoise.pipeline.denoise import denoise_series, prepare_denoising
from meddenoise.pipeline.options import Options
from meddenoise.series import Geometry
from tests.page_samples import series

SLICES, SIGMA = 7, 20.0
Y, X = np.indices((128, 128))
TRUTH = np.stack(
    [300 * (np.hypot(Y - 64, X - 60 - n) < 50) + 40 * np.sin((X + n) / 19) for n in range(SLICES)]
).astype(np.float32)
"""A disc that moves by a pixel a slice, on a slow wave."""
CLOSE = Geometry(spacing_mm=(2.0, 1.0, 1.0))


def volume(shared=False):
    """Slices with white noise of their own, or with noise that they share."""
    noisy, _ = simulate(TRUTH, [GaussianNoise(SIGMA)], np.random.default_rng(0))
    if shared:
        noise = gaussian_filter1d(noisy - TRUTH, 1.0, axis=0)
        noisy = TRUTH + noise * np.float32(SIGMA / noise.std())
    return replace(series(noisy), geometry=CLOSE, modality="MR", unit="", frame_time_ms=None)


def prepared(noisy, **options):
    plan = prepare_denoising(noisy, Options(sigma=SIGMA, **options))
    return plan.choice.weights, plan.noise.neighbours


def rmse(result):
    return float(np.sqrt(np.mean((result - TRUTH[1:-1]) ** 2)))


@pytest.mark.slow
def test_a_volume_comes_as_near_to_the_truth_as_its_slices_or_nearer():
    noisy = volume()
    whole = denoise_series(noisy, Options(sigma=SIGMA)).series.values(1, SLICES - 1)
    single = np.concatenate(
        [
            denoise_series(only(noisy, n), Options(sigma=SIGMA)).series.values(0, 1)
            for n in range(1, SLICES - 1)
        ]
    )
    assert rmse(whole) < 1.01 * rmse(single)


def only(noisy, n):
    return replace(noisy, pixels=noisy.pixels[n : n + 1], slope=np.ones(1), intercept=np.zeros(1))


def test_slices_with_noise_of_their_own_get_their_neighbours():
    assert prepared(volume()) == ("direct", True)
    assert prepared(volume(), method="direct", quality="best") == ("direct", True)


def test_everything_else_is_denoised_slice_by_slice():
    noisy = volume()
    far = replace(noisy, geometry=Geometry(spacing_mm=(9.0, 1.0, 1.0)))
    unknown = replace(noisy, geometry=Geometry(known=False))
    for one in (volume(shared=True), far, unknown, only(noisy, 0)):
        assert prepared(one) == ("direct", False)
    assert prepared(noisy, quality="fast") == ("direct-fast", None)  # it takes single planes


def test_a_single_slice_comes_without_a_warning():
    assert denoise_series(only(volume(), 0), Options(sigma=SIGMA)).warnings == ()

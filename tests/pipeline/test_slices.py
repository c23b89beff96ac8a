"""Volumes: a slice with its neighbours where these help, by itself where they do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from meddenoise.noise.models import GaussianNoise
from meddenoise.noise.simulate import simulate
from meddenoise.phantom import make_phantom
from meddenoise.pipeline.denoise import denoise_series, prepare_denoising
from meddenoise.pipeline.options import Options
from meddenoise.series import Geometry
from tests.page_samples import series

SLICES, SIGMA = 7, 60.0
TRUTH = make_phantom("mr", size=128, planes=SLICES, seed=9000).truth.astype(np.float32)
CLOSE = Geometry(spacing_mm=(2.0, 1.0, 1.0))


def volume(shared=False):
    """Slices of a head with white noise of their own, or with noise that they share."""
    noisy, _ = simulate(TRUTH, [GaussianNoise(SIGMA)], np.random.default_rng(0))
    if shared:
        noise = gaussian_filter1d(noisy - TRUTH, 1.0, axis=0)
        noisy = TRUTH + noise * np.float32(SIGMA / noise.std())
    return replace(series(noisy), geometry=CLOSE, modality="MR", unit="", frame_time_ms=None)


def weights(noisy, **options):
    return prepare_denoising(noisy, Options(sigma=SIGMA, **options)).choice.weights


def rmse(result):
    return float(np.sqrt(np.mean((result - TRUTH[1:-1]) ** 2)))


@pytest.mark.slow
def test_neighbours_bring_a_slice_nearer_to_the_truth():
    noisy = volume()
    both = [
        denoise_series(noisy, Options(sigma=SIGMA, **options)).series.values(1, SLICES - 1)
        for options in ({}, {"weights": "direct"})
    ]
    assert rmse(both[0]) < 0.97 * rmse(both[1])


def test_volumes_whose_slices_have_noise_of_their_own_get_the_network_of_slices():
    assert weights(volume()) == "direct-volume"
    assert weights(volume(), method="direct", quality="best") == "direct-volume"


def test_everything_else_is_denoised_slice_by_slice():
    noisy = volume()
    assert weights(volume(shared=True)) == "direct"
    assert weights(noisy, weights="direct") == "direct"
    assert weights(noisy, quality="fast") == "direct-fast"
    far = replace(noisy, geometry=Geometry(spacing_mm=(9.0, 1.0, 1.0)))
    unknown = replace(noisy, geometry=Geometry(known=False))
    first = replace(noisy, pixels=noisy.pixels[:1], slope=np.ones(1), intercept=np.zeros(1))
    assert [weights(one) for one in (far, unknown, first)] == ["direct"] * 3


def test_the_network_of_slices_asked_for_takes_a_single_slice_and_says_so():
    noisy = volume()
    first = replace(noisy, pixels=noisy.pixels[:1], slope=np.ones(1), intercept=np.zeros(1))
    result = denoise_series(first, Options(sigma=SIGMA, weights="direct-volume"))
    assert any("no neighbouring slices" in text for text in result.warnings)

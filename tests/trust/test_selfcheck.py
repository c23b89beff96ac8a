"""Checks of a method without a reference: measured through the engine, on a crop, as it is written."""

import numpy as np
import pytest
import torch

from meddenoise.engine import Engine, EngineOptions
from meddenoise.engine.device import Device
from meddenoise.engine.planes import MiddlePlane
from meddenoise.methods import Setup
from meddenoise.metrics import METRICS
from meddenoise.metrics.measure import measurable
from meddenoise.noise import WHITE, NoiseEstimate
from meddenoise.trust.selfcheck import CROP, MEASURES, SIGN_PROBES, SPECTRAL_PROBES, check_method
from tests.drawing import Draws, neighbours

SIGMA = 15.0
CPU = Device(torch.device("cpu"), "fp32", "test")


class Method:
    """A method made of one denoiser, and what it was asked for."""

    name, uses_weights, tile = "test", False, None

    def __init__(self, denoiser):
        self.denoiser = denoiser

    def load(self, setup):
        return self.denoiser


class OnePass:
    """A denoiser made of one function; it keeps the shapes it was asked for."""

    def __init__(self, function, context=0):
        self.function, self.context, self.shapes = function, context, []

    def __call__(self, noisy, sigma):
        self.shapes.append(tuple(noisy.shape))
        return self.function(noisy)


def run(denoiser, sample, noise=None, strength=1.0, **options):
    engine = Engine(Method(denoiser), Setup(), EngineOptions(CPU, **options))
    return check_method(engine, sample, noise or NoiseEstimate(SIGMA), strength)


def scene(size=(96, 80), channels=1):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.broadcast_to(100 + 40 * np.sin(x / 21) * np.cos(y / 17), (channels, *size)).astype(np.float32)


def sample(size=(96, 80), channels=1, seed=0):
    noise = np.random.default_rng(seed).normal(0, SIGMA, (1, channels, *size)).astype(np.float32)
    shape = (1, *size)
    noisy, level = scene(size, channels) + noise, np.full(shape, SIGMA, np.float32)
    return MiddlePlane(noisy, level, np.ones(shape, bool), 3)


def test_every_measure_has_a_name_of_its_own_next_to_the_metrics_of_a_reference():
    assert set(MEASURES) == {name for name, row in METRICS.items() if row.needs == "method"}
    assert not set(MEASURES) & set(measurable("reference", "noisy", "result"))


def test_a_blind_filter_is_told_from_one_that_returns_its_input():
    blind = run(OnePass(neighbours), sample())
    assert tuple(blind.values) == MEASURES
    assert blind.warnings == ()
    assert blind.values["leak"] == pytest.approx(0, abs=0.02)
    # input minus the mean of eight others
    assert blind.values["residual_std_ratio"] == pytest.approx(np.sqrt(1 + 1 / 8), rel=0.03)
    assert abs(blind.values["residual_gradient_correlation"]) < 0.1
    assert blind.values["sure"] == pytest.approx(SIGMA**2 / 8, rel=0.35)
    kept = run(OnePass(lambda noisy: noisy), sample())
    assert kept.values["leak"] == pytest.approx(1, abs=1e-3)
    assert kept.values["residual_std_ratio"] == 0
    assert kept.values["residual_spectrum_distance"] == pytest.approx(1)
    assert kept.values["residual_gradient_correlation"] is None
    assert kept.warnings == (
        "residual_gradient_correlation has no value: what was removed, or the result itself, is constant.",
    )
    assert kept.values["sure"] == pytest.approx(SIGMA**2, rel=0.01)


def test_sure_is_near_the_error_against_the_truth():
    estimated, true = [], []
    for seed in range(8):
        given = sample(seed=seed)
        estimated.append(run(OnePass(neighbours), given).values["sure"])
        clean = neighbours(torch.from_numpy(given.noisy)).numpy()
        true.append(np.square(clean - scene()).mean())
    assert np.mean(estimated) == pytest.approx(np.mean(true), rel=0.15)


def test_strength_is_part_of_what_is_measured():
    half = run(OnePass(neighbours), sample(), strength=0.5)
    assert half.values["leak"] == pytest.approx(0.5, abs=0.02)
    assert half.values["residual_std_ratio"] == pytest.approx(np.sqrt(1 + 1 / 8) / 2, rel=0.03)


def test_it_costs_a_few_passes_over_the_middle_of_a_large_plane():
    denoiser = OnePass(neighbours)
    large = sample((400, 300))
    large.valid[:, 300:] = False
    measured = run(denoiser, large)
    assert denoiser.shapes == [(1, 1, CROP, CROP)] * (1 + SIGN_PROBES + SPECTRAL_PROBES)
    y, x = (400 - CROP) // 2, (300 - CROP) // 2
    middle = (slice(None), slice(y, y + CROP), slice(x, x + CROP))
    noisy = large.noisy[:, :, *middle[1:]].copy()
    cut = MiddlePlane(noisy, large.sigma[middle], large.valid[middle], large.index)
    assert run(OnePass(neighbours), cut) == measured


def test_tiles_of_the_engine_are_used_and_only_the_middle_of_the_context_is_perturbed():
    denoiser = OnePass(lambda noisy: noisy[:, :1] + noisy[:, 1:2] / 4 + noisy[:, 2:], context=1)
    measured = run(denoiser, sample(channels=3), tile=64, overlap=16)
    assert {shape[1:] for shape in denoiser.shapes} == {(3, 64, 64)}
    assert measured.values["leak"] == pytest.approx(0.25, abs=1e-3)


def test_a_sampler_draws_the_same_noise_in_every_pass():
    measured = run(Draws(), sample(), seed=11)
    assert measured.values["leak"] == pytest.approx(0, abs=0.02)
    assert measured == run(Draws(), sample(), seed=11)


def test_holes_are_left_out():
    given = sample()
    given.valid[:, :40], given.noisy[..., :40, :] = False, 5000
    measured = run(OnePass(lambda noisy: torch.where(noisy > 2000, 9 * noisy, noisy / 2)), given)
    assert measured.values["leak"] == pytest.approx(0.5, abs=1e-3)
    assert measured.values["residual_std_ratio"] < 3


def test_noise_that_is_not_gaussian_or_not_there_has_nulls_and_says_why():
    rician = run(OnePass(neighbours), sample(), NoiseEstimate(SIGMA, WHITE, model="rician"))
    assert rician.values["sure"] is None
    assert rician.warnings == ("sure has no value: the noise is rician, not Gaussian.",)
    given = sample()
    given.valid[:] = False
    nothing = run(OnePass(neighbours), given)
    assert set(nothing.values.values()) == {None}
    assert len(nothing.warnings) == len(MEASURES)


def test_a_plane_of_a_few_pixels_survives():
    measured = run(OnePass(neighbours), sample((5, 1)))
    assert measured.values["leak"] is not None
    assert measured.values["residual_spectrum_distance"] is None

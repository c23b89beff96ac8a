"""Residuals whose measures are known: noise, nothing, edges, other spectra; the risk against the truth."""

import numpy as np
import pytest
import torch

from meddenoise.metrics import UndefinedError
from meddenoise.metrics.leak import as_map, kept_share, leak, spectral_steps
from meddenoise.metrics.residual import gradient_correlation, nps_distance, std_ratio, sure
from meddenoise.noise import WHITE
from meddenoise.noise.spectrum import coloured_noise

SIDE = 192
SIGMA = np.full((SIDE, SIDE), 20.0, np.float32)
ALL = np.ones((SIDE, SIDE), bool)
COLOURED = (1.6, 1.1, 0.6, 0.2)
Y, X = np.mgrid[:SIDE, :SIDE]
DISCS = np.where(np.hypot(X - 96, Y - 96) < 60, 300.0, 0.0) + np.where(
    np.hypot(X - 70, Y - 80) < 20, 200.0, 0
)


def noise(bands=WHITE, seed=0, side=SIDE):
    amplitude = np.array(bands, np.float32)
    rng = np.random.default_rng(seed)
    return coloured_noise((side, side), lambda f: amplitude[np.digitize(f, (0.125, 0.25, 0.375))], rng)


def test_the_ratio_is_1_for_the_noise_itself_whatever_its_map():
    sigma = (5 + X / 8).astype(np.float32)
    assert std_ratio(noise() * sigma, sigma, ALL) == pytest.approx(1, abs=0.02)
    assert std_ratio(0.5 * noise() * sigma + 7 * sigma, sigma, ALL) == pytest.approx(0.5, abs=0.01)
    assert std_ratio(np.zeros_like(sigma), sigma, ALL) == 0


def test_the_ratio_leaves_out_holes_and_places_without_noise():
    sigma, residual = SIGMA.copy(), noise() * SIGMA
    sigma[:50], residual[:50] = 0, 1e6
    valid = ALL.copy()
    valid[:, :50], residual[:, :50] = False, np.nan
    assert std_ratio(residual, sigma, valid) == pytest.approx(1, abs=0.02)
    with pytest.raises(UndefinedError, match="no valid pixel has noise"):
        std_ratio(residual, sigma, ~valid & (sigma == 0))


def test_noise_alone_does_not_correlate_with_edges_and_lost_edges_do():
    removed = noise() * SIGMA
    assert abs(gradient_correlation(DISCS, DISCS + removed, ALL)) < 0.05
    blurred = torch.nn.functional.avg_pool2d(torch.from_numpy(DISCS)[None], 9, 1, 4)[0].numpy()
    assert gradient_correlation(blurred, DISCS + 0.2 * removed, ALL) > 0.6
    with pytest.raises(UndefinedError, match="constant"):
        gradient_correlation(DISCS, DISCS, ALL)


@pytest.mark.parametrize("bands", [WHITE, COLOURED])
def test_the_distance_is_0_for_the_noise_1_for_nothing_3_for_twice_the_noise(bands):
    removed = noise(bands) * SIGMA
    assert nps_distance(removed, SIGMA, bands, ALL) < 0.05
    assert nps_distance(0 * removed, SIGMA, bands, ALL) == pytest.approx(1)
    assert nps_distance(2 * removed, SIGMA, bands, ALL) == pytest.approx(3, abs=0.15)


def test_the_distance_between_known_spectra_is_their_l1_distance():
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    power = np.square(np.array(COLOURED))[np.digitize(f, (0.125, 0.25, 0.375))]
    expected = np.abs(power / power.mean() - 1).mean()
    assert expected > 0.5
    assert nps_distance(noise(COLOURED) * SIGMA, SIGMA, WHITE, ALL) == pytest.approx(expected, abs=0.06)


def test_the_distance_follows_a_map_of_the_noise_and_leaves_out_holes():
    sigma = (5 + np.hypot(X - 96, Y - 96) / 4).astype(np.float32)
    removed, valid = noise(COLOURED) * sigma, ALL.copy()
    valid[40:90, 100:], removed[40:90, 100:] = False, 1e4
    assert nps_distance(removed, sigma, COLOURED, valid) < 0.12


def test_the_distance_needs_pixels_enough():
    with pytest.raises(UndefinedError, match="fewer than 32 pixels a side"):
        nps_distance(np.ones((40, 20)), np.ones((40, 20)), WHITE, np.ones((40, 20), bool))
    with pytest.raises(UndefinedError):
        nps_distance(np.ones((40, 40)), np.zeros((40, 40)), WHITE, np.ones((40, 40), bool))


def smooth(noisy, sigma):
    """A blur, heavy or light by the local level: linear, so that its risk can be estimated exactly."""
    return torch.nn.functional.avg_pool2d(noisy, 3, 1, 1, count_include_pad=False)


@pytest.mark.parametrize("bands", [WHITE, COLOURED])
def test_the_risk_comes_near_the_true_error_without_the_truth(bands):
    sigma = (8 + 16 * X / SIDE).astype(np.float32)
    estimates, errors = [], []
    for seed in range(6):
        noisy = torch.from_numpy((DISCS + noise(bands, seed) * sigma).astype(np.float32))[None, None]
        level = torch.from_numpy(sigma)[None, None]
        clean = smooth(noisy, level)
        steps = spectral_steps(level, bands, seed, 4)
        kept = kept_share(smooth, noisy, level, clean, steps)
        estimates.append(sure((noisy - clean)[0, 0].numpy(), sigma, ALL, kept))
        errors.append(float((clean[0, 0] - torch.from_numpy(DISCS)).square().mean()))
    assert np.mean(estimates) == pytest.approx(np.mean(errors), rel=0.05)


def test_the_risk_of_white_noise_takes_the_leak():
    noisy = torch.from_numpy((DISCS + noise() * SIGMA).astype(np.float32))[None, None]
    level = torch.tensor([20.0])
    clean = smooth(noisy, as_map(level, noisy))
    residual = (noisy - clean)[0, 0].numpy()
    estimate = sure(residual, SIGMA, ALL, leak(smooth, noisy, level))
    error = float((clean[0, 0] - torch.from_numpy(DISCS)).square().mean())
    assert estimate == pytest.approx(error, rel=0.1)


def test_doing_nothing_costs_the_noise_power_and_the_mask_counts():
    valid = ALL.copy()
    valid[:90] = False
    sigma = np.where(valid, SIGMA, 1e3).astype(np.float32)
    assert sure(np.zeros_like(sigma), sigma, valid, 1.0) == pytest.approx(400)
    with pytest.raises(UndefinedError, match="no pixel is valid"):
        sure(sigma, sigma, ~ALL, 0.0)

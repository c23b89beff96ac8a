"""The leak of exact linear filters, whose Jacobian is known; maps, masks, correlated noise."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pad

from meddenoise.metrics import UndefinedError
from meddenoise.metrics.leak import as_map, kept_share, leak, sign_steps, spectral_steps
from meddenoise.noise import WHITE
from meddenoise.noise.spectrum import coloured_noise
from tests.drawing import RING, Draws, neighbours

SIGMA = torch.tensor([12.0])
COLOURED = (1.6, 1.1, 0.6, 0.2)


def image(*shape):
    return 100 + 30 * torch.randn(shape or (1, 1, 96, 96), generator=torch.Generator().manual_seed(4))


def wiener(gain):
    """The linear filter of one real gain [H, W] for every frequency: each diagonal element is its mean."""
    return lambda noisy, sigma: torch.fft.ifft2(torch.fft.fft2(noisy) * gain).real


def falling_gain(side=96):
    f = torch.fft.fftfreq(side)
    power = 1 / (1e-3 + f[:, None] ** 2 + f[None, :] ** 2) ** 1.5
    return power / (power + 200)


def test_the_identity_leaks_all_and_a_constant_nothing():
    assert leak(lambda noisy, sigma: noisy, image(), SIGMA) == pytest.approx(1, abs=1e-5)
    assert leak(lambda noisy, sigma: torch.zeros_like(noisy), image(), SIGMA) == 0


def test_a_mixture_with_the_input_leaks_its_weight():
    def mixed(noisy, sigma):
        return 0.3 * noisy + 0.7 * neighbours(noisy)

    assert leak(mixed, image(), SIGMA) == pytest.approx(0.3, abs=0.01)


def test_a_blind_spot_leaks_nothing_but_for_the_noise_of_the_measure():
    values = [leak(neighbours, image(), SIGMA, seed) for seed in range(8)]
    assert abs(np.mean(values)) < 0.004
    assert np.std(values) < 0.008


def test_a_wiener_filter_leaks_its_mean_gain():
    gain = falling_gain()
    assert 0.05 < gain.mean() < 0.95
    assert leak(wiener(gain), image(), SIGMA) == pytest.approx(float(gain.mean()), abs=0.01)


def test_the_level_does_not_matter_to_a_linear_filter_and_many_probes_agree_better():
    gain = falling_gain()
    errors = {}
    for probes in (1, 16):
        values = [leak(wiener(gain), image(), SIGMA, seed, probes=probes) for seed in range(12)]
        errors[probes] = np.sqrt(np.mean(np.square(np.array(values) - float(gain.mean()))))
    assert errors[16] < errors[1] / 2
    low, high = (leak(wiener(gain), image().double(), level * SIGMA) for level in (0.01, 100))
    assert low == pytest.approx(high, rel=1e-4)


def test_pixels_of_a_map_count_by_their_noise_power():
    sigma = torch.full((1, 1, 96, 96), 10.0)
    sigma[..., 48:] = 20.0

    def left_only(noisy, sigma):
        return torch.where(sigma < 15, noisy, neighbours(noisy))

    # 100 of 100 + 400
    assert leak(left_only, image(), sigma) == pytest.approx(0.2, abs=0.01)
    sigma[..., 48:] = 0.0
    assert leak(left_only, image(), sigma) == pytest.approx(1.0, abs=1e-5)


def test_only_valid_pixels_are_perturbed_and_counted():
    valid = torch.zeros(1, 1, 96, 96, dtype=torch.bool)
    valid[..., 20:70, 30:90] = True
    noisy, seen = image(), []

    def half_inside(noisy, sigma):
        seen.append(noisy)
        return torch.where(valid, 0.5 * noisy, 2 * noisy)

    assert leak(half_inside, noisy, SIGMA, valid=valid) == pytest.approx(0.5, abs=1e-4)
    assert len(seen) == 5
    for perturbed in seen:
        assert torch.equal(perturbed[~valid], noisy[~valid])
    assert (seen[1] - noisy)[valid].abs().allclose(0.1 * SIGMA, atol=1e-3)


def test_it_is_the_covariance_of_the_result_with_the_noise():
    """Against its definition on white noise: mean((clean - truth) noise) / sigma², many draws."""
    truth, gain = image(), falling_gain()
    rng = torch.Generator().manual_seed(1)
    noise = 12 * torch.randn(64, 1, 96, 96, generator=rng)
    clean = wiener(gain)(truth + noise, SIGMA)
    measured = float(((clean - truth) * noise).mean() / noise.square().mean())
    assert leak(wiener(gain), truth + noise[:1], SIGMA) == pytest.approx(measured, abs=0.01)


def test_steps_with_the_spectrum_of_the_noise_tell_what_neighbours_bring_back():
    """A blind spot of one pixel against correlated noise: leak 0, yet much of the noise is kept."""
    rng = np.random.default_rng(5)
    bands = np.array(COLOURED, np.float32)
    noise = coloured_noise((64, 1, 96, 96), lambda f: bands[np.digitize(f, (0.125, 0.25, 0.375))], rng)
    noise = torch.from_numpy(noise)
    expected = float((neighbours(noise) * noise).mean() / noise.square().mean())
    assert expected > 0.4
    noisy, sigma = image(), as_map(SIGMA, image())
    steps = spectral_steps(sigma, COLOURED, 3, 4)
    assert kept_share(neighbours, noisy, sigma, neighbours(noisy), steps) == pytest.approx(expected, abs=0.03)
    assert abs(leak(neighbours, noisy, SIGMA)) < 0.02
    white = spectral_steps(sigma, WHITE, 3, 4)
    assert abs(kept_share(neighbours, noisy, sigma, neighbours(noisy), white)) < 0.02


def test_a_sampler_with_the_same_noise_is_told_from_its_draws():
    def sampled(noisy, sigma):
        return Draws().sample(noisy, sigma, [torch.Generator().manual_seed(9)]).clean

    assert abs(leak(sampled, image(), SIGMA)) < 0.02


def test_planes_of_a_batch_are_measured_together_each_with_its_level():
    def first_only(noisy, sigma):
        return noisy * torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)

    assert leak(first_only, image(2, 1, 48, 48), torch.tensor([10.0, 20.0])) == pytest.approx(0.2, abs=1e-4)


def test_signs_are_even_and_of_the_seed():
    amplitude = torch.full((1, 1, 64, 64), 5.0)
    first, second = sign_steps(amplitude, 7, 2)
    assert torch.equal(first.abs(), torch.full_like(first, 0.5))
    assert abs(float(first.mean())) < 0.02
    assert abs(float((first * second).mean())) < 0.02
    assert torch.equal(first, next(sign_steps(amplitude, 7, 1)))


def test_without_noise_there_is_no_leak_to_speak_of():
    with pytest.raises(UndefinedError, match="no valid pixel has noise"):
        leak(neighbours, image(), torch.zeros(1))
    nothing = torch.zeros(1, 1, 96, 96, dtype=torch.bool)
    with pytest.raises(UndefinedError):
        leak(neighbours, image(), SIGMA, valid=nothing)


def test_the_ring_of_the_test_filter_is_blind_at_the_border_too():
    noisy = image(1, 1, 8, 8).requires_grad_()
    for y, x in ((0, 0), (0, 4), (7, 7), (3, 3)):
        (gradient,) = torch.autograd.grad(neighbours(noisy)[0, 0, y, x], noisy)
        assert gradient[0, 0, y, x] == 0
    reflected = conv2d(pad(noisy, (1, 1, 1, 1), mode="replicate"), RING)
    (gradient,) = torch.autograd.grad(reflected[0, 0, 0, 0], noisy)
    assert gradient[0, 0, 0, 0] != 0

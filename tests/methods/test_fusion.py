"""Fusion of a blind estimate with the noisy image: exact in Gaussian fields, and what it does beside them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from meddenoise.methods.fusion import fuse, fusion_weight
from meddenoise.noise import WHITE
from meddenoise.noise.spectrum import coloured_noise, gaussian_amplitude
from meddenoise.phantom import make_phantom

UNKNOWN = (0.0, 0.0, 0.0, 0.0)
BLURRED = (3.465, 1.615, 0.341, 0.025)
"""Bands of white noise blurred with a Gaussian kernel of 1.2 pixels."""
INFINITE = float("inf")


def told(bands: tuple[float, ...], count: int = 1) -> Tensor:
    return torch.tensor(bands).expand(count, -1)


def level(planes: Tensor, sigma: float) -> Tensor:
    return torch.full_like(planes, sigma)


def noise_of(shape: tuple[int, ...], bands: tuple[float, ...], seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    if bands == BLURRED:
        return torch.from_numpy(coloured_noise(shape, gaussian_amplitude(1.2), rng))
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def ring_mean(planes: Tensor, rho: int) -> Tensor:
    """The mean of the pixels just around the blind box: a blind estimate of a plain kind."""
    reach = rho + 1
    kernel = torch.ones(1, 1, 2 * reach + 1, 2 * reach + 1)
    kernel[..., 1:-1, 1:-1] = 0
    padded = torch.nn.functional.pad(planes, (reach,) * 4, mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel / kernel.sum())


def error(result: Tensor, truth: Tensor) -> float:
    return float((result - truth).square().mean().sqrt())


class GaussianField:
    """A stationary Gaussian image in white noise, and its best linear blind estimate A = 1 - k / (S + N).

    k = 1 / mean(1 / (S + N)) keeps the own pixel out of A. Periodic, so everything is exact in frequency.
    """

    def __init__(self, size: int, sigma: float) -> None:
        f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size)] * 2))
        signal = (0.01 + f) ** -3.0
        signal /= signal.mean()
        total = signal + sigma**2
        self.blind = 1 - 1 / (total * np.mean(1 / total))
        self.wiener = signal / total
        rng = np.random.default_rng(0)
        self.truth = self.filter(rng.standard_normal((size, size)), np.sqrt(signal))
        self.noisy = self.truth + sigma * rng.standard_normal((size, size))

    @staticmethod
    def filter(plane: np.ndarray, transfer: np.ndarray) -> np.ndarray:
        return np.asarray(np.fft.ifft2(np.fft.fft2(plane) * transfer).real)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_the_best_linear_blind_estimate_fused_is_the_wiener_filter(sigma: float) -> None:
    field = GaussianField(512, sigma)
    noisy, mean = (
        torch.from_numpy(plane)[None, None] for plane in (field.noisy, field.filter(field.noisy, field.blind))
    )
    fused = fuse(noisy, mean, level(noisy, sigma), told(WHITE).double(), window=INFINITE)[0, 0].numpy()
    wiener = field.filter(field.noisy, field.wiener)
    best = np.sqrt(np.mean((wiener - field.truth) ** 2))
    assert np.sqrt(np.mean((fused - wiener) ** 2)) < 0.03 * best
    assert np.sqrt(np.mean((fused - field.truth) ** 2)) == pytest.approx(best, rel=1e-3)


def test_the_weight_told_is_the_leak_of_the_wiener_filter() -> None:
    field = GaussianField(512, 0.3)
    noisy, mean = (
        torch.from_numpy(plane)[None, None] for plane in (field.noisy, field.filter(field.noisy, field.blind))
    )
    weight = fusion_weight(noisy, mean, level(noisy, 0.3), told(WHITE))
    assert weight.shape == (1,)
    assert float(weight) == pytest.approx(field.wiener.mean(), abs=0.03)


@pytest.mark.parametrize("bands", [WHITE, UNKNOWN, BLURRED])
def test_a_mean_that_misses_nothing_is_kept(bands: tuple[float, ...]) -> None:
    truth = torch.from_numpy(make_phantom("ct", size=128, planes=1).truth)[None]
    noisy = truth + 30 * noise_of(tuple(truth.shape), bands)
    # Told a little more noise than there is: the power nowhere exceeds it.
    fused = fuse(noisy, truth, level(noisy, 60.0), told(bands))
    assert torch.equal(fused, truth)


@pytest.mark.parametrize("bands", [WHITE, BLURRED])
def test_chance_alone_brings_back_hardly_any_noise(bands: tuple[float, ...]) -> None:
    noisy = noise_of((4, 1, 128, 128), bands)
    fused = fuse(noisy, torch.zeros_like(noisy), level(noisy, 1.0), told(bands, 4))
    assert float(fused.std()) < 0.12


@pytest.mark.parametrize("bands", [WHITE, BLURRED])
def test_where_there_is_no_noise_the_result_is_the_noisy_image(bands: tuple[float, ...]) -> None:
    noisy, mean = noise_of((2, 1, 40, 50), bands), torch.zeros(2, 1, 40, 50)
    sigma = torch.ones_like(noisy)
    sigma[..., :20] = 0
    sigma[1] = 0
    fused = fuse(noisy, mean, sigma, told(bands, 2))
    assert torch.equal(fused[sigma == 0], noisy[sigma == 0])
    for nearly_none in (1e-4, 1e-25):
        nearly = fuse(noisy, mean, level(noisy, nearly_none), told(bands, 2))
        assert nearly.numpy() == pytest.approx(noisy.numpy(), abs=1e-4)


@pytest.mark.parametrize("name", ["ct", "mr", "xray"])
@pytest.mark.parametrize(("bands", "rho"), [(WHITE, 0), (BLURRED, 4)])
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_fusion_is_better_than_the_mean_and_than_the_noisy_image(
    name: str, bands: tuple[float, ...], rho: int, share: float
) -> None:
    truth = torch.from_numpy(make_phantom(name, size=128, planes=1).truth)[None]
    sigma = share * float(truth.max() - truth.min())
    noisy = truth + sigma * noise_of(tuple(truth.shape), bands)
    mean = ring_mean(noisy, rho)
    fused = fuse(noisy, mean, level(noisy, sigma), told(bands))
    assert error(fused, truth) < min(error(mean, truth), error(noisy, truth))


def test_correlated_noise_fused_as_such_is_better_than_as_white_noise() -> None:
    noise = noise_of((1, 1, 256, 256), BLURRED)
    # What a blind estimate misses is often finer than the noise.
    truth = 0.5 * noise_of((1, 1, 256, 256), WHITE, seed=1)
    mean = torch.zeros_like(truth)
    known, unknown = (fuse(truth + noise, mean, level(noise, 1.0), told(b)) for b in (BLURRED, UNKNOWN))
    assert error(known, truth) < 0.6 * error(unknown, truth)
    assert error(known, truth) < 0.6 * error(mean, truth)


def test_noise_that_follows_the_place_is_fused_by_its_map() -> None:
    truth = torch.from_numpy(make_phantom("ct", size=128, planes=1).truth)[None]
    sigma = torch.linspace(5, 100, 128).expand_as(truth).contiguous()
    noisy = truth + sigma * noise_of(tuple(truth.shape), WHITE)
    mean = ring_mean(noisy, 0)
    even = level(noisy, float(sigma.square().mean().sqrt()))
    fused, flat = (fuse(noisy, mean, s, told(WHITE)) for s in (sigma, even))
    assert error(fused, truth) < 0.95 * error(flat, truth)


@given(
    st.sampled_from([WHITE, UNKNOWN, BLURRED]),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
    st.integers(3, 40),
    st.integers(3, 40),
)
@settings(max_examples=40, deadline=None)
def test_offset_and_scale_of_the_image_pass_through(
    bands: tuple[float, ...], scale: float, offset: float, height: int, width: int
) -> None:
    noisy = noise_of((1, 1, height, width), WHITE, seed=height * width).double()
    mean, sigma, k = ring_mean(noisy.float(), 0).double(), level(noisy, 0.7), told(bands).double()
    expected = scale * fuse(noisy, mean, sigma, k) + offset
    moved = fuse(scale * noisy + offset, scale * mean + offset, scale * sigma, k)
    assert moved.numpy() == pytest.approx(expected.numpy(), abs=1e-6 * (scale + abs(offset)))


def test_every_plane_depends_on_itself_alone() -> None:
    noisy, mean = noise_of((3, 1, 48, 40), WHITE), ring_mean(noise_of((3, 1, 48, 40), WHITE), 0)
    sigma = torch.tensor([0.5, 1.0, 0.0]).reshape(3, 1, 1, 1).expand_as(noisy)
    bands = torch.tensor([WHITE, BLURRED, UNKNOWN])
    together = fuse(noisy, mean, sigma, bands, leak=0.1)
    for b in range(3):
        one = slice(b, b + 1)
        assert torch.equal(together[one], fuse(noisy[one], mean[one], sigma[one], bands[one], leak=0.1))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 1), (64, 64)])
@pytest.mark.parametrize("bands", [WHITE, BLURRED])
def test_constant_and_tiny_planes_stay_finite(shape: tuple[int, int], bands: tuple[float, ...]) -> None:
    plane = torch.full((1, 1, *shape), 7.0)
    for sigma in (0.0, 1e-20, 1.0, 1e20):
        assert torch.equal(fuse(plane, plane, level(plane, sigma), told(bands)), plane)


@pytest.mark.parametrize("leak", [0.05, 0.2, 0.6])
def test_a_leaking_mean_gets_the_weight_that_is_left(leak: float) -> None:
    field = GaussianField(256, 0.3)
    noisy, blind = (
        torch.from_numpy(plane)[None, None] for plane in (field.noisy, field.filter(field.noisy, field.blind))
    )
    leaking = (1 - leak) * blind + leak * noisy
    sigma, bands = level(noisy, 0.3), told(WHITE)
    best = fuse(noisy, blind, sigma, bands, window=INFINITE)
    corrected = fuse(noisy, leaking, sigma, bands, leak=leak, window=INFINITE)
    weight = float(fusion_weight(noisy, blind, sigma, bands))
    expected = best if leak < weight else leaking
    assert corrected.numpy() == pytest.approx(expected.numpy(), abs=2e-3)


def test_a_mean_that_is_all_leak_is_kept() -> None:
    noisy = noise_of((1, 1, 32, 32), WHITE)
    assert torch.equal(fuse(noisy, noisy, level(noisy, 1.0), told(WHITE), leak=1.0), noisy)


def test_one_border_does_not_reach_the_opposite_one() -> None:
    noisy = noise_of((1, 1, 128, 128), BLURRED)
    struck = noisy.clone()
    struck[..., :3] += 100
    mean, sigma = torch.zeros_like(noisy), level(noisy, 1.0)
    plain, changed = (fuse(planes, mean, sigma, told(BLURRED)) for planes in (noisy, struck))
    assert float((changed - plain)[..., :3].abs().mean()) > 50
    assert float((changed - plain)[..., -8:].abs().max()) < 0.5

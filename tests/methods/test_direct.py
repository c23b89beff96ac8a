"""The method `direct` around its network: the mean it keeps, the floor it knows, what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from meddenoise.methods import Setup
from meddenoise.methods.direct import DirectDenoiser, direct_bands, direct_denoiser, lost_mean, turn
from meddenoise.networks.noise_unet import NoiseUNet
from meddenoise.noise import NoiseEstimate


class Biased(NoiseUNet):
    """A network that lifts every pixel by a tenth of sigma, and notes what it was told."""

    def forward(self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
        self.zero = zero
        return noisy + 0.1 * sigma


@pytest.fixture
def network() -> Biased:
    return Biased(channels=(8, 8), blocks=(1, 1))


def plane(lowest: float) -> Tensor:
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    return noise - noise.min() + lowest


def test_the_mean_of_the_image_is_kept(network: Biased) -> None:
    noisy = 20 * plane(-3.0)
    clean = DirectDenoiser(network, torch.zeros(4), magnitude=False)(noisy, torch.tensor([0.5]))
    assert float(clean.mean()) == pytest.approx(float(noisy.mean()), abs=1e-3)


def test_noise_cut_off_at_the_end_of_the_range_is_not_counted() -> None:
    rng = torch.Generator().manual_seed(0)
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 32:] = 100
    noisy = (truth + 5 * torch.randn(truth.shape, generator=rng)).clamp(min=0)
    sigma = torch.full_like(truth, 5.0)
    assert float(noisy.mean() - truth.mean()) > 0.5  # half of the dark noise is gone
    assert float(lost_mean(noisy, truth, sigma)) == pytest.approx(0, abs=0.4)


def test_only_magnitude_images_without_negative_values_have_a_floor(network: Biased) -> None:
    sigma = torch.tensor([0.5])
    for magnitude, lowest, floor in ((True, 0.0, 1.0), (True, -2.0, 0.0), (False, 0.0, 0.0)):
        noisy = plane(lowest)
        clean = DirectDenoiser(network, torch.zeros(4), magnitude)(noisy, sigma)
        assert float(network.zero) == floor
        # The mean of Rician noise is not zero: with a floor the network's word stands.
        assert (float(clean.mean() - noisy.mean()) > 0.04) == bool(floor)


@pytest.mark.parametrize("count", [4, 16])
def test_the_mean_over_turned_planes_turns_with_the_image(count: int) -> None:
    torch.manual_seed(0)
    network = NoiseUNet(channels=(8, 8), blocks=(1, 1), bands=count).eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    noisy, sigma = plane(5.0)[..., :48], torch.full((1, 1, 64, 48), 0.5)
    bands = torch.linspace(0.5, 1.5, count)
    swapped = bands.unflatten(0, (-1, 2)).flip(1).flatten() if count > 4 else bands
    once, mean = (DirectDenoiser(network, bands, True, averaged=averaged) for averaged in (False, True))
    turned_once, turned_mean = (replace(one, bands=swapped) for one in (once, mean))
    for turns, mirrored in ((1, False), (2, True), (3, True)):
        one, other = (mean, turned_mean) if turns % 2 else (mean, mean)
        image, level = (turn(x, turns, mirrored) for x in (noisy, sigma))
        assert torch.allclose(turn(one(noisy, sigma), turns, mirrored), other(image, level), atol=1e-4)
    image, level = (turn(x, 1, False) for x in (noisy, sigma))
    assert not torch.allclose(turn(once(noisy, sigma), 1, False), turned_once(image, level), atol=1e-2)


def test_planes_whose_sigma_is_zero_stay_as_they_are(network: Biased) -> None:
    noisy = torch.cat([plane(0.0), plane(1.0)])
    clean = DirectDenoiser(network, torch.zeros(4), True)(noisy, torch.tensor([0.0, 0.5]))
    assert np.array_equal(clean[0], noisy[0]) and not np.array_equal(clean[1], noisy[1])


@pytest.mark.parametrize(("signal", "result"), [(0.0, 0.0), (5.0, 5.0), (40.0, 40.0)])
def test_the_bias_of_rician_noise_is_taken_out(signal: float, result: float) -> None:
    rng = np.random.default_rng(0)
    real, imaginary = 7 * rng.standard_normal((2, 1, 1, 128, 128))
    magnitudes = np.hypot(7 * signal + real, imaginary).astype(np.float32)

    class Mean(NoiseUNet):
        """The best there is for a flat image."""

        def forward(self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
            return torch.full_like(noisy, float(noisy.mean()))

    denoiser = DirectDenoiser(
        Mean(channels=(8, 8), blocks=(1, 1)), torch.ones(4), magnitude=True, rician=True
    )
    clean = denoiser(torch.from_numpy(magnitudes), torch.tensor([7.0]))
    assert float(clean.mean()) / 7 == pytest.approx(result, abs=0.15)


@pytest.mark.parametrize("count", [4, 16])
def test_a_spectrum_of_four_bands_is_given_as_many_as_the_network_takes(count: int) -> None:
    bands = direct_bands(NoiseEstimate(1.0, (2.0, 1.5, 1.0, 0.5)), count)
    assert bands.tolist() == [band for band in (2.0, 1.5, 1.0, 0.5) for _ in range(count // 4)]
    assert direct_bands(None, count).tolist() == [0.0] * count


def test_planes_of_a_batch_have_spectra_of_their_own() -> None:
    torch.manual_seed(0)
    untrained = NoiseUNet(channels=(8, 8), blocks=(1, 1)).eval()
    for parameter in untrained.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    denoiser = DirectDenoiser(untrained, torch.ones(4), False)
    noisy, sigma = torch.cat([plane(-3.0), plane(-2.0)]), torch.tensor([0.5, 0.7])
    spectra = [NoiseEstimate(0.5, (1.6, 1.3, 0.9, 0.4)), NoiseEstimate(0.7)]
    with torch.inference_mode():
        together = denoiser.for_planes(spectra)(noisy, sigma)
        apart = [denoiser.for_planes([spectra[n]])(noisy[n, None], sigma[n, None]) for n in range(2)]
        plain = denoiser(noisy, sigma)
    torch.testing.assert_close(together, torch.cat(apart))
    assert not torch.allclose(together[0], plain[0]) and torch.allclose(together[1], plain[1])


def test_what_is_constant_is_left_as_it_is(network: Biased) -> None:
    noisy = 20 * plane(-3.0)
    noisy[..., 20:44, 20:44] = 7.0
    clean = DirectDenoiser(network, torch.zeros(4), magnitude=False)(noisy, torch.tensor([20.0]))
    inner = (..., slice(24, 40), slice(24, 40))
    assert torch.equal(clean[inner], noisy[inner])
    assert not torch.equal(clean[..., :20, :], noisy[..., :20, :])


class Blurring(NoiseUNet):
    """A network that takes off everything that differs from pixel to pixel."""

    def forward(self, noisy: Tensor, sigma: Tensor, bands: Tensor, zero: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(noisy, 9, 1, 4, count_include_pad=False)


def test_streaks_of_ct_are_not_searched_for() -> None:
    wide, narrow = NoiseUNet(channels=(64, 8), blocks=(1, 1)), NoiseUNet(channels=(8, 8), blocks=(1, 1))
    found = {code: direct_denoiser(wide, Setup(modality=code)).searched for code in ("CT", "MR", "")}
    assert found == {"CT": False, "MR": True, "": True}
    assert not direct_denoiser(narrow, Setup(modality="MR")).searched


@pytest.mark.parametrize("searched", [True, False])
def test_waves_fainter_than_the_noise_come_back_where_the_network_took_them(searched: bool) -> None:
    waves = torch.zeros(1, 1, 96, 96)
    waves[..., 32:64] = 1.5 * torch.cos(torch.pi * torch.arange(96.0))[:, None]
    noisy = 100 + waves + torch.randn(96, 96, generator=torch.Generator().manual_seed(0))
    denoiser = DirectDenoiser(
        Blurring(channels=(8, 8), blocks=(1, 1)), torch.zeros(4), False, searched=searched
    )
    clean = denoiser(noisy, torch.tensor([1.0]))
    there = slice(40, 56)
    kept = float((clean * waves)[..., there].mean() / waves[..., there].square().mean())
    assert kept > 0.6 if searched else abs(kept) < 0.2

"""BeFOI: frames told with their neighbours, the rules of mixing, and what its networks learn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from meddenoise.diffusion.samplers import MeasuredFrame, mixing
from meddenoise.diffusion.schedules import log_spaced
from meddenoise.noise import NoiseEstimate
from meddenoise.training.data.frames import TYPICAL, degrade_frames, draw_frames, tell_frames
from meddenoise.training.data.motion import MARGIN, make_sequence

SIGMA = 0.3
RATIOS = log_spaced(80.0, 0.01, 60)


def draw(seed: int = 0) -> object:
    generator = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def exact(prior: float, measured: Tensor | None = None) -> object:
    """The mean of a clean image of independent normal pixels, given a state, and a noisy image if told."""

    def denoise(x: Tensor, ratio: float) -> Tensor:
        weights = 1 / prior**2 + 1 / ratio**2
        total = x / ratio**2
        if measured is not None:
            weights, total = weights + 1 / SIGMA**2, total + measured / SIGMA**2
        return total / weights

    return denoise


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(1 / (image - truth).square().mean()))


@pytest.fixture(scope="module")
def scene() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    truth = 0.5 * torch.randn(1, 1, 96, 96, generator=generator, dtype=torch.float64)
    return truth, truth + SIGMA * torch.randn(truth.shape, generator=generator, dtype=torch.float64)


def mixed(scene: tuple[Tensor, Tensor], delta: float, budgeted: bool, told: bool = True) -> Tensor:
    noisy, noise = scene[1], draw(2)
    start = RATIOS[0] * noise(noisy)  # type: ignore[operator]
    measured = MeasuredFrame(noisy, torch.full((1, 1, 1, 1), SIGMA), delta, budgeted)
    denoise = exact(0.5, noisy if told else None)
    return mixing(denoise, start, RATIOS, noise=noise, measured=measured)  # type: ignore[arg-type]


def test_the_published_rule_gives_the_noisy_image_back_and_the_budgeted_one_does_not(
    scene: tuple[Tensor, Tensor],
) -> None:
    truth, noisy = scene
    faithful, budgeted = mixed(scene, 0.5, budgeted=False), mixed(scene, 0.5, budgeted=True)
    assert psnr(faithful, truth) == pytest.approx(psnr(noisy, truth), abs=0.05)
    assert float((faithful - noisy).std()) < 0.1 * SIGMA
    assert psnr(budgeted, truth) > psnr(faithful, truth) + 0.5


def test_mixing_makes_an_unconditional_network_follow_the_image(scene: tuple[Tensor, Tensor]) -> None:
    truth, _ = scene
    alone = mixed(scene, 0.0, budgeted=True, told=False)
    assert psnr(mixed(scene, 0.5, budgeted=True, told=False), truth) > psnr(alone, truth) + 5


def test_no_share_is_the_plain_path_and_draws_nothing(scene: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(mixed(scene, 0.0, budgeted=True), mixed(scene, 0.0, budgeted=False))


def smooth(seed: int, side: int = 96) -> np.ndarray:
    coarse = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return (40 + 160 * image.clamp(0, 1))[0, 0].numpy().astype(np.float32)


def test_the_middle_frame_stays_and_the_others_move_smoothly() -> None:
    frame, moved, steps = smooth(0), 0, []
    for seed in range(12):
        sequence = make_sequence(frame, smooth(1), 3, np.random.default_rng(seed))
        assert sequence.shape == (3, 96 - 2 * MARGIN, 96 - 2 * MARGIN) and sequence.dtype == np.float32
        assert sequence.min() >= 0 and sequence.max() <= 255
        moved += bool(np.abs(sequence[0] - sequence[2]).max() > 1)
        steps.append(np.abs(np.diff(sequence, axis=0)).mean() / sequence[1].std())
    assert 5 <= moved < 12, "some sequences stand still"
    assert np.median(steps) < 0.4, "neighbours resemble each other"


def test_the_noise_of_frames_has_its_level_and_its_lag() -> None:
    mix = replace(TYPICAL, sigma_min=10.0, sigma_max=10.001, clipped=0.0)
    clean, lags, levels = np.full((3, 64, 64), 100.0, np.float32), [], []
    for seed in range(60):
        noisy = degrade_frames(clean, NoiseEstimate(0.0), mix, np.random.default_rng(seed)).noisy - clean
        if np.array_equal(noisy[0], noisy[1]):  # one image several times
            continue
        levels.append(noisy.std())
        lags.append(np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1])
    assert len(lags) < 60 and np.median(levels) == pytest.approx(10, rel=0.1)
    assert 0.15 < np.mean(np.array(lags) > 0.15) < 0.5
    assert max(lags) < 0.95 and np.median(np.abs(lags)) < 0.15


def test_a_mix_of_white_noise_alone_has_no_lag_and_one_level() -> None:
    mix = replace(TYPICAL, white=1.0, signal_dependent=0.0, lagged=0.0, clipped=0.0)
    clean = np.broadcast_to(np.linspace(10, 240, 64, dtype=np.float32), (3, 64, 64)).copy()
    for seed in range(20):
        noisy = degrade_frames(clean, NoiseEstimate(0.0), mix, np.random.default_rng(seed)).noisy - clean
        if np.array_equal(noisy[0] + clean[0], noisy[1] + clean[1]):
            continue
        assert abs(np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1]) < 0.08
        assert noisy[..., :32].std() == pytest.approx(noisy[..., 32:].std(), rel=0.08)
        assert abs(np.corrcoef(noisy[0, :, 1:].ravel(), noisy[0, :, :-1].ravel())[0, 1]) < 0.08


def test_networks_are_told_the_frame_then_its_neighbours_then_its_noise() -> None:
    noisy, clean = draw_frames((smooth(0), smooth(1)), NoiseEstimate(0.0), TYPICAL, np.random.default_rng(3))
    told = tell_frames(noisy)
    assert told.shape == (4, *clean.shape) and told.dtype == np.float32
    for channel, index in enumerate((1, 0, 2)):
        np.testing.assert_allclose(told[channel], noisy.noisy[index] / 127.5 - 1, atol=1e-5)
    np.testing.assert_allclose(told[3], noisy.told / 127.5, rtol=1e-5)

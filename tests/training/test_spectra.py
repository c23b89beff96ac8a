"""Scans that end in k-space, and parts of a patch that have no noise."""

import numpy as np
import pytest

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.spectrum import mean_power
from meddenoise.training.data import SCENES, PatchSource, TrainingImage
from meddenoise.training.data.degradation import blank, degrade
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.spectra import KSpaceWindow, Scan

EXACT = NoiseEstimate(0.0)


def power(plane: np.ndarray) -> np.ndarray:
    """Power [H, W / 2 + 1], tapered so that the borders do not leak."""
    taper = np.hanning(plane.shape[0])[:, None] * np.hanning(plane.shape[1])[None]
    spectrum: np.ndarray = np.abs(np.fft.rfft2((plane - plane.mean()) * taper)) ** 2
    return spectrum


@pytest.mark.parametrize("seed", range(12))
def test_a_window_keeps_the_mean_and_its_noise_has_unit_power(seed: int) -> None:
    window = KSpaceWindow.draw(np.random.default_rng(seed))
    assert min(window.cut_x, window.cut_y) < 0.5
    transfer = window.transfer((64, 96))
    assert transfer[0, 0] == 1 and 0 <= transfer.min() <= transfer.max() <= 1 + 1e-6
    assert mean_power(window.amplitude((64, 96)), 96) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("elliptic", [False, True])
def test_signal_and_noise_of_a_scan_end_at_the_same_frequency(elliptic: bool) -> None:
    rng = np.random.default_rng(3)
    window = KSpaceWindow(0.3, 0.35, 0.005, elliptic)
    clean = 50 + np.maximum(draw_scene(128, rng), 0)  # far from 0: the magnitude changes nothing
    scanned = window.scan(clean)
    noisy = degrade(scanned, EXACT, "MR", NoiseMix(none=0, rician=0, clipped=0), rng, Scan(window)).noisy
    beyond = np.arange(65)[None, :] / 128 > 0.36
    for plane in (scanned, noisy - scanned):
        seen = power(plane)
        assert seen[:, beyond[0]].mean() < 1e-3 * seen.mean()
    assert power(clean)[:, beyond[0]].mean() > 10 * power(scanned)[:, beyond[0]].mean()


def test_a_blank_part_is_one_value_in_patch_and_reference_and_noise_is_given_for_it() -> None:
    rng = np.random.default_rng(5)
    clean = draw_scene(96, rng)
    before = degrade(clean, EXACT, "CT", NoiseMix(none=0, sigma_min=5, clipped=0), rng)
    after, truth = blank(before, clean, rng)
    part = truth != clean
    assert 0.02 < part.mean() < 0.99
    assert np.unique(truth[part]).size == np.unique(after.noisy[part]).size == 1
    assert np.array_equal(
        after.noisy[~part & (truth != after.noisy)], before.noisy[~part & (truth != after.noisy)]
    )
    assert after.told[part].min() > 0 and after.sigma == before.sigma


@pytest.mark.parametrize(("share", "blank_patches"), [(0.0, 0), (1.0, 24)])
def test_as_many_patches_have_a_blank_part_as_the_mix_says(share: float, blank_patches: int) -> None:
    nothing = np.broadcast_to(np.float32(0), (512, 512))
    image = TrainingImage(nothing, "CT", SCENES, SCENES, EXACT)
    mix = NoiseMix(none=0, sigma_min=5, blanked=share, clipped=0)
    batch = PatchSource([image], {SCENES: 1.0}, mix, 64, 0).batch(0, 24)
    exact = ((batch.noisy == batch.clean).flatten(1).float().mean(dim=1) > 0.01).sum()
    assert abs(int(exact) - blank_patches) <= 2

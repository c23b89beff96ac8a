"""Scans that end in k-space, and parts of a patch that have no noise."""

import numpy as np
import pytest

from meddenoise.noise import NoiseEstimate
from meddenoise.noise.spectrum import mean_power
from meddenoise.training.data import RINGING, SCENES, PatchSource, TrainingImage
from meddenoise.training.data.degradation import blank, degrade
from meddenoise.training.data.mix import NoiseMix
from meddenoise.training.data.scenes import draw_scene
from meddenoise.training.spectra import KSpaceWindow, Scan, half_matrix

EXACT = NoiseEstimate(0.0)


def power(plane: np.ndarray) -> np.ndarray:
    """Power [H, W / 2 + 1], tapered so that the borders do not leak."""
    taper = np.hanning(plane.shape[0])[:, None] * np.hanning(plane.shape[1])[None]
    spectrum: np.ndarray = np.abs(np.fft.rfft2((plane - plane.mean()) * taper)) ** 2
    return spectrum


@pytest.mark.parametrize("seed", range(12))
def test_a_window_keeps_the_mean_and_its_noise_has_unit_power(seed: int) -> None:
    window = KSpaceWindow.draw(np.random.default_rng(seed))
    assert min(window.cut_x, window.cut_y) < 0.5 or window.elliptic
    transfer = window.transfer((64, 96))
    assert transfer[0, 0] == 1 and 0 <= transfer.min() <= transfer.max() <= 1 + 1e-6
    assert mean_power(window.amplitude((64, 96)), 96) == pytest.approx(1, rel=1e-4)


def test_half_the_matrix_rings_to_the_last_pixel_where_means_do_not_and_both_keep_what_is_smooth() -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    smooth = (100 + 50 * np.cos(y / 15) * np.cos(x / 20)).astype(np.float32)
    means = smooth.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(half_matrix(smooth)[4:-4, 4:-4], means[4:-4, 4:-4], atol=0.5)
    disc = np.where(np.hypot(y, x) < 45, 200, 0).astype(np.float32)
    ringing, plain = half_matrix(disc), disc.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    inside = slice(26, 38), slice(26, 38)  # ten pixels from the edge
    assert plain[inside].std() == 0 and 0.05 < ringing[inside].std() < 5
    assert ringing.min() >= 0 and ringing.mean() == pytest.approx(plain.mean(), rel=0.03)
    steps = np.diff(ringing[30, 24:40])
    assert np.mean(steps[1:] * steps[:-1] < 0) > 0.8, "a period of two pixels"


def test_exact_patches_of_mr_ring_and_no_others_do() -> None:
    stripes = np.tile(np.where((np.arange(256) // 32) % 2, 200, 0).astype(np.float32), (256, 1))

    def rings(modality: str, own: float = 0.0) -> float:
        image = TrainingImage(stripes, modality, "one", "one", NoiseEstimate(own))
        source = PatchSource([image], {"one": 1.0}, NoiseMix(), 64, seed=0)
        drawn = [source.draw_patch(np.random.default_rng(seed)) for seed in range(80)]
        assert all(patch.shape == (64, 64) for _, patch, _ in drawn)
        return float(np.mean([len(np.unique(np.round(patch, 2))) > 8 for _, patch, _ in drawn]))

    assert rings("MR") == pytest.approx(RINGING, abs=0.15)
    assert rings("DX") == rings("MR", own=2.0) == 0


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

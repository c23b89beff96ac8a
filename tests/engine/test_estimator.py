"""The learned estimate of noise beside the classical one: what is read, which of them rules, what is said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from meddenoise.engine.estimator import NoiseEstimator, doubts, estimate, load_estimator, rule
from meddenoise.engine.level import estimate_series
from meddenoise.errors import WeightsError
from meddenoise.io.memory import as_series
from meddenoise.networks.noise_level import NoiseLevelNet
from meddenoise.noise import WHITE, NoiseEstimate, SeriesNoise, SignalVariance
from meddenoise.noise.cells import CELLS, bands_of_cells, cell_shares
from meddenoise.noise.steady import steady
from meddenoise.phantom import PHANTOMS, make_phantom
from meddenoise.weights.checkpoint import CheckpointMetadata, save_checkpoint

FLAT = (1.0,) * CELLS
Plane = np.ndarray


@pytest.fixture(scope="module")
def estimator() -> NoiseEstimator:
    """One that has learned nothing: it reads the mean power of all blocks."""
    torch.manual_seed(0)
    return NoiseEstimator(NoiseLevelNet(channels=8, blocks=1, hidden=8).eval())


def noisy(sigma: float = 5.0, shape: tuple[int, int] = (96, 120), seed: int = 0) -> Plane:
    return (sigma * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def whole(plane: Plane) -> Plane:
    return np.ones(plane.shape, bool)


def test_the_power_of_a_flat_plane_is_its_noise(estimator: NoiseEstimator) -> None:
    found = estimator.estimate(noisy() + 300, whole(noisy()), "CT")
    assert found.sigma == pytest.approx(5, rel=0.05)
    assert found.bands == pytest.approx(WHITE, abs=0.12)
    assert found.spectrum is not None and len(found.spectrum) == CELLS
    assert bands_of_cells(found.spectrum) == pytest.approx(found.bands)


def test_noise_along_one_direction_shows_in_the_cells_of_that_direction(estimator: NoiseEstimator) -> None:
    plane = noisy(shape=(128, 129))
    plane = plane[:, 1:] + plane[:, :-1]
    found = estimator.estimate(plane, whole(plane), "CT")
    assert found.spectrum is not None
    along_x, along_y = np.array(found.spectrum[8:14:2]), np.array(found.spectrum[9:14:2])
    assert np.all(along_x < 0.8 * along_y)


@pytest.mark.parametrize(("kernel_px", "white"), [(0.0, True), (0.45, False)])
def test_a_spectrum_near_white_is_white(kernel_px: float, white: bool) -> None:
    """Phantoms in whose lowest band the network sees some anatomy, and noise that is just not white."""
    plane = make_phantom("mr", size=192, planes=1, seed=9001).truth[0]
    noise = gaussian_filter(noisy(1.0, plane.shape), kernel_px)
    found = load_estimator().estimate(plane + np.float32(60 / noise.std()) * noise, whole(plane), "")
    assert found.spectrum is not None
    assert (found.spectrum == FLAT) is white


@pytest.mark.parametrize(("gain", "offset"), [(1e-3, 0.0), (50.0, -1000.0), (1.0, 30000.0)])
def test_scale_goes_with_the_level_and_offset_with_nothing(
    estimator: NoiseEstimator, gain: float, offset: float
) -> None:
    plane = noisy()
    plane[20:50, 30:70] += 80
    before = estimator.estimate(plane, whole(plane), "CT")
    after = estimator.estimate(np.float32(gain) * plane + np.float32(offset), whole(plane), "CT")
    assert after.sigma == pytest.approx(gain * before.sigma, rel=2e-3)
    assert after.spectrum == pytest.approx(before.spectrum, abs=5e-3)


def test_what_is_no_image_does_not_count(estimator: NoiseEstimator) -> None:
    plane, valid = noisy(), whole(noisy())
    valid[:, :40] = False
    spoilt = plane.copy()
    spoilt[:, :40] = np.nan
    found = estimator.estimate(spoilt, valid, "CT")
    assert found.sigma == pytest.approx(5, rel=0.15)
    assert estimator.estimate(plane, np.zeros_like(valid), "CT").sigma == 0


@pytest.mark.parametrize("shape", [(16, 16), (17, 300), (64, 31)])
def test_small_and_odd_planes_are_read(estimator: NoiseEstimator, shape: tuple[int, int]) -> None:
    plane = noisy(shape=shape)
    assert estimator.estimate(plane, whole(plane), "MR").sigma == pytest.approx(5, rel=0.35)


def test_a_constant_plane_has_no_noise(estimator: NoiseEstimator) -> None:
    plane = np.full((64, 64), 7, np.float32)
    assert estimator.estimate(plane, whole(plane), "").sigma == 0


def test_a_checkpoint_of_a_method_is_refused(tmp_path: Path) -> None:
    metadata = CheckpointMetadata(
        method="direct",
        network="noise-unet",
        network_options={},
        normalisation={"name": "none"},
        sigma_range=(0.0, 1.0),
        modalities=("CT",),
        training_data=("none",),
        licence="Apache-2.0",
        recipe="direct",
    )
    save_checkpoint(tmp_path / "direct.safetensors", {"w": torch.zeros(2)}, metadata)
    with pytest.raises(WeightsError, match="'direct', not an estimator of noise"):
        load_estimator(str(tmp_path / "direct.safetensors"))


def test_the_learned_level_rules_and_the_dependence_follows_it() -> None:
    classical = NoiseEstimate(4.0, variance=SignalVariance(2.0, 8.0))
    ruled = rule(classical, NoiseEstimate(3.0, spectrum=FLAT), "DX")
    assert (ruled.sigma, ruled.second, ruled.variance) == (3.0, 4.0, SignalVariance(1.125, 4.5))
    assert ruled.spectrum == FLAT


def test_a_classical_level_counts_as_far_as_it_is_known_to_be_the_better_one() -> None:
    assert rule(NoiseEstimate(6.25), NoiseEstimate(4.0), "CT").sigma == 4.0
    coarse = NoiseEstimate(5.0, (1.0, 1.0, 1.0, 0.3), uncertainty=0.4)
    levels = [rule(NoiseEstimate(level), coarse, "CT") for level in (0.1, 6.0, 64.0)]
    assert [(one.sigma, one.second) for one in levels] == [(5.0, None), (6.0, 6.0), (7.0, 64.0)]
    assert rule(NoiseEstimate(0.1), coarse, "DX").sigma == 5.0
    assert rule(NoiseEstimate(4.0), coarse, "DX").sigma == pytest.approx(4.2)
    bright = NoiseEstimate(60.0, variance=SignalVariance(2.0, 500.0))
    assert rule(bright, NoiseEstimate(12.0), "XA").sigma == 60.0
    ruled = rule(bright, NoiseEstimate(5.0), "XA")
    assert ruled.sigma == 30.0 and ruled.variance == SignalVariance(0.5, 125.0)
    assert rule(NoiseEstimate(64.0, variance=SignalVariance(1.0, 1.0)), NoiseEstimate(0.0), "XA").sigma == 0.0


@pytest.mark.parametrize("kind", PHANTOMS)
@pytest.mark.parametrize("kernel_px", [1.0, 1.5])
def test_coarse_noise_without_a_white_part_is_seen(kind: str, kernel_px: float) -> None:
    """As of a small field of view, or of an image brought to a finer grid: its finest band is empty."""
    clean = make_phantom(kind, size=256, planes=1, seed=9100).truth[0]
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(clean.shape), kernel_px, mode="wrap")
    sigma = 0.04 * np.ptp(np.quantile(clean, (0.005, 0.995)))
    plane = (clean + sigma * noise / noise.std()).astype(np.float32)
    found = estimate(plane, whole(plane), PHANTOMS[kind].modality)
    assert found.sigma == pytest.approx(sigma, rel=0.4)
    assert found.bands[-1] < 0.3 < found.bands[0]


def test_coarse_noise_of_a_cine_is_not_taken_for_what_stays() -> None:
    clean = make_phantom("fluoro", size=128, planes=4, seed=9100).truth
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(clean.shape), (0, 1.5, 1.5), mode="wrap")
    sigma = 0.04 * np.ptp(np.quantile(clean, (0.005, 0.995)))
    run = as_series((clean + sigma * noise / noise.std()).astype(np.float32), modality="XA")
    assert run.frame_time_ms is not None
    assert estimate_series(run).levels == pytest.approx([sigma] * 4, rel=0.35)


def test_radiographs_have_the_learned_spectrum_and_a_level_without_the_anatomy_of_the_lowest_band() -> None:
    bright = NoiseEstimate(60.0, (3.0, 1.5, 0.9, 0.5), SignalVariance(0.001, 1.0, exponential=True))
    learned = NoiseEstimate(20.0, (1.7, 1.4, 1.1, 0.8), spectrum=FLAT)
    ruled = rule(bright, learned, "DX")
    assert (ruled.bands, ruled.spectrum) == (learned.bands, FLAT)
    assert ruled.sigma == pytest.approx(60 * 0.81, rel=0.02)
    level = np.sqrt(ruled.variance.at(np.array([500.0]))) if ruled.variance else 0
    assert level == pytest.approx(0.81 * np.exp(0.75), rel=0.02)


def test_the_network_is_no_second_opinion_on_noise_that_changes_by_decades() -> None:
    line, curve = SignalVariance(1.0, 50.0), SignalVariance(0.02, 3.0, exponential=True)
    ruled = [
        rule(NoiseEstimate(9.0, variance=v), NoiseEstimate(3.0, spectrum=FLAT), "DX") for v in (line, curve)
    ]
    assert [one.second for one in ruled] == [3.0, None]
    assert len(doubts(ruled[:1])) == 1 and doubts(ruled[1:]) == []


def test_rician_noise_is_believed_unless_it_is_far_above_what_the_network_reads() -> None:
    magnitude = NoiseEstimate(9.0, model="rician")
    assert rule(magnitude, NoiseEstimate(6.0), "MR").model == "rician"
    assert rule(magnitude, NoiseEstimate(2.0), "MR") == NoiseEstimate(2.0, second=9.0)


def test_rician_noise_has_one_level_everywhere() -> None:
    ruled = rule(
        NoiseEstimate(4.0, variance=SignalVariance(2.0, 8.0)), NoiseEstimate(4.0, model="rician"), "MR"
    )
    assert ruled.model == "rician" and ruled.variance is None


def test_a_radiograph_has_hardly_more_noise_than_its_flattest_places() -> None:
    assert rule(NoiseEstimate(10.0), NoiseEstimate(30.0), "DX").sigma == pytest.approx(10.5)
    assert rule(NoiseEstimate(10.0), NoiseEstimate(30.0), "").sigma == pytest.approx(10.5)
    assert rule(NoiseEstimate(10.0), NoiseEstimate(30.0, (2.0, 1.0, 0.6, 0.3)), "").sigma == 30.0  # coarse
    sure = NoiseEstimate(28.0, uncertainty=0.05)  # noise that is weak in places
    assert rule(NoiseEstimate(10.0), sure, "DX").sigma == pytest.approx(20.0)
    assert rule(NoiseEstimate(10.0), NoiseEstimate(30.0), "MR").sigma == 30.0
    assert rule(NoiseEstimate(0.0), NoiseEstimate(30.0), "DX").sigma == 30.0


def test_noise_of_mr_does_not_follow_the_signal() -> None:
    classical = NoiseEstimate(4.0, variance=SignalVariance(2.0, 8.0))
    assert rule(classical, NoiseEstimate(4.0), "MR").variance is None
    assert rule(classical, NoiseEstimate(4.0), "").variance == classical.variance


def test_a_dependence_that_was_measured_in_texture_is_not_that_of_the_noise() -> None:
    steep = SignalVariance(2.0, 8.0)
    for level, variance in ((4.4, steep.times((3.0 / 4.4) ** 2)), (4.6, None)):
        ruled = rule(NoiseEstimate(level, variance=steep), NoiseEstimate(3.0), "")
        assert (ruled.sigma, ruled.variance, ruled.second) == (3.0, variance, level)


def test_estimates_that_agree_are_not_spoken_of() -> None:
    planes = [NoiseEstimate(5.0, second=6.0), NoiseEstimate(0.0, second=0.0), NoiseEstimate(3.0)]
    assert doubts(planes) == []


def test_estimates_that_differ_are_told_in_one_sentence() -> None:
    planes = [NoiseEstimate(5.0, second=6.0), NoiseEstimate(5.0, second=15.0)]
    assert doubts(planes) == [
        "two estimates of the noise differ on 1 of 2 planes (farthest apart: 5 was used, 15 is the other): "
        "give --sigma if you know the level."
    ]
    assert "differ (2 was used, 0 is the other)" in doubts([NoiseEstimate(2.0, second=0.0)])[0]
    assert "differ (3.7 was used, 1090 is the other)" in doubts([NoiseEstimate(3.7, second=1093.0)])[0]


def test_a_level_that_is_given_is_in_no_doubt() -> None:
    given = SeriesNoise((NoiseEstimate(5.0, second=50.0, uncertainty=0.1),)).with_sigma(7.0)
    assert given.planes[0] == NoiseEstimate(7.0)


def test_steadied_spectra_stay_those_of_their_bands() -> None:
    rng = np.random.default_rng(0)
    planes = []
    for _ in range(5):
        spectrum = _unit(rng.uniform(0.5, 1.5, CELLS))
        planes.append(NoiseEstimate(5.0, bands_of_cells(spectrum), spectrum=spectrum))
    for plane in steady(planes, 256 * 256):
        assert plane.spectrum is not None
        assert bands_of_cells(plane.spectrum) == pytest.approx(plane.bands)


def test_a_series_with_planes_without_a_spectrum_has_none() -> None:
    planes = [NoiseEstimate(5.0, spectrum=FLAT), NoiseEstimate(5.0)]
    assert all(plane.spectrum is None for plane in steady(planes, 256 * 256))


def _unit(spectrum: np.ndarray) -> tuple[float, ...]:
    """The spectrum with the power of white noise."""
    power = np.square(spectrum)
    return tuple(np.sqrt(power / (power * cell_shares()).sum()).tolist())

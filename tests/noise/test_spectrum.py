"""Spectra: half of a plane's frequencies stand for all, gains keep the variance, amplitudes are as named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from meddenoise.noise import BAND_EDGES
from meddenoise.noise.cells import CELLS, bands_of_cells, cell_shares, spectrum_cells
from meddenoise.noise.spectrum import (
    band_amplitude,
    ct_amplitude,
    detector_mtf,
    fading_edge,
    filter_planes,
    gaussian_amplitude,
    mean_power,
    radial_frequency,
    sampled_amplitude,
    shaped_noise,
    unit_gain,
)

sides = st.integers(2, 41)
quick = settings(max_examples=40, deadline=None)
AMPLITUDES = {
    "gaussian": gaussian_amplitude(1.1),
    "detector": detector_mtf(0.3),
    "detector, steep": detector_mtf(0.3, power=2.0),
    "ct": ct_amplitude(0.3),
    "band": band_amplitude(0.7),
    "sampled": sampled_amplitude((0.0, 0.2, 0.5), (1.0, 4.0, 0.25)),
}


@quick
@given(sides, sides)
def test_half_the_frequencies_are_those_of_a_real_plane(height: int, width: int) -> None:
    full = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    grid = radial_frequency(height, width)
    np.testing.assert_allclose(grid, full[:, : width // 2 + 1], atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        grid[0, 0] = 1


@pytest.mark.parametrize("name", AMPLITUDES)
@quick
@given(height=sides, width=sides)
def test_the_mean_power_is_that_of_the_whole_spectrum(name: str, height: int, width: int) -> None:
    amplitude = AMPLITUDES[name]
    full = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]).astype(np.float32)
    expected = np.square(amplitude(full), dtype=np.float64).mean()
    assert mean_power(amplitude(radial_frequency(height, width)), width) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", AMPLITUDES)
@pytest.mark.parametrize("shape", [(16, 16), (17, 9), (2, 31)])
def test_a_unit_gain_has_mean_power_one_whatever_the_scale(name: str, shape: tuple[int, int]) -> None:
    amplitude = AMPLITUDES[name](radial_frequency(*shape))
    gain = unit_gain(amplitude, shape[1])
    assert mean_power(gain, shape[1]) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(unit_gain(np.float32(40) * amplitude, shape[1]), gain, rtol=1e-5)


@quick
@given(st.integers(0, 2**16), st.integers(1, 20), sides, sides)
def test_filtering_is_linear_plane_by_plane_and_a_flat_filter_changes_nothing(
    seed: int, count: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, count, height, width)).astype(np.float32)
    transfer = AMPLITUDES["detector"](radial_frequency(height, width))
    together = filter_planes(2 * one - two, transfer)
    np.testing.assert_allclose(
        together, 2 * filter_planes(one, transfer) - filter_planes(two, transfer), atol=1e-5
    )
    np.testing.assert_allclose(together[-1], filter_planes((2 * one - two)[-1], transfer), atol=1e-5)
    np.testing.assert_allclose(filter_planes(one, np.ones_like(transfer)), one, atol=1e-5)


def test_noise_of_a_gain_is_the_white_noise_of_that_seed_filtered() -> None:
    gain = unit_gain(AMPLITUDES["ct"](radial_frequency(20, 24)), 24)
    white = np.random.default_rng(5).standard_normal((3, 20, 24), dtype=np.float32)
    noise = shaped_noise((3, 20, 24), gain, np.random.default_rng(5))
    np.testing.assert_allclose(noise, filter_planes(white, gain), atol=1e-6)


@quick
@given(st.floats(0.02, 1), st.floats(0.5, 4))
def test_a_detector_has_the_transfer_named_at_nyquist_and_falls(value: float, power: float) -> None:
    transfer = detector_mtf(value, power)(np.linspace(0, 0.5, 30, dtype=np.float32))
    assert transfer[0] == 1 and transfer[-1] == pytest.approx(value, rel=1e-3)
    assert (np.diff(transfer) <= 1e-6).all()


@quick
@given(st.floats(0.05, 0.5), st.floats(0.001, 0.05))
def test_an_edge_is_half_at_its_cut_and_symmetric_about_it(cut: float, width: float) -> None:
    edge = fading_edge(cut, width)
    away = np.linspace(0, 5 * width, 20, dtype=np.float32)
    assert float(edge(np.float32(cut))) == pytest.approx(0.5, abs=1e-4)
    np.testing.assert_allclose(edge(np.float32(cut) + away) + edge(np.float32(cut) - away), 1, atol=1e-3)


def test_samples_of_a_spectrum_are_met_and_its_ends_go_on() -> None:
    amplitude = sampled_amplitude((0.1, 0.2, 0.4), (9.0, 1.0, 4.0))
    found = amplitude(np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.7], np.float32))
    np.testing.assert_allclose(found, [3, 3, 1, 1.5, 2, 2], rtol=1e-5)


@quick
@given(st.integers(0, 2**16), st.integers(8, 60), st.integers(8, 60), st.sampled_from([1e-3, 1.0, 700.0]))
def test_cells_have_unit_power_in_any_unit(seed: int, height: int, width: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    amplitude = rng.uniform(0, 1, (height, width // 2 + 1)).astype(np.float32)
    cells = spectrum_cells(np.float32(unit) * amplitude, width)
    np.testing.assert_allclose(cells, spectrum_cells(amplitude, width), rtol=1e-3)
    assert (cells**2 * cell_shares()).sum() == pytest.approx(1)


def test_white_noise_is_one_in_every_cell_and_band_and_so_is_nothing() -> None:
    assert sum(cell_shares()) == pytest.approx(1) and len(cell_shares()) == CELLS
    for amplitude in (np.full((64, 33), 3.0, np.float32), np.zeros((64, 33), np.float32)):
        cells = spectrum_cells(amplitude, 64)
        np.testing.assert_allclose(cells, 1, atol=1e-6)
        np.testing.assert_allclose(bands_of_cells(tuple(cells)), np.ones(len(BAND_EDGES) - 1), atol=1e-6)


def test_turning_a_spectrum_by_a_right_angle_swaps_the_cells_of_rows_and_columns() -> None:
    down, right = np.abs(np.fft.fftfreq(64))[:, None], np.fft.rfftfreq(64)[None]
    along_rows = spectrum_cells((right >= down).astype(np.float32), 64).reshape(-1, 2)
    along_columns = spectrum_cells((right < down).astype(np.float32), 64).reshape(-1, 2)
    assert not along_rows[:, 1].any() and not along_columns[:, 0].any()
    np.testing.assert_allclose(along_rows[:, 0], along_columns[:, 1], rtol=0.15)


def test_amplitudes_are_those_of_their_formulas() -> None:
    f = np.array([0.0, 0.05, 0.2, 0.3, 0.345, 0.352, 0.5], np.float32)
    ct = np.sqrt(f) * np.exp(-((f / 0.3) ** 2))
    np.testing.assert_allclose(ct_amplitude(0.3)(f), ct, rtol=1e-5)
    np.testing.assert_allclose(
        ct_amplitude(0.3, ramp=1.0, fall=3.0)(f), f * np.exp(-((f / 0.3) ** 3)), rtol=1e-5
    )
    np.testing.assert_allclose(
        band_amplitude(0.7)(f), 1 / (1 + np.exp((f - 0.35) / 0.01)), rtol=1e-3, atol=1e-9
    )


@pytest.mark.parametrize("kernel", [1.1, 2.0])
def test_noise_of_a_gaussian_kernel_is_blurred_as_scipy_blurs(kernel: float) -> None:
    noise = np.random.default_rng(1).normal(size=(32, 48)).astype(np.float32)
    made = filter_planes(noise, gaussian_amplitude(kernel)(radial_frequency(32, 48)))
    peer = gaussian_filter(noise.astype(np.float64), kernel, mode="wrap", truncate=8)
    np.testing.assert_allclose(made, peer, atol=0.01)

"""The cells of a noise spectrum: what they are of known amplitudes, and how the bands follow from them."""

import numpy as np
import pytest

from meddenoise.noise import BAND_EDGES, SPECTRUM_EDGES, WHITE
from meddenoise.noise.cells import CELLS, bands_of_cells, cell_shares, spectrum_cells

SHAPE = (128, 96)


def frequencies(shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    return np.abs(np.fft.fftfreq(shape[0]))[:, None], np.fft.rfftfreq(shape[1])[None, :]


def test_white_noise_is_one_in_every_cell_and_every_band() -> None:
    flat = np.full((SHAPE[0], SHAPE[1] // 2 + 1), 7, np.float32)
    assert spectrum_cells(flat, SHAPE[1]) == pytest.approx(np.ones(CELLS))
    assert bands_of_cells((1.0,) * CELLS) == pytest.approx(WHITE)


def test_shares_add_up_and_are_alike_in_both_directions() -> None:
    shares = np.array(cell_shares())
    assert shares.sum() == pytest.approx(1)
    assert shares[::2] == pytest.approx(shares[1::2], rel=0.06)


def test_every_band_is_two_radial_bands() -> None:
    assert set(BAND_EDGES) < set(SPECTRUM_EDGES)
    assert len(SPECTRUM_EDGES) - 1 == 2 * (len(BAND_EDGES) - 1)


def test_the_power_of_the_cells_is_that_of_the_whole() -> None:
    fy, fx = frequencies()
    cells = spectrum_cells(np.exp(-8 * (fy**2 + 4 * fx**2)).astype(np.float32), SHAPE[1])
    assert (np.square(cells) * cell_shares()).sum() == pytest.approx(1)


def test_noise_smooth_along_x_has_less_in_the_cells_of_that_direction() -> None:
    fy, fx = frequencies()
    cells = spectrum_cells((np.exp(-20 * fx**2) * np.ones_like(fy)).astype(np.float32), SHAPE[1])
    high = np.arange(8, CELLS, 2)
    assert np.all(cells[high] < 0.6 * cells[high + 1])


def test_bands_of_the_cells_are_the_bands_of_the_amplitude() -> None:
    fy, fx = frequencies()
    radius = np.hypot(fy, fx)
    amplitude = np.exp(-6 * radius**2).astype(np.float32)
    bands = bands_of_cells(tuple(spectrum_cells(amplitude, SHAPE[1])))
    full = np.hypot(*np.meshgrid(*[np.fft.fftfreq(512)] * 2))
    power = np.exp(-12 * full**2)
    for band, low, high in zip(bands, BAND_EDGES, BAND_EDGES[1:], strict=False):
        inside = (full >= low) & (full < high)
        assert band == pytest.approx(np.sqrt(power[inside].mean() / power.mean()), rel=0.03)


def test_no_noise_counts_as_white() -> None:
    assert spectrum_cells(np.zeros((16, 9), np.float32), 16) == pytest.approx(np.ones(CELLS))

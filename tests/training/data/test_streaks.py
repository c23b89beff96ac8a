"""Streaks of CT noise: of unit power, long in one direction, and labelled as what they are."""

import numpy as np
import pytest

from meddenoise.noise.cells import spectrum_cells
from meddenoise.noise.spectrum import filter_planes, mean_power
from meddenoise.training.data.noise_draws import _amplitude, _kernel, _streaks

SHAPE = (96, 96)


def test_every_spectrum_of_ct_has_unit_power():
    rng = np.random.default_rng(0)
    assert [mean_power(_amplitude(SHAPE, "CT", rng), SHAPE[1]) for _ in range(40)] == pytest.approx(
        [1.0] * 40, rel=1e-3
    )


def test_streaks_are_long_in_one_direction_and_the_cells_show_it():
    rng, ratios = np.random.default_rng(1), []
    for _ in range(30):
        amplitude = _streaks(SHAPE, _kernel(SHAPE, rng), rng)
        noise = filter_planes(rng.standard_normal(SHAPE, np.float32), amplitude)
        shifted = [float(np.mean(noise * np.roll(noise, 3, axis))) for axis in (0, 1)]
        cells = spectrum_cells(amplitude, SHAPE[1]).reshape(-1, 2)[2:6].mean(axis=0)
        ratios.append((shifted[1] - shifted[0], cells[1] - cells[0]))
    along, upright = np.array(ratios).T
    assert np.abs(along).mean() > 0.3
    assert np.corrcoef(along, upright)[0, 1] > 0.8

"""The noise benchmark: cases whose truth is what was added, and the tables made of the results."""

import numpy as np
import pytest

from benchmarks import (
    noise_card,
    noise_cases,
    noise_estimate,
)
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.cells import bands_of_cells, spectrum_cells


@pytest.mark.parametrize("name", noise_cases.SPECTRA)
def test_noise_has_unit_variance_and_the_cells_it_is_said_to_have(name: str) -> None:
    noise, cells = noise_cases.noise_of((256, 256), noise_cases.SPECTRA[name], np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.02)
    seen = spectrum_cells(np.abs(np.fft.rfft2(noise)), 256)
    assert seen[4:] == pytest.approx(cells[4:], abs=0.1)


@pytest.mark.parametrize("name", noise_cases.CORRELATIONS)
def test_kernels_have_the_correlations_that_were_measured(name: str) -> None:
    x, y = noise_cases.CORRELATIONS[name]
    amplitude = noise_cases.kernel_of((x, y))
    noise, _ = noise_cases.noise_of((512, 512), amplitude, np.random.default_rng(1))
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(x, abs=0.03)
    assert np.mean(noise[1:] * noise[:-1]) == pytest.approx(y, abs=0.03)


def case(sigma: float = 5.0) -> noise_cases.NoiseCase:
    plane = np.zeros((8, 8), np.float32)
    return noise_cases.NoiseCase("group", "case", plane, sigma, 100.0, "MR", noise_cases.WHITE, rician=True)


def test_a_right_estimate_is_scored_as_right() -> None:
    row = noise_estimate.score(case(), "learned", NoiseEstimate(5.0, model="rician"))
    assert (row["ratio"], row["rician"], row["white"]) == (1.0, True, True)
    assert row["band"] == pytest.approx(0, abs=1e-3)


def test_a_wrong_spectrum_is_scored_as_wrong() -> None:
    smooth = bands_of_cells(tuple(np.linspace(2, 0.2, 16)))
    row = noise_estimate.score(case(), "learned", NoiseEstimate(4.0, smooth))
    assert (row["ratio"], row["rician"], row["white"]) == (0.8, False, False)
    assert row["band"] > noise_estimate.BAND_TOLERANCE


def test_without_noise_the_level_is_in_thousandths_of_the_range() -> None:
    assert noise_estimate.score(case(0.0), "learned", NoiseEstimate(0.2))["ratio"] == pytest.approx(2)


def test_the_card_counts_strong_and_weak_noise_apart(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        noise_estimate.score(case(5.0), "learned", NoiseEstimate(5.5, model="rician")),
        noise_estimate.score(case(5.0), "learned", NoiseEstimate(4.5, model="rician")),
        noise_estimate.score(case(0.5), "learned", NoiseEstimate(0.9)),
    ]
    table = noise_card.estimator_table(rows)
    assert "| group | learned | 2 | 10.0% | 10% | 100% | 1 | 1.80 | 100% | 100% | 100% |" in table
    assert noise_card.estimator_scores(rows, ("MR",)) == {"validation-mr": 90.0}
    noise_estimate.print_table(rows)
    assert "10.0%" in capsys.readouterr().out

"""Bootstrap intervals of means: whole patients are drawn."""

import numpy as np
import pytest


def test_intervals_are_those_of_patients_not_of_images() -> None:
    from benchmarks.intervals import mean_interval

    rng = np.random.default_rng(0)
    levels = rng.normal(0, 1, 100)
    values = np.repeat(levels, 25) + rng.normal(0, 0.1, 2500)
    by_patient = mean_interval(values.tolist(), [str(n // 25) for n in range(2500)])
    by_image = mean_interval(values.tolist(), [str(n) for n in range(2500)])
    expected = 3.92 * levels.std() / 10
    assert by_patient.mean == pytest.approx(values.mean()) == by_image.mean
    assert by_patient.high - by_patient.low == pytest.approx(expected, rel=0.1)
    assert by_image.high - by_image.low == pytest.approx(expected / 5, rel=0.1)

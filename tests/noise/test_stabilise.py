"""The Rician transform gives unit noise, and its inverse takes the bias out."""

import numpy as np
import pytest

from meddenoise.noise.stabilise import Rician


@pytest.mark.parametrize("signal", [10.0, 30.0, 100.0, 1000.0])
def test_noise_becomes_one_and_the_bias_goes(signal: float) -> None:
    rng = np.random.default_rng(0)
    transform = Rician(10.0)
    noisy = np.hypot(signal + rng.normal(0, 10, 200_000), rng.normal(0, 10, 200_000))
    stable = transform.forward(noisy)
    assert stable.std() == pytest.approx(1, abs=0.07)
    assert transform.inverse(np.array([stable.mean()]))[0] == pytest.approx(signal, rel=0.01)


def test_an_empty_background_becomes_zero() -> None:
    rng = np.random.default_rng(0)
    transform = Rician(10.0)
    stable = transform.forward(np.hypot(rng.normal(0, 10, 200_000), rng.normal(0, 10, 200_000)))
    assert transform.inverse(np.array([stable.mean()]))[0] < 3


def test_a_map_of_levels_is_followed_and_far_values_carry_on() -> None:
    levels = np.array([[1.0, 5.0], [10.0, 1e-3]], np.float32)
    signal = np.array([[40.0, 200.0], [400.0, 9000.0]], np.float32)
    transform = Rician(levels)
    stable = transform.forward(signal)
    assert stable.dtype == np.float32 and np.isfinite(stable).all()
    assert transform.inverse(stable)[:1] == pytest.approx(signal[:1], rel=0.01)

"""The noise of files that state no modality."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.level import estimate_series
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series


def test_rician_noise_is_found_where_no_modality_is_stated() -> None:
    phantom = make_phantom("mr", size=192, planes=1)
    rng = np.random.default_rng(0)
    real, imaginary = (80 * rng.standard_normal(phantom.truth.shape) for _ in range(2))
    noisy = np.hypot(phantom.truth + real, imaginary).astype(np.float32)
    estimate = estimate_series(replace(to_series(phantom, noisy, "noisy"), modality=""))
    assert estimate.model == "rician"
    assert estimate.sigma == pytest.approx(80, rel=0.1)

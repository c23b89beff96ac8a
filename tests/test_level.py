"""The modality of files that do not state it, and what follows for the noise estimate."""

from dataclasses import replace

import numpy as np
import pytest

from meddenoise.level import estimate_series, likely_modality
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import to_series
from meddenoise.series import Series


def unnamed(kind: str, sigma: float = 0.0, rician: bool = False) -> Series:
    phantom = make_phantom(kind, size=192, planes=1)
    rng = np.random.default_rng(0)
    noisy = phantom.truth + sigma * rng.standard_normal(phantom.truth.shape)
    if rician:
        noisy = np.hypot(noisy, sigma * rng.standard_normal(phantom.truth.shape))
    return replace(to_series(phantom, noisy.astype(np.float32), "noisy"), modality="")


@pytest.mark.parametrize(
    ("kind", "sigma", "modality"), [("ct", 0, "CT"), ("ct", 100, "CT"), ("mr", 60, ""), ("xray", 0, "")]
)
def test_ct_is_known_by_its_air(kind: str, sigma: float, modality: str) -> None:
    assert likely_modality(unnamed(kind, sigma)) == modality


def test_what_the_file_states_is_taken() -> None:
    assert likely_modality(replace(unnamed("ct"), modality="PT")) == "PT"


def test_rician_noise_is_found_where_no_modality_is_stated() -> None:
    estimate = estimate_series(unnamed("mr", 80, rician=True))
    assert estimate.middle.model == "rician"
    assert estimate.sigma == pytest.approx(80, rel=0.1)

"""The bundled weights, on phantoms whose truth is known: they help, they keep quiet, they invent nothing."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from meddenoise import Options, denoise
from meddenoise.methods import rows
from meddenoise.methods.choice import choose
from meddenoise.phantom import make_phantom
from meddenoise.phantom.acquire import acquire, dose_noise, to_series
from meddenoise.series import Series
from meddenoise.weights.manifest import published

LEAST_GAIN_DB = {
    "direct": {"ct": 4.5, "mr": 10.0, "xray": 6.5, "fluoro": 10.5},
    "diffdenoise": {"ct": 4.2, "mr": 9.3, "xray": 6.5, "fluoro": 10.5},
}
"""A little under what was measured with these weights and the program's own estimate of the noise."""
SIZE = 256
METHODS = tuple(LEAST_GAIN_DB)
KINDS = ("ct", "mr", "xray", "fluoro")
every_method = pytest.mark.parametrize("method", METHODS)
Values = NDArray[np.float32]


@cache
def study(kind: str) -> tuple[Series, Values]:
    """A noisy phantom plane of the physics of its modality, and its truth."""
    phantom = make_phantom(kind, size=SIZE, planes=1, seed=3)
    noisy, _ = acquire(phantom, dose_noise(phantom), seed=3)
    return to_series(phantom, noisy, "noisy"), phantom.truth


def with_values(series: Series, values: Values) -> Series:
    """The series with other values, as float pixels that hold anything."""
    limit = float(np.finfo(np.float32).max)
    return replace(series, pixels=values.astype(np.float32), stored_range=(-limit, limit))


def error(series: Series, truth: Values) -> float:
    return float(np.sqrt(np.mean((series.values(0, 1) - truth) ** 2)))


def db(before: float, after: float) -> float:
    return 20 * np.log10(before / after)


def test_every_bundled_checkpoint_is_small_enough() -> None:
    rows = [row for row in published().values() if row.source == "bundled"]
    assert rows
    assert all(row.bytes <= 24 << 20 for row in rows)
    assert sum(row.bytes for row in rows) <= 90 << 20


@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_of_the_modality_is_reduced(method: str, kind: str) -> None:
    noisy, truth = study(kind)
    assert (
        db(error(noisy, truth), error(denoise(noisy, Options(method=method)).series, truth))
        > LEAST_GAIN_DB[method][kind]
    )


@every_method
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.3, 1, 4])
def test_little_noise_is_never_made_worse(method: str, kind: str, level: float) -> None:
    truth = study(kind)[1]
    sigma = level / 255 * (2000 if kind == "ct" else np.percentile(truth, 99.9))
    noise = sigma * np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    noisy = with_values(study(kind)[0], truth + noise)
    assert db(error(noisy, truth), error(denoise(noisy, Options(method=method)).series, truth)) > -0.05


@every_method
@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_a_level_told_20_percent_wrong_costs_less_than_half_a_decibel(method: str, kind: str) -> None:
    truth = study(kind)[1]
    sigma = 25 / 255 * (2000 if kind == "ct" else np.percentile(truth, 99.9))
    noise = sigma * np.random.default_rng(1).standard_normal(truth.shape).astype(np.float32)
    noisy = with_values(study(kind)[0], truth + noise)
    right, low, high = (
        error(denoise(noisy, Options(method=method, sigma=float(f * sigma))).series, truth)
        for f in (1, 0.8, 1.2)
    )
    assert db(right, low) > -0.5 and db(right, high) > -0.5


@every_method
def test_metal_far_outside_the_training_range_survives(method: str) -> None:
    noisy, truth = study("ct")
    metal = truth.copy()
    metal[:, 120:136, 120:136] = 30_000
    told = Options(method=method, sigma=14.0)
    result = denoise(with_values(noisy, noisy.values(0, 1) - truth + metal), told).series.values(0, 1)
    inside = result[:, 123:133, 123:133]
    assert inside == pytest.approx(np.full(inside.shape, 30_000), rel=0.005)
    far = np.ones(truth.shape, bool)
    far[:, 100:156, 100:156] = False
    plain = denoise(with_values(noisy, noisy.values(0, 1)), told).series.values(0, 1)
    assert np.abs(result - plain)[far].mean() < 3.0  # HU, under noise of 14


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (50.0, 1e4)])
def test_units_do_not_matter(scale: float, offset: float) -> None:
    noisy = study("fluoro")[0]
    values = noisy.values(0, 1)
    plain = denoise(with_values(noisy, values), Options(precision="fp32")).series.values(0, 1)
    moved = denoise(with_values(noisy, scale * values + offset), Options(precision="fp32")).series.values(
        0, 1
    )
    change = np.abs(plain - values).mean()
    assert np.abs((moved - offset) / scale - plain).mean() < 0.02 * change


@every_method
def test_pure_noise_is_flattened_and_nothing_appears_in_it(method: str) -> None:
    noise = np.random.default_rng(5).normal(0, 20, (1, 256, 256)).astype(np.float32)
    result = denoise(with_values(study("ct")[0], noise), Options(method=method, sigma=20.0)).series.values(
        0, 1
    )
    assert result.std() < 0.2 * 20
    assert np.abs(result - result.mean()).max() < 20


@every_method
def test_a_faint_disc_keeps_its_contrast(method: str) -> None:
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:256, :256]
    discs = sum(
        (np.hypot(y - cy, x - cx) < 12) for cy in range(40, 256, 60) for cx in range(40, 256, 60)
    ).astype(np.float32)
    truth = 50 + 15 * discs[None]  # 15 HU under noise of 15 HU
    noisy = with_values(study("ct")[0], truth + rng.normal(0, 15, truth.shape).astype(np.float32))
    result = denoise(noisy, Options(method=method)).series.values(0, 1)[0]
    contrast = result[discs > 0].mean() - result[discs == 0].mean()
    assert 0.8 * 15 < contrast < 1.1 * 15


@pytest.mark.parametrize("kind", ["ct"])
def test_half_precision_costs_next_to_nothing(kind: str) -> None:
    # Phantoms are smoother than anything real, so this is wider than the 0.02 dB of real images.
    noisy, truth = study(kind)
    full, half = (error(denoise(noisy, Options(precision=p)).series, truth) for p in ("fp32", "bf16"))
    assert db(full, half) > -0.04


def test_tiles_leave_no_seams() -> None:
    noisy = study("mr")[0]
    whole = denoise(noisy, Options(precision="fp32")).series.values(0, 1)
    tiled = denoise(noisy, Options(precision="fp32", tile=128)).series.values(0, 1)
    change = np.abs(whole - noisy.values(0, 1)).mean()
    assert np.abs(tiled - whole).mean() < 0.05 * change


@pytest.mark.parametrize("modality", ["CT", "MR", "DX", "XA", "US", ""])
def test_auto_takes_a_method_that_knows_the_noise_of_scanners(modality: str) -> None:
    for is_cine in (False, True):
        row = rows()[choose("auto", None, modality, is_cine).method.name]
        assert not row.white_only
        assert row.temporal == (is_cine and modality == "XA")


@pytest.mark.parametrize(
    ("modality", "is_cine", "weights"),
    [
        ("XA", True, "befoi"),
        ("RF", True, "befoi"),
    ]
    + [(modality, False, "direct") for modality in ("CT", "MR", "DX", "CR", "XA", "RF", "")],
)
def test_auto_takes_what_the_readme_says(modality: str, is_cine: bool, weights: str) -> None:
    """Scores of a new measurement can tip the choice between methods that are level."""
    assert choose("auto", None, modality, is_cine).weights == weights

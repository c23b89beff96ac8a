"""Properties that hold for every image: symmetry, shifts, scales, mirrors, perfect scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meddenoise.metrics import METRICS, Protocol
from meddenoise.metrics.measure import Compared, Wanted, measure
from meddenoise.noise import NoiseEstimate

RANGE = Protocol(data_range=1000.0, noise=NoiseEstimate(30.0))
SIDE = 176
SYMMETRIC = ("psnr", "ssim", "ms_ssim", "rmse", "mae", "gmsd", "nps_peak", "nps_mean")
SHIFTED = (
    *("psnr", "rmse", "mae", "bias", "hfen", "gmsd", "acutance", "reblur", "nps_peak", "nps_mean"),
    *("residual_ratio", "residual_structure", "residual_whiteness", "residual_nps_distance"),
)
PURE = tuple(
    name for name, row in METRICS.items() if row.needs != "method" and not (row.region or row.optional)
)
IN_UNIT = tuple(name for name in PURE if METRICS[name].unit == "image")
MIRRORED = tuple(name for name in PURE if name != "reblur")

Planes = NDArray[np.float64]
images = st.integers(0, 2**16).map(lambda seed: _pair(seed))
few = settings(max_examples=8, deadline=None, derandomize=True)


def _pair(seed: int) -> tuple[Planes, Planes]:
    rng = np.random.default_rng(seed)
    reference = gaussian_filter(rng.normal(size=(1, SIDE, SIDE)), (0, 4, 4)) * rng.uniform(1000, 5000)
    return reference + rng.normal(rng.uniform(-9, 9), rng.uniform(5, 50), reference.shape), reference


def values(x: Planes, y: Planes, protocol: Protocol = RANGE) -> dict[str, float | None]:
    return measure(Compared(x, y, y), protocol).values


@few
@given(images)
def test_symmetric_metrics_do_not_care_which_image_is_the_reference(pair: tuple[Planes, Planes]) -> None:
    there, back = (values(*planes, RANGE) for planes in (pair, pair[::-1]))
    for name in SYMMETRIC:
        assert there[name] == pytest.approx(back[name], rel=1e-9), name
    assert there["bias"] == pytest.approx(-back["bias"], rel=1e-9)


@few
@given(images, st.floats(-30000, 30000))
def test_a_shift_of_both_images_changes_no_error(pair: tuple[Planes, Planes], shift: float) -> None:
    x, y = pair
    still, moved = values(x, y), values(x + shift, y + shift)
    for name in SHIFTED:
        assert moved[name] == pytest.approx(still[name], rel=1e-5, abs=1e-7), name


@few
@given(images, st.floats(0.01, 100))
def test_a_change_of_unit_scales_errors_and_nothing_else(pair: tuple[Planes, Planes], scale: float) -> None:
    x, y = pair
    scaled = replace(RANGE, data_range=1000.0 * scale, noise=NoiseEstimate(30.0 * scale))
    still, moved = values(x, y), values(x * scale, y * scale, scaled)
    for name in PURE:
        factor = scale if name in IN_UNIT else 1.0
        assert moved[name] == pytest.approx(still[name] * factor, rel=1e-4), name


@few
@given(images)
def test_turned_and_mirrored_images_measure_the_same(pair: tuple[Planes, Planes]) -> None:
    still = values(*pair)
    turned = values(*(np.rot90(planes, 2, axes=(1, 2)) for planes in pair))
    for name in MIRRORED:
        assert turned[name] == pytest.approx(still[name], rel=1e-6), name


@few
@given(images)
def test_identical_images_have_perfect_scores_and_more_noise_is_worse(pair: tuple[Planes, Planes]) -> None:
    x, y = pair
    perfect = values(y, y)
    assert perfect["psnr"] is None and perfect["ssim"] == pytest.approx(1) == perfect["ms_ssim"]
    assert [perfect[name] for name in ("rmse", "mae", "bias", "hfen", "gmsd")] == [0] * 5
    near, far = values(x, y), values(y + 2 * (x - y), y)
    for name in ("psnr", "ssim", "ms_ssim"):
        assert far[name] < near[name]
    for name in ("rmse", "mae", "hfen", "gmsd", "acutance"):
        assert far[name] > near[name]


@few
@given(images)
def test_two_equal_planes_measure_as_one_in_either_scope(pair: tuple[Planes, Planes]) -> None:
    one = values(*pair)
    two = [planes.repeat(2, axis=0) for planes in pair]
    for scope in ("volume", "plane"):
        both = values(*two, replace(RANGE, scope=scope))
        for name in PURE:
            assert both[name] == pytest.approx(one[name], rel=1e-9), name


def test_clipping_is_for_what_is_compared_with_a_reference_alone() -> None:
    x, y = _pair(1)
    window = (float(y.min()) / 2, float(y.max()) / 2)
    clipped = measure(Compared(x, y, y), replace(RANGE, window=window))
    by_hand = measure(Compared(np.clip(x, *window), np.clip(y, *window)), RANGE)
    plain = values(x, y)
    for name, row in METRICS.items():
        if name in plain:
            expected = by_hand.values if row.needs == "reference" else plain
            assert clipped.values[name] == expected[name], name
    assert clipped.values["rmse"] < plain["rmse"]


def test_a_hook_is_called_with_result_and_reference() -> None:
    x, y = _pair(2)
    wanted = Wanted(["mae"], {"largest": lambda result, reference, _: float((result - reference).max())})
    assert measure(Compared(x, y), RANGE, wanted).values == {
        "mae": pytest.approx(np.abs(x - y).mean()),
        "largest": (x - y).max(),
    }
    assert measure(Compared(x), RANGE, wanted).values == {}

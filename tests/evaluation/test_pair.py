"""One result against its partners: which pixels count, in which range, and what is said about the images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import InputError
from meddenoise.evaluation.pair import EvaluationOptions, evaluate_series, shared_unit
from meddenoise.metrics.measure import Wanted
from meddenoise.metrics.presets import parse_preset
from meddenoise.metrics.regions import Box, Circle
from meddenoise.noise import NoiseEstimate, SeriesNoise
from meddenoise.series import Geometry, Series
from tests.plain import series

SHAPE = (3, 24, 32)
NOISE = SeriesNoise((NoiseEstimate(5.0),) * SHAPE[0])
SIMPLE = Wanted(("rmse", "mae", "bias"))
HOLE = np.float32(np.nan)


def image(seed: int, name: str = "in", **facts: Any) -> Series:
    pixels = np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)
    return series(pixels, path=Path(f"{name}.nii"), files=(Path(f"{name}.nii"),), **facts)


def options(**more: Any) -> EvaluationOptions:
    return EvaluationOptions(**({"wanted": SIMPLE, "noise": NOISE} | more))


def holed(one: Series, seed: int, share: float) -> Series:
    pixels = one.pixels.copy()
    pixels[np.random.default_rng(seed).random(SHAPE) < share] = HOLE
    return replace(one, pixels=pixels)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0, 0.4), st.booleans(), st.booleans())
def test_pixels_count_where_all_images_have_one(seed: int, share: float, per_plane: bool, cut: bool) -> None:
    result, truth, noisy = (holed(image(seed + n, name), seed + n, share) for n, name in enumerate("rtn"))
    crop = Box(2, 3, 18, 25, 2, 3) if cut else None
    pair = evaluate_series(result, truth, noisy, options(per_plane=per_plane, crop=crop))
    part = (slice(1, 3), slice(2, 20), slice(3, 28)) if cut else (slice(None),) * 3
    known = np.isfinite(result.pixels + truth.pixels + noisy.pixels)[part]
    assert np.array_equal(pair.protocol.mask, known)
    for measured, one in ((pair.metrics, result), (pair.before, noisy)):
        off = np.where(known, one.pixels[part] - truth.pixels[part], np.nan).astype(np.float64)
        axis = (1, 2) if per_plane else None
        assert measured is not None
        assert measured.values == pytest.approx(
            {
                "rmse": np.mean(np.sqrt(np.nanmean(off**2, axis))),
                "mae": np.mean(np.nanmean(abs(off), axis)),
                "bias": np.mean(np.nanmean(off, axis)),
            },
            rel=1e-5,
        )


def test_the_share_that_is_done_rises_to_1_over_both_images() -> None:
    for noisy, most in ((None, 3), (image(2), 6)):
        shares: list[float] = []
        evaluate_series(image(0), image(1), noisy, options(), shares.append)
        assert shares == pytest.approx([(n + 1) / most for n in range(most)])


def test_range_and_window_are_those_of_the_reference_and_only_with_one() -> None:
    result, truth = image(0), image(1, modality="CT", unit="HU")
    preset = parse_preset("ct-window:40:400")
    pair = evaluate_series(result, truth, None, options(preset=preset))
    assert pair.protocol.data_range == 400 and pair.protocol.window == (-160, 240)
    assert pair.protocol.unit == "HU" and shared_unit("rmse", [pair]) == "HU"
    given_range = evaluate_series(result, truth, None, options(data_range=123.0))
    assert (given_range.protocol.data_range, given_range.protocol.range_source) == (123.0, "is given")
    lone = evaluate_series(replace(result, unit="HU"), None, None, options(data_range=9.0, preset=preset))
    assert lone.protocol.data_range is None and lone.protocol.window is None and lone.protocol.unit == "HU"
    assert lone.metrics.values == {} and lone.before is None and lone.truth is None
    assert shared_unit("rmse", [pair, evaluate_series(result, image(1), None, options())]) is None


def test_the_spacing_is_that_of_the_first_that_states_one() -> None:
    known, unknown = Geometry((3.0, 0.5, 0.7)), Geometry(known=False)
    for ours, theirs, expected in (
        (unknown, known, (0.5, 0.7)), (known, unknown, (0.5, 0.7)), (unknown, unknown, None),
    ):  # fmt: skip
        pair = evaluate_series(image(0, geometry=ours), image(1, geometry=theirs), None, options())
        assert pair.protocol.spacing_mm == expected


def test_the_patient_is_that_of_the_partners_else_their_file() -> None:
    result, truth, noisy = image(0, "r", subject="own"), image(1, "t"), image(2, "n")
    assert evaluate_series(result, truth, noisy, options()).case == "own"
    named = replace(noisy, subject="patient")
    assert evaluate_series(result, truth, named, options()).case == "patient"
    assert evaluate_series(replace(result, subject=""), truth, noisy, options()).case == "t.nii"
    assert evaluate_series(replace(result, subject=""), None, noisy, options()).case == "n.nii"


def test_the_reference_has_its_own_value_of_what_should_come_near_it() -> None:
    wanted = Wanted(("rmse", "acutance", "reblur"))
    truth = image(1)
    pair = evaluate_series(image(0), truth, None, options(wanted=wanted))
    assert pair.truth is not None and set(pair.truth.values) == {"acutance", "reblur"}
    of_itself = evaluate_series(truth, truth, None, options(wanted=wanted))
    assert pair.truth.values == {name: of_itself.metrics.values[name] for name in pair.truth.values}


def test_images_that_are_the_same_are_named_each_in_its_own_sentence() -> None:
    result, truth, noisy = image(0, "r"), image(1, "t"), image(2, "n")

    def said(*images: Series | None) -> list[str]:
        pair = evaluate_series(*images, options())
        return [text for text in pair.warnings if "identical" in text or "itself" in text]

    assert said(result, truth, noisy) == []
    (copied,) = said(replace(truth, path=result.path), truth, noisy)
    assert copied == "it is identical to its reference t.nii: was the reference denoised, or copied?"
    (idle,) = said(replace(noisy, path=result.path), truth, noisy)
    assert idle == "it is identical to the noisy image n.nii: nothing was removed."
    (own,) = said(result, replace(noisy, path=truth.path), noisy)
    assert own.startswith("the reference t.nii is the noisy image n.nii itself")


def test_numbers_of_the_result_that_are_not_finite_are_counted_but_not_those_of_the_reference() -> None:
    result, truth = image(0), image(1)
    result.pixels[0, :2, :3] = np.inf
    truth.pixels[0, 0, :3] = np.nan
    pair = evaluate_series(result, truth, None, options())
    assert pair.warnings[0] == "3 pixels are NaN or infinite: they do not count in any metric."
    alone = evaluate_series(result, None, None, options())
    assert alone.warnings[0].startswith("6 pixels are")


def test_regions_are_moved_into_the_crop_and_checked_in_the_image() -> None:
    crop = Box(4, 6, 16, 20)
    pair = evaluate_series(
        image(0), image(1), None, options(crop=crop, rois=(Box(5, 8, 4, 4),), edge=Circle(12, 16, 3))
    )
    assert pair.protocol.rois == (Box(1, 2, 4, 4),) and pair.protocol.edge == Circle(8, 10, 3)
    for wrong in ({"crop": Box(20, 0, 5, 5)}, {"rois": (Box(0, 30, 2, 3),)}, {"edge": Circle(2, 2, 3)}):
        with pytest.raises(InputError, match=r"lies outside in\.nii"):
            evaluate_series(image(0), image(1), None, options(**wrong))


def test_noise_is_measured_before_and_after_in_the_unit_of_the_image() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (2, 64, 64)).astype(np.float32)
    result, noisy = series(100 + noise / 4, unit="HU"), series(100 + noise, unit="HU")
    pair = evaluate_series(result, None, noisy, EvaluationOptions(wanted=Wanted(("residual_ratio",))))
    assert pair.protocol.noise is not None and pair.protocol.noise.sigma == pytest.approx(8, rel=0.15)
    assert (pair.removal.before, pair.removal.after) == pytest.approx((8, 2), rel=0.1)
    assert pair.metrics.values["residual_ratio"] == pytest.approx(0.75, rel=0.15)
    other = series((100 + rng.normal(0, 8, noise.shape)).astype(np.float32), unit="HU")
    unlike = evaluate_series(other, None, noisy, options())
    assert any("do not fit together" in text for text in unlike.warnings)

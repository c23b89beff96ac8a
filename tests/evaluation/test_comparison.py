"""Means over patients, hooks and protocols by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from meddenoise.errors import InputError, UsageError
from meddenoise.evaluation import evaluate
from meddenoise.evaluation.comparison import bootstrap_interval, compare, signed_rank, stand
from meddenoise.io.memory import as_series
from meddenoise.metrics import Protocol, UndefinedError
from meddenoise.metrics.downstream import accuracy, dice
from meddenoise.metrics.measure import Measurement
from meddenoise.metrics.presets import data_range, parse_preset
from meddenoise.series import Geometry, Series

RNG = np.random.default_rng(4)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ((np.zeros((9, 9)), np.zeros((9, 9))), "ndarray"),
        ((["r.nii"], np.zeros((9, 9))), "ndarray"),
        (([as_series(np.zeros((9, 9)))],), "Series"),
        ((as_series(np.zeros((9, 9))), as_series(np.zeros((9, 9)))), "Series"),
        (("r.nii", "t.nii"), "str"),
        ((None,), "NoneType"),
    ],
)
def test_only_lists_of_paths_are_evaluated(given: tuple[Any, ...], kind: str) -> None:
    with pytest.raises(UsageError, match=f"was given an object of type {kind}: give a list of the paths"):
        evaluate(*given)


def measured(**values: float | None) -> Measurement:
    return Measurement(dict(values), ())


def test_the_interval_is_that_of_the_mean_and_holds_it_19_times_in_20() -> None:
    values = RNG.normal(30, 2, 40)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(40)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1)
    assert bootstrap_interval(values) == (low, high)
    held = sum(
        low <= 0 <= high for low, high in (bootstrap_interval(RNG.normal(0, 1, 30)) for _ in range(60))
    )
    assert 50 <= held <= 60
    assert bootstrap_interval([3.0, 3.0]) == (3.0, 3.0)
    with pytest.raises(UndefinedError, match="two patients"):
        bootstrap_interval([1.0])


def test_the_signed_rank_test_is_scipys_and_needs_six_patients() -> None:
    differences = RNG.normal(0.5, 1, 12)
    assert signed_rank(differences) == pytest.approx(wilcoxon(differences).pvalue)
    assert signed_rank([1.0, 2, 3, 4, 5, 6]) == pytest.approx(2 / 2**6)
    with pytest.raises(UndefinedError, match="6 patients"):
        signed_rank([1.0, 2, 3, 4, 5])
    with pytest.raises(UndefinedError, match="no difference"):
        signed_rank([0.0] * 8)


def test_patients_count_alike_however_many_series_they_have() -> None:
    many = [("a", measured(psnr=value)) for value in (30.0, 31.0, 32.0, 33.0)]
    standing = stand("x", [*many, ("b", measured(psnr=40.0))], [(4.0, 1.0), (2.0, 3.0)])
    assert standing.mean.values["psnr"] == pytest.approx(33.2)
    assert (standing.cases, standing.results) == (2, 5)
    assert (standing.sigma_before, standing.sigma_after) == (3.0, 2.0)
    assert standing.intervals["psnr"] == (31.5, 40.0)
    (row,) = compare(
        "x",
        [*many, ("b", measured(psnr=40.0))],
        "y",
        [("b", measured(psnr=38.0)), ("a", measured(psnr=30.5))],
    )
    assert row.difference == pytest.approx(1.5) and row.interval == (1.0, 2.0)
    assert row.p is None and "6 patients" in row.why and row.cases == 2


def test_comparisons_are_paired_and_leave_out_who_has_no_value() -> None:
    level = RNG.normal(30, 10, 9)
    ours = [(str(n), measured(psnr=level[n] + 1 + 0.01 * n, ssim=None)) for n in range(9)]
    theirs = [(str(n), measured(psnr=level[n], ssim=0.9)) for n in reversed(range(8))]
    (row,) = compare("ours", ours, "theirs", theirs)
    assert (row.metric, row.name, row.against, row.cases) == ("psnr", "ours", "theirs", 8)
    assert row.difference == pytest.approx(1.035) and 1 < row.interval[0] < row.interval[1] < 1.07
    assert row.p == pytest.approx(2 / 2**8)
    assert compare("ours", ours[:1], "theirs", theirs) == []


def test_dice_is_that_of_the_hook_on_both_images() -> None:
    reference = np.zeros((2, 10, 10))
    reference[:, :5] = 100
    result = np.roll(reference, 1, axis=1)
    hook = dice(lambda image: image > 50)
    assert hook(result, reference, Protocol()) == pytest.approx(0.8)
    assert hook(reference, reference, Protocol()) == 1
    mask = np.zeros(reference.shape, bool)
    mask[:, 1:5] = True
    assert hook(result, reference, Protocol(mask=mask)) == 1
    labels = dice(lambda image: np.digitize(image, [50, 150]))
    reference[:, 8:] = 200
    result = np.where(reference == 200, 0, reference)
    assert labels(result, reference, Protocol()) == pytest.approx(0.5)
    with pytest.raises(UndefinedError, match="nothing is segmented"):
        hook(0 * result, 0 * result, Protocol())
    with pytest.raises(ValueError, match="labels"):
        dice(lambda image: image[0])(result, reference, Protocol())


def test_accuracy_is_the_share_of_planes_with_the_same_label() -> None:
    reference = np.arange(4.0)[:, None, None] * np.ones((4, 8, 8))
    hook = accuracy(lambda image: image.mean(axis=(1, 2)) > 1.5)
    assert hook(reference, reference, Protocol()) == 1
    assert hook(reference - 1, reference, Protocol()) == 0.75
    with pytest.raises(UndefinedError):
        hook(reference[:0], reference[:0], Protocol())


def series(**changes: object) -> Series:
    pixels = np.arange(2 * 9, dtype=np.int16).reshape(2, 3, 3)
    made = Series(
        pixels, np.ones(2), np.zeros(2), (-32768, 32767), Geometry(), "nifti", Path("a.nii"), (Path("a.nii"),)
    )
    return replace(made, **changes)


def test_a_protocol_chooses_range_and_window() -> None:
    valid = np.ones((2, 3, 3), bool)
    ct = series(modality="CT", unit="HU")
    assert data_range(ct, valid, parse_preset("ct-hu"))[0] == 2000
    soft = parse_preset("ct-window:40:400")
    assert soft.window == (-160, 240) and data_range(ct, valid, soft)[0] == 400
    assert data_range(ct, valid, parse_preset("patient-range"))[0] == 17
    grey = series(stored_range=(0.0, 255.0))
    assert data_range(grey, valid, parse_preset("8bit"))[0] == 255
    assert data_range(grey, valid, parse_preset("patient-range"))[0] == 17
    # a file that states neither modality nor unit is taken at the user's word
    assert data_range(series(), valid, soft)[0] == 400


def test_a_protocol_that_does_not_fit_the_image_is_refused_naming_it() -> None:
    valid = np.ones((2, 3, 3), bool)
    with pytest.raises(InputError, match=r"a\.nii is MR, not CT in HU"):
        data_range(series(modality="MR"), valid, parse_preset("ct-hu"))
    with pytest.raises(InputError, match=r"a\.nii is not an 8\-bit image"):
        data_range(series(), valid, parse_preset("8bit"))


@pytest.mark.parametrize(
    "text", ["ct", "", "ct-window", "ct-window:40", "ct-window:40:0", "ct-window:nan:400", "ct-window:1:2:3"]
)
def test_an_unknown_protocol_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="protocol"):
        parse_preset(text)

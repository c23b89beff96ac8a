"""Trials of methods: which planes, which method is suggested, and how the trial is shown."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.evaluation.trial import TIE_DB, TIE_SHARE, Sample, Trial, suggest, take_sample
from meddenoise.evaluation.trial_report import as_document, exhibits
from meddenoise.series import Geometry
from meddenoise.trust import Trust
from meddenoise.trust.removal import Removal
from tests.plain import series


def trial(method: str, verdict: Any = "ok", **facts: Any) -> Trial:
    return Trial(method, trust=None if verdict == "unjudged" else Trust(verdict), **facts)


def planes(count: int, **facts: Any) -> Any:
    return series(np.arange(count * 4, dtype=np.float32).reshape(count, 2, 2), **facts)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.sampled_from([1, 3]), st.booleans())
def test_planes_are_spread_or_follow_each_other_in_the_middle(count: int, channels: int, cine: bool) -> None:
    whole = planes(count * channels, channels=channels, frame_time_ms=40.0 if cine else None)
    found = take_sample(whole, whole)
    frames = np.array(found.planes)
    assert found.planes_in_all == count and len(frames) == min(count, 5 if cine and count > 1 else 3)
    assert np.all(np.diff(frames) == 1) if cine else np.all(np.diff(frames) > 0)
    # as far from one end as from the other
    assert abs(frames[0] - (count - 1 - frames[-1])) <= 1
    stored = (frames[:, None] * channels + np.arange(channels)).ravel()
    assert np.array_equal(found.noisy.pixels, whole.pixels[stored]) and found.is_its_own_reference


def test_the_reference_follows_the_planes_and_takes_the_place_of_the_image() -> None:
    noisy = planes(6, geometry=Geometry((3.0, 1.0, 1.0), (0.0, 0.0, 3.0)), frame_time_ms=None)
    truth = planes(9, geometry=Geometry((3.0, 1.0, 1.0)), slope=np.arange(9.0), intercept=-np.arange(9.0))
    found = take_sample(noisy, truth)
    assert found.planes == (1, 3, 5) and found.reference is not None
    assert np.array_equal(found.reference.pixels, truth.pixels[[2, 4, 6]])
    assert found.reference.slope.tolist() == [2, 4, 6] and found.reference.intercept.tolist() == [-2, -4, -6]
    assert found.reference.geometry == found.noisy.geometry == noisy.geometry
    assert not found.is_its_own_reference and not take_sample(noisy, None).is_its_own_reference


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "look", "reject", "no effect"]), st.floats(20, 21), st.floats(0, 9)),
        max_size=6,
    )
)
def test_the_suggestion_is_the_quickest_of_the_level_best_that_can_be_trusted(
    rows: list[tuple[Any, float, float]],
) -> None:
    trials = [
        trial(f"m{n}", verdict, metrics={"psnr": psnr}, seconds=seconds)
        for n, (verdict, psnr, seconds) in enumerate(rows)
    ]
    pool = [row for row in rows if row[0] == "ok"] or [row for row in rows if row[0] == "look"]
    found = suggest(trials)
    if not pool:
        assert found is None
        return
    assert found is not None
    best = max(psnr for _, psnr, _ in pool)
    level = [row for row in pool if -row[1] <= -best + TIE_DB]
    chosen = rows[int(found.method[1:])]
    assert chosen in level and chosen[2] == min(seconds for _, _, seconds in level)
    assert len(found.ties) == len(level) - 1 and found.method not in found.ties
    among = "trust ok" if pool[0][0] == "ok" else "none is trusted without a look"
    assert found.why == f"the highest PSNR; {among}"


def test_without_psnr_of_all_the_estimated_error_decides_and_then_the_noise_left() -> None:
    a = trial("a", risk=10.0, seconds=9.0, metrics={"psnr": 30.0}, removal=Removal(after=5.0))
    b = trial("b", risk=10.0 * (1 + TIE_SHARE), seconds=1.0, removal=Removal(after=1.0))
    c = trial("c", risk=10.0 * (1 + 1.01 * TIE_SHARE), seconds=0.1, removal=Removal(after=1.01))
    found = suggest([a, b, c])
    assert found is not None
    assert (found.method, found.ties, found.why) == ("b", ("a",), "the least estimated error; trust ok")
    least = suggest([replace(a, risk=None), b, c])
    assert least is not None
    assert (least.method, least.ties, least.why) == ("c", ("b",), "the least noise left; trust ok")
    assert suggest([trial("a"), b]) is None and suggest([]) is None
    unknown = suggest([trial("a", None, risk=1.0), trial("b", "unjudged", risk=0.1)])
    assert unknown is not None and unknown.method == "a"


def test_the_pictures_are_of_input_reference_and_every_result_with_its_verdict() -> None:
    image = planes(1)
    made = [
        trial("nlm", "look", result=image, metrics={"psnr": 31.456}),
        trial("direct", result=image),
        trial("wavelet", "unjudged", result=image),
        trial("broken", error="why"),
    ]
    shown = exhibits(Sample(image, (0,), 1, image), made)
    assert [(one.name, one.text) for one in shown] == [
        ("input", ""), ("reference", ""), ("nlm", "31.46 dB, look"), ("direct", "ok"),
        ("wavelet", "not judged"),
    ]  # fmt: skip
    assert [one.name for one in exhibits(Sample(image, (0,), 1), made[:1])] == ["input", "nlm"]


@pytest.mark.parametrize("sigma", [0.0, 12.0])
def test_the_document_suggests_only_where_there_is_noise(sigma: float) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (1, 64, 64)).astype(np.float32)
    image = series(100 + noise, unit="HU", modality="CT")
    row = trial("nlm", seconds=math.inf, risk=2.0, removal=Removal(12.0, 3.0, 11.0))
    failed = trial("broken", "unjudged", error="why")
    document = as_document(Sample(image, (4,), 9), [row, trial("slow", risk=1.0), failed], {"bm3d": "why"})
    assert document["sigma"] == pytest.approx(sigma, rel=0.1) and document["reference"] is None
    assert (document["planes"], document["planes_in_all"]) == ([4], 9)
    assert document["left_out"] == {"bm3d": "why"}
    assert document["methods"][0]["seconds_per_plane"] is None
    assert [one["trust"] is None for one in document["methods"]] == [False, False, True]
    assert document["methods"][0]["noise"]["sigma_after"] == 3.0
    assert (document["suggested"] is None) == (sigma == 0)
    assert sigma == 0 or document["suggested"]["method"] == "slow"

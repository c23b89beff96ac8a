"""Pixels as the page holds them: packed without loss, rounded to a share of the noise, reduced by means."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.report.page.pictures import Fineness, Planes, fineness_of, pack, picture, to_steps
from meddenoise.report.page.regions import Region
from meddenoise.report.page.windows import choose_windows

RNG = np.random.default_rng


def unpack(text: str, shape: tuple[int, int], smooth: bool) -> np.ndarray:
    """The same as page.js does, slowly."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).astype(np.int64)
    count = shape[0] * shape[1]
    folded = (raw[:count] << 8) | raw[count:]
    values = (folded >> 1) ^ -(folded & 1)
    if smooth:
        for i in range(1, count):
            left = values[i - 1] if i % shape[1] else values[i - shape[1]]
            up = values[i - shape[1]] if i >= shape[1] else left
            values[i] = np.int64(values[i] + ((left + up) >> 1)).astype(np.int16)
    return values.astype(np.int16).reshape(shape)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12), st.sampled_from([3, 32767]), st.booleans())
def test_packed_pixels_come_back_bit_for_bit(
    seed: int, height: int, width: int, spread: int, smooth: bool
) -> None:
    steps = RNG(seed).integers(-spread, spread + 1, (height, width)).astype(np.int16)
    assert np.array_equal(unpack(pack(steps, smooth=smooth), steps.shape, smooth), steps)


def test_smooth_images_take_less_room_as_differences() -> None:
    y, x = np.indices((64, 64))
    shade = (3000 * np.sin(x / 20) * np.cos(y / 20)).astype(np.int16)
    assert len(pack(shade, smooth=True)) < 0.7 * len(pack(shade, smooth=False))


def test_steps_round_and_limit_and_hold_no_nan() -> None:
    values = np.array([[0.4, 0.6, np.nan, np.inf, -1e30]], np.float32)
    assert to_steps(values, 0.0, 1.0).tolist() == [[0, 1, 0, 32767, -32767]]
    assert to_steps(np.array([[7.0, 4.0]]), 5.0, 0.5).tolist() == [[4, -2]]


def test_one_wild_value_does_not_make_the_rest_coarse() -> None:
    values = RNG(0).normal(100, 10, 100_000)
    values[0], values[1] = 1e30, np.nan
    found = fineness_of(values, 0.0, 0.0)
    # the range of 99.8 % of a normal distribution, 6.18 deviations, in 8192 steps
    assert found.step == pytest.approx(61.8 / 8192, rel=0.03) and found.offset == pytest.approx(100, abs=1)
    assert found.offset / found.step == pytest.approx(round(found.offset / found.step), abs=1e-6)
    assert fineness_of(values, 16.0, 0.0).step == 1.0
    assert fineness_of(values, 0.0, 2.0).step == 2.0
    flat = fineness_of(np.full(4, np.nan), 0.0, 0.0)
    assert flat.step == 1 / 8192 and flat.offset == 0.5
    assert fineness_of(np.zeros(4), 0.0, 0.0).step > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(2, 9), st.sampled_from([1, 3]))
def test_a_plane_is_shown_smaller_by_whole_means_and_its_others_as_differences(
    height: int, width: int, largest: int, coarser: int
) -> None:
    after, before = (RNG(seed).integers(-999, 999, (height, width)).astype(np.float32) for seed in (0, 1))
    planes = Planes(after, np.ones(after.shape, bool), before, rivals=(before,), uncertainty=np.abs(after))
    entry = picture(planes, Fineness(10.0, 0.5), largest=largest, coarser=coarser)
    factor = -(-max(height, width) // largest)
    rows, columns = max(1, height // factor), max(1, width // factor)
    assert (entry["factor"], entry["h"], entry["w"]) == (factor, rows, columns)
    assert max(rows, columns) <= largest

    def kept(name: str, smooth: bool) -> np.ndarray:
        return unpack(entry[name], (rows, columns), smooth).astype(float)

    def mean(plane: np.ndarray) -> np.ndarray:
        tall, wide = min(factor, height), min(factor, width)
        cut = plane[: rows * tall, : columns * wide]
        return cut.reshape(rows, tall, columns, wide).mean(axis=(1, 3))

    shown = kept("after", True)
    assert np.all(shown % coarser == 0)
    assert shown * 0.5 + 10 == pytest.approx(mean(after), abs=0.25 + 0.25 * coarser)
    for name in ("before", "rival0"):
        off = kept(name, False)
        assert np.all(off % coarser == 0)
        assert (shown + off) * 0.5 + 10 == pytest.approx(mean(before), abs=0.25 + 0.25 * coarser)
    assert kept("uncertainty", True) * 0.5 == pytest.approx(mean(np.abs(after)), abs=0.26)
    assert "reference" not in entry


def test_a_region_is_cut_out_in_full() -> None:
    after = np.arange(400, dtype=np.float32).reshape(20, 20)
    planes = Planes(after, after >= 0, reference=2 * after)
    entry = picture(planes, Fineness(0.0, 1.0), Region(0, 3, 5, 8, 0.0), largest=4)
    assert (entry["factor"], entry["h"], entry["w"]) == (1, 8, 8) and "before" not in entry
    assert np.array_equal(unpack(entry["after"], (8, 8), True), after[3:11, 5:13])
    assert np.array_equal(unpack(entry["reference"], (8, 8), False), after[3:11, 5:13])


def test_differences_beyond_what_is_kept_are_cut_also_in_coarser_steps() -> None:
    plane = np.array([[60_000.0, -60_000.0]], np.float32)
    planes = Planes(plane, plane != 0, -plane)
    entry = picture(planes, Fineness(0.0, 1.0), coarser=4)
    assert unpack(entry["after"], (1, 2), True).tolist() == [[32764, -32764]]
    assert unpack(entry["before"], (1, 2), False).tolist() == [[-32764, 32764]]


def test_windows_follow_the_modality_and_are_percentiles_else() -> None:
    values = np.append(np.arange(1001.0), np.nan)
    ct = choose_windows(values, "CT", "HU")
    assert [(one.name, one.low, one.high) for one in ct] == [
        ("Soft tissue", -160, 240), ("Lung", -1350, 150), ("Bone", -450, 1350), ("Brain", 0, 80),
        ("Full range", 0, 1000),
    ]  # fmt: skip
    for modality, unit in (("MR", ""), ("CT", ""), ("DX", "HU")):
        assert [(one.low, one.high) for one in choose_windows(values, modality, unit)] == [
            (5, 995), (0, 1000), (5, 600), (400, pytest.approx(999)),
        ]  # fmt: skip
    assert {(one.low, one.high) for one in choose_windows(np.full(9, 5.0), "MR", "")} == {(5.0, 6.0)}
    assert {(one.low, one.high) for one in choose_windows(np.full(9, np.nan), "MR", "")} == {(0.0, 1.0)}

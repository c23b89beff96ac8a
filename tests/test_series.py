"""Series: values, validity, storing the change only, and the filling of pixels that are no image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy.ndimage import distance_transform_edt

from meddenoise.series import Derivation, Geometry, Series, fill_holes

RNG = np.random.default_rng(0)
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def make(pixels: np.ndarray[Any, Any], slope: float = 1.0, intercept: float = 0.0, **more: Any) -> Series:
    info: Any = np.finfo(pixels.dtype) if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype)
    defaults: dict[str, Any] = {"stored_range": (float(info.min), float(info.max))}
    return Series(
        pixels=pixels,
        slope=np.full(len(pixels), slope),
        intercept=np.full(len(pixels), intercept),
        geometry=Geometry(),
        format="test",
        path=Path("x"),
        files=(),
        **(defaults | more),
    )


@st.composite
def any_series(draw: st.DrawFn) -> Series:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    pixels = draw(hnp.arrays(dtype, (2, 3, 4)))
    slope = draw(st.sampled_from([1.0, 0.5, -2.0, 1e-6, 3e4, 0.0]))
    padding = draw(st.sampled_from([None, (0.0, 0.0), (-5.0, 7.0)]))
    return make(pixels, slope, draw(st.sampled_from([0.0, -1024.0, 1e-3])), padding=padding)


@given(any_series())
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("error")
def test_unchanged_values_give_the_stored_pixels_bit_for_bit(series: Series) -> None:
    stored = series.store(series.values(0, 2), 0, 2)
    assert stored.dtype == series.pixels.dtype
    assert stored.tobytes() == series.pixels.tobytes()


@given(any_series(), st.floats(-1e5, 1e5, width=32))
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("error")
def test_any_change_stays_in_range_and_leaves_what_is_no_image(series: Series, shift: float) -> None:
    stored = series.store(series.values(0, 2) + np.float32(shift), 0, 2)
    keep = ~series.valid(0, 2)
    assert stored[keep].tobytes() == series.pixels[keep].tobytes()
    low, high = series.stored_range
    finite = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
    assert all(low <= float(value) <= high for value in finite.ravel())


def test_a_change_in_units_becomes_a_change_in_stored_steps() -> None:
    series = make(np.array([[[100, 200]]], np.int16), slope=0.5, intercept=-1024)
    values = series.values(0, 1)
    assert values.tolist() == [[[-974.0, -924.0]]]
    assert series.store(values + np.float32(3), 0, 1).tolist() == [[[106, 206]]]


def test_values_are_clipped_to_the_stored_bits() -> None:
    series = make(np.array([[[10, 4000]]], np.uint16), stored_range=(0.0, 4095.0))
    assert series.store(np.array([[[-50, 5000]]], np.float32), 0, 1).tolist() == [[[0, 4095]]]


def test_a_denoised_pixel_never_becomes_padding() -> None:
    series = make(np.array([[[5, -2000, 30]]], np.int16), padding=(-2000.0, 9.0))
    assert series.store(np.array([[[-2000, 7, -9]]], np.float32), 0, 1).tolist() == [[[5, -2000, 10]]]
    below = make(np.array([[[-3]]], np.int16), padding=(0.0, 0.0))
    assert below.store(np.array([[[0.2]]], np.float32), 0, 1).tolist() == [[[-1]]]
    wide = make(np.array([[[9]]], np.uint16), stored_range=(0.0, 4095.0), padding=(0.0, 0.0))
    assert wide.store(np.array([[[-70]]], np.float32), 0, 1).tolist() == [[[1]]]


def test_air_denoised_down_to_the_padding_value_keeps_no_specks() -> None:
    """Magnitude images state 0 as padding and have air just above it: its noise must go all the same."""
    noisy = np.random.default_rng(0).integers(1, 9, (1, 20, 20)).astype(np.uint16)
    series = make(noisy, padding=(0.0, 0.0))
    assert (series.store(np.zeros((1, 20, 20), np.float32), 0, 1) == 1).all()


def test_slices_with_different_slopes_keep_their_own() -> None:
    series = make(np.array([[[10]], [[10]]], np.int16))
    object.__setattr__(series, "slope", np.array([1.0, 2.0]))
    assert series.values(0, 2).ravel().tolist() == [10.0, 20.0]
    assert series.store(np.full((2, 1, 1), 20, np.float32), 0, 2).ravel().tolist() == [20, 10]


def test_nan_and_infinity_stay() -> None:
    pixels = np.array([[[np.nan, np.inf, 1.0]]], np.float32)
    stored = make(pixels).store(np.zeros((1, 1, 3), np.float32), 0, 1)
    assert np.isnan(stored[0, 0, 0]) and np.isinf(stored[0, 0, 1]) and stored[0, 0, 2] == 0


def test_new_pixels_of_another_kind_are_refused() -> None:
    series = make(np.zeros((1, 2, 2), np.int16))
    done = Derivation("m", "d", "s")
    with pytest.raises(ValueError, match="float32"):
        series.with_pixels(np.zeros((1, 2, 2), np.float32), done)
    with pytest.raises(ValueError, match=r"\[1, 2, 3\]"):
        series.with_pixels(np.zeros((1, 2, 3), np.int16), done)
    assert series.with_pixels(series.pixels + 1, done).derivation == done


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    noisy = np.random.default_rng(0).normal(100, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "study" / "a.png")
    exec(compile(example, "README.md", "exec"), {})
    clean = np.asarray(Image.open(tmp_path / "clean" / "a.png"))
    assert clean.std() < 0.5 * noisy.std()


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 33)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_holes_take_a_nearest_valid_value_and_the_rest_stays(shape: tuple[int, int], share: float) -> None:
    before = RNG.normal(size=(3, *shape)).astype(np.float32)
    valid = RNG.random((3, *shape)) >= share
    after = fill_holes(before.copy(), valid)
    assert np.array_equal(after[valid], before[valid])
    for plane, values, mask in zip(after, before, valid, strict=True):
        if not mask.any():
            assert not plane.any()
            continue
        distances = np.rint(distance_transform_edt(~mask) ** 2)
        for y, x in np.argwhere(~mask)[:50]:
            rows, columns = np.nonzero(mask)
            near = (rows - y) ** 2 + (columns - x) ** 2 == distances[y, x]
            assert plane[y, x] in values[rows[near], columns[near]]


def test_planes_with_the_same_holes_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan circle lies around every slice of a CT; the search takes as long as a tenth of the network."""
    searched = []

    def search(mask: np.ndarray, **more: bool) -> np.ndarray:
        searched.append(mask.shape)
        return distance_transform_edt(mask, **more)

    monkeypatch.setattr("scipy.ndimage.distance_transform_edt", search)
    y, x = np.indices((50, 50)) - 25
    circle = np.repeat((np.hypot(x, y) < 21)[None], 4, axis=0)
    planes = RNG.normal(size=circle.shape).astype(np.float32)
    whole = fill_holes(planes.copy(), circle)
    single = np.concatenate([fill_holes(planes[n : n + 1].copy(), circle[n : n + 1]) for n in range(4)])
    assert np.array_equal(whole, single)
    assert len(searched) == 1

"""Regions as a person writes them: read, written back, cut, moved into a crop, refused in one sentence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import InputError, UsageError
from meddenoise.metrics.regions import Box, Circle, parse_box, parse_edge

quick = settings(max_examples=80, deadline=None)
places = st.integers(0, 50)
sizes = st.integers(1, 50)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    first, last = draw(st.sampled_from([(1, 0), (1, 1), (3, 3), (2, 5)]))
    return Box(draw(places), draw(places), draw(sizes), draw(sizes), first, last)


@quick
@given(boxes())
def test_a_box_is_written_as_it_is_read(box: Box) -> None:
    assert parse_box(str(box), "--roi") == box
    assert parse_edge(f" {box} ", "--edge") == box


@quick
@given(st.floats(0, 99), st.floats(0, 99), st.floats(0.5, 40), st.sampled_from([(1, 0), (2, 4)]))
def test_a_circle_is_written_as_it_is_read(row: float, column: float, radius: float, planes) -> None:
    circle = Circle(round(row, 2), round(column, 2), round(radius, 2), *planes)
    assert parse_edge(str(circle), "--edge") == circle


@quick
@given(st.text(alphabet="0123456789.,@- x", max_size=16) | st.text(max_size=8))
def test_any_text_is_a_region_or_one_sentence_with_the_form(text: str) -> None:
    for parse in (parse_box, parse_edge):
        try:
            region = parse(text, "--roi")
        except UsageError as error:
            assert repr(text) in str(error) and "ROW,COLUMN" in str(error)
        else:
            assert parse_edge(str(region), "--roi") == region


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,0",
        "1,2,3,4.5",
        "1,2,3,4@0",
        "1,2,3,4@3-2",
        "1,2,3,4@",
        "-1,2,3,4",
        f"{'9' * 400},1,5,5",
    ],
)
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as ROW,COLUMN,HEIGHT,WIDTH"):
        parse_box(text, "--roi")


@quick
@given(boxes())
def test_a_box_cuts_the_pixels_it_names_and_no_others(box: Box) -> None:
    image = np.arange(6 * 101 * 101).reshape(6, 101, 101)
    cut = box.cut(image)
    assert np.shares_memory(cut, image) and cut.shape[1:] == (box.height, box.width)
    assert cut[0, 0, 0] == image[box.first - 1, box.top, box.left]
    assert len(cut) == (box.last or 6) - box.first + 1


@quick
@given(boxes(), places, places)
def test_a_box_in_a_crop_names_the_same_pixels_or_is_refused(box: Box, top: int, left: int) -> None:
    image = np.arange(5 * 101 * 101).reshape(5, 101, 101)
    crop = Box(top, left, 40, 45)
    try:
        inside = box.inside(crop)
    except InputError as error:
        assert f"outside the crop {crop}" in str(error)
        assert (
            box.top < top or box.left < left
            or box.top + box.height > top + 40 or box.left + box.width > left + 45
        )  # fmt: skip
    else:
        assert np.array_equal(inside.cut(crop.cut(image)), box.cut(image))
    assert box.inside(None) == box


def test_regions_outside_the_image_say_how_large_it_is() -> None:
    with pytest.raises(InputError, match=r"lies outside a\.dcm, which is 30 x 40 pixels"):
        Box(20, 0, 11, 5).check((1, 30, 40), "a.dcm")
    with pytest.raises(InputError, match=r"lies outside a\.dcm"):
        Circle(5, 5, 6).check((1, 30, 40), "a.dcm")
    with pytest.raises(InputError, match=r"names a plane that a\.dcm does not have: it has 3"):
        Box(0, 0, 5, 5, 4, 4).check((3, 30, 40), "a.dcm")
    Box(20, 35, 10, 5, 3, 3).check((3, 30, 40), "a.dcm")
    Circle(10, 10, 5).check((3, 30, 40), "a.dcm")

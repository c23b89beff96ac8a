"""Plots put every value at its place, between round marks, whatever its size."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.report.page.plot import HEIGHT, WIDTH, Axes, PlotCurve, draw_plot

quick = settings(max_examples=60, deadline=None)
AXES = Axes("title", "across", "up")
SIZES = {"k": 1e3, "M": 1e6, "G": 1e9}


def drawn(*curves: PlotCurve, axes: Axes = AXES) -> ElementTree.Element:
    return ElementTree.fromstring(draw_plot(curves, axes))


def curve(x: list[float], y: list[float], name: str = "before", **facts: bool) -> PlotCurve:
    return PlotCurve(name, np.array(x), np.array(y), name, **facts)


def points(element: ElementTree.Element) -> np.ndarray:
    return np.array([pair.split(",") for pair in element.attrib["points"].split()], float)


def ticks(svg: ElementTree.Element, anchor: str) -> list[tuple[float, float]]:
    """Value and place of the marks, of x ("middle") or of y ("end")."""
    place = "x" if anchor == "middle" else "y"
    found = []
    for text in svg.iter("text"):
        if text.attrib["class"] == "tick" and text.attrib["text-anchor"] == anchor:
            number, size = re.fullmatch(r"(.*?)([kMG]?)", (text.text or "").replace("−", "-")).groups()
            found.append((float(number) * SIZES.get(size, 1.0), float(text.attrib[place])))
    return found


@quick
@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e9).map(lambda value: float(f"{value:.3g}")),
    st.floats(1e-3, 1e12),
    st.integers(2, 9),
)
def test_points_lie_where_the_marks_say(low: float, span: float, top: float, count: int) -> None:
    x = np.linspace(low, low + span, count)
    y = np.abs(np.cos(np.arange(count))) * top
    svg = drawn(PlotCurve("a", x, y, "after"))
    (line,) = svg.iter("polyline")
    placed = points(line)
    assert placed.min() >= 0 and placed[:, 0].max() <= WIDTH and placed[:, 1].max() <= HEIGHT
    # the ends of the data fill the width, and 0 is the base
    assert placed[0, 0] == pytest.approx(62, abs=0.1) and placed[-1, 0] == pytest.approx(WIDTH - 12, abs=0.1)
    (base, *heights) = ticks(svg, "end")
    assert base == (0.0, pytest.approx(HEIGHT - 42, abs=0.1)) and 2 <= len(heights) <= 9
    value, place = heights[-1]
    assert value <= 1.07 * y.max()
    scale = (base[1] - place) / value
    assert base[1] - placed[:, 1] == pytest.approx(y * scale, abs=0.12 + 1e-3 * HEIGHT)


@quick
@given(st.integers(-20, 20), st.integers(1, 400), st.integers(-15, 6))
def test_marks_are_evenly_spaced_and_round(start: int, steps: int, power: int) -> None:
    unit = 10.0**power
    svg = drawn(curve([start * unit, (start + steps) * unit], [1, 2]))
    marks = [value for value, _ in ticks(svg, "middle")]
    places = [place for _, place in ticks(svg, "middle")]
    assert len(set(marks)) == len(marks) <= 8 and marks and places[0] >= 61.9 and places[-1] <= WIDTH - 11.9
    gaps = np.diff(marks)
    if len(gaps) > 1:
        assert np.diff(places) == pytest.approx(np.full(len(gaps), np.diff(places).mean()), abs=0.21)
    if len(gaps):
        mantissa = gaps.mean() / 10.0 ** math.floor(math.log10(gaps.mean()) + 1e-9)
        assert min(abs(mantissa - round_) for round_ in (1, 2, 2.5, 5)) < 0.02


@pytest.mark.parametrize("last", [2, 3, 7, 16, 50, 999])
def test_what_is_counted_is_marked_in_whole_numbers_from_first_to_last(last: int) -> None:
    svg = drawn(curve([2, 2.5], [1, 1]), axes=Axes("t", "x", "y", counted=(1, last)))
    marks = ticks(svg, "middle")
    assert all(value == round(value) and 1 <= value <= last for value, _ in marks) and len(marks) >= 2
    for value, place in marks:
        assert place == pytest.approx(62 + (value - 1) / (last - 1) * (WIDTH - 74), abs=0.1)


def test_curves_of_one_value_or_of_nothing_are_drawn() -> None:
    one = drawn(curve([3.0, 3.0], [0.0, 0.0]))
    assert points(next(one.iter("polyline"))).tolist() == [[62.0, HEIGHT - 42]] * 2
    assert [value for value, _ in ticks(one, "middle")] == [3.0]
    assert [value for value, _ in ticks(one, "end")] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_filled_curve_goes_down_to_the_base_at_its_ends() -> None:
    svg = drawn(curve([0, 1, 4], [2, 4, 1], filled=True), curve([0, 4], [1, 1], "after"))
    (area,) = svg.iter("polygon")
    first, last = (points(line) for line in svg.iter("polyline"))
    assert np.array_equal(points(area)[1:-1], first) and len(last) == 2
    assert points(area)[[0, -1]].tolist() == [[first[0, 0], 198.0], [first[-1, 0], 198.0]]
    assert area.attrib["class"] == "area before"


def test_labels_are_in_the_middle_of_their_axes_and_marks_below_the_base() -> None:
    svg = drawn(curve([0, 1], [0, 1]))
    across, up = (next(text for text in svg.iter("text") if text.text == word) for word in ("across", "up"))
    assert (across.attrib["x"], across.attrib["text-anchor"]) == ("235", "middle")
    assert up.attrib["transform"] == "translate(13 114) rotate(-90)"
    lines = [line.attrib for line in svg.iter("line") if line.attrib["class"] == "grid"]
    level = [line for line in lines if line["y1"] == line["y2"]]
    assert {(line["x1"], line["x2"]) for line in level} == {("62", "408")}
    upright = [line for line in lines if line["x1"] == line["x2"]]
    assert {(line["y1"], line["y2"]) for line in upright} == {("198", "202")}
    assert [float(line["x1"]) for line in upright] == [place for _, place in ticks(svg, "middle")]
    (sample,) = [line.attrib for line in svg.iter("line") if line.attrib["class"] == "curve before"]
    assert (sample["x1"], sample["x2"]) == ("62", "80")


def test_large_numbers_are_short_and_names_do_not_lie_on_each_other() -> None:
    for high, word in ((9999, "5000"), (50_000, "40k"), (3e7, "20M"), (4e10, "20G")):
        svg = drawn(curve([0, 1], [0, high]))
        assert word in [text.text for text in svg.iter("text")]
    svg = drawn(curve([-0.5, 0.5], [0, 1], "a long name"), curve([0, 1], [0, 1], "after"))
    assert "−0.25" in [text.text for text in svg.iter("text")]
    names = [text for text in svg.iter("text") if text.text in ("a long name", "after")]
    places = [float(name.attrib["x"]) for name in names]
    assert places[0] == 85 and places[1] - places[0] > 6 * len("a long name") + 18

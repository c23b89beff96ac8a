"""The curve of the noise along a series, on the page."""

import re

import pytest

from meddenoise.report.page.along import draw_along
from meddenoise.report.page.compose import compose
from tests.page_samples import entry, page


def test_the_noise_along_a_series_is_a_curve_without_the_planes_that_were_not_measured():
    by_plane = [(33.0, 4.0), (None, None), (8.0, 2.0), (8.5, 2.0), (8.0, 2.1)]
    figure = draw_along(by_plane, "HU")
    assert figure.count("<polyline") == 2 and "noise (HU)" in figure
    assert figure.count(",") >= 8 and "4.1 times the noise of the quietest" in figure
    assert "1 of 5 could not be measured" in figure
    assert draw_along(by_plane[:3], "HU") == draw_along([], "") == ""
    assert draw_along([(None, 2.0)] * 3, "").count("<polyline") == 1


def test_levels_that_hardly_differ_are_not_compared():
    assert "times the noise" not in draw_along([(10.0, 1.0), (10.5, 1.0), (10.9, 1.0)], "HU")


def test_a_page_shows_the_noise_along_a_series():
    curve = 'aria-label="Noise along the series"'
    assert curve in compose(page(entry(by_plane=((9.0, 1.0), (8.0, 1.0), (7.0, 1.0)))))
    assert curve not in compose(page(entry()))


@pytest.mark.parametrize("count", [3, 6, 14, 120])
def test_planes_are_counted_in_whole_numbers(count: int) -> None:
    page = draw_along([(float(n), 1.0) for n in range(1, count + 1)], "HU")
    marks = [float(text) for text in re.findall(r'text-anchor="middle">([\d.]+)</text>', page)]
    assert len(marks) >= 2 and all(mark == int(mark) for mark in marks)


def test_the_axis_reaches_the_last_plane_even_where_it_was_not_measured() -> None:
    page = draw_along([(9.0, 1.0)] * 6 + [(None, None)] * 4, "HU")
    marks = [float(text) for text in re.findall(r'text-anchor="middle">([\d.]+)</text>', page)]
    assert max(marks) == 10

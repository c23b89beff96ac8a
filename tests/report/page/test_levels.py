"""The levels of noise on the page where they were not measured before and after."""

import re

from meddenoise.report.page import Levels
from meddenoise.report.page.compose import compose
from tests.page_samples import entry, page

WHY = "estimated from the image, no flat place to compare"


def test_where_no_flat_place_was_found_the_level_that_was_used_is_shown() -> None:
    noise = Levels(unit="HU", used=99.7, source="estimated from the image")
    one = compose(page(entry(noise=noise)))
    assert "<b>99.7\u202fHU</b>" in one and WHY in one
    both = compose(page(entry(noise=noise), entry(key="other")))
    (row,) = re.findall(r"<tr>(?:(?!</tr>).)*≈ 99.7\u202fHU.*?</tr>", both)
    assert f'title="{WHY}"' in row


def test_a_level_that_was_used_does_not_stand_in_for_one_that_was_measured() -> None:
    noise = Levels(20.0, 2.0, 19.9, "HU", 25.0, "estimated from the image")
    text = compose(page(entry(noise=noise), entry(key="other")))
    assert "≈" not in text and WHY not in text

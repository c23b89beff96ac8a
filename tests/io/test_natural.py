"""Names in the order of a person: numbers by their value, everything else by its letters."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.io.natural import natural_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["IM2", "IM2a", "IM10"],
        ["1.2.9", "1.2.10", "1.10.1"],
        ["slice", "slice 1", "slice 02", "slice 2b", "slice 11"],
        ["", "0", "9", "10", "a"],
    ],
)
def test_numbers_count_by_their_value(ordered: list[str]) -> None:
    mixed = random.Random(0).sample(ordered, len(ordered))
    assert sorted(mixed, key=natural_key) == ordered


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="0123456789٣²½ab.- ", max_size=8) | st.text(max_size=8), max_size=6))
def test_any_names_can_be_ordered_and_the_order_is_the_same_from_any_other(names: list[str]) -> None:
    keys = [natural_key(name) for name in names]
    assert sorted(keys) == sorted(random.Random(0).sample(keys, len(keys)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**12), st.integers(0, 10**12), st.text(alphabet="ab_", max_size=4))
def test_two_names_with_one_stem_go_by_their_numbers(one: int, two: int, stem: str) -> None:
    assert (natural_key(f"{stem}{one}.dcm") < natural_key(f"{stem}{two}.dcm")) == (one < two)

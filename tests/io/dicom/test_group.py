"""Files become stacks in plane order, whatever the order they are found in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.io import Entry
from meddenoise.io.dicom.group import SlicePlace, group, normal

quick = settings(max_examples=50, deadline=None)


def entry(name: str, position: float | None = None, number: int = 0, **facts: Any) -> Entry:
    plain = {"group": ("series",), "series_number": 1, "ties": ((), (), ())} | facts
    return Entry(Path(name), 1, False, SlicePlace(position=position, number=number, **plain), False, "")


def names(stacks: list[tuple[Entry, ...]]) -> list[list[str]]:
    return [[one.path.name for one in stack] for stack in stacks]


@quick
@given(st.permutations(range(7)), st.booleans())
def test_slices_are_sorted_by_position_whatever_their_numbers(order: list[int], back: bool) -> None:
    files = [entry(f"f{n}", 2.5 * n, -n if back else n) for n in range(7)]
    assert names(group([files[n] for n in order])) == [[f"f{n}" for n in range(7)]]


@quick
@given(st.permutations(range(6)))
def test_without_a_position_numbers_count_and_then_names(order: list[int]) -> None:
    files = [entry("b", number=2), entry("a", number=2), entry("c", number=1)]
    files += [entry("d", 4.004, 9), entry("e", 4.001, 8), entry("f", 3.9, 10)]
    placed = [file for file in (files[n] for n in order) if file.detail.position is not None]
    # a hundredth of a millimetre is rounding: the same place
    assert names(group(placed)) == [["f", "e", "d"]]
    plain = [file for file in (files[n] for n in order) if file.detail.position is None]
    assert names(group(plain)) == [["c", "a", "b"]]


@quick
@given(st.permutations(range(8)), st.integers(0, 2))
def test_repeated_positions_are_split_by_the_first_value_that_makes_each_part_whole(
    order: list[int], telling: int
) -> None:
    files = []
    for phase in range(2):
        for n in range(4):
            # one value differs, but leaves a position twice in a part
            ties: list[Any] = [n == 0, "same", "same"]
            ties[telling] = f"phase {phase}"
            files.append(entry(f"p{phase}n{n}", float(n), number=10 * phase + n, ties=tuple(ties)))
    found = group([files[n] for n in order])
    assert sorted(names(found)) == [[f"p{phase}n{n}" for n in range(4)] for phase in range(2)]


def test_what_nothing_tells_apart_stays_one_stack() -> None:
    files = [entry(f"f{n}", float(n // 2), number=n) for n in range(4)]
    assert names(group(files[::-1])) == [["f0", "f1", "f2", "f3"]]


def test_stacks_are_in_the_order_of_folders_series_numbers_and_names_of_lone_files() -> None:
    files = [
        entry("y/b1", 0.0, group=("b",), series_number=5),
        entry("y/b2", 1.0, group=("b",), series_number=5),
        entry("x/film10", group=("c",)), entry("x/film2", group=("d",)),
        entry("y/a1", 0.0, group=("a",), series_number=3),
        entry("y/a2", 1.0, group=("a",), series_number=3),
    ]  # fmt: skip
    assert names(group(files)) == [["a1", "a2"], ["b1", "b2"], ["film2"], ["film10"]]
    assert group([]) == []


@pytest.mark.parametrize("turn", [0.0, 30.0, 200.0])
def test_the_normal_points_along_right_handed_slices(turn: float) -> None:
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    assert normal((c, s, 0, -s, c, 0)) == pytest.approx([0, 0, 1])

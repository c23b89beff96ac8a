"""Packed rows come back as they were; a sequence made anew is the sequence of what is made."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.report.packed import MadeAnew, Packer
from tests.report.test_report import ROW

quick = settings(max_examples=50, deadline=None)


@quick
@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 2)), max_size=6))
def test_rows_come_back_in_any_order_whatever_they_say(drawn: list[tuple[str, float]]) -> None:
    packer = Packer()
    rows = [replace(ROW, output=name, warnings=(name, "x"), strength=level) for name, level in drawn]
    packed = [packer.pack(row) for row in rows]
    assert [packer.unpack(one) for one in reversed(packed)] == rows[::-1]


def test_rows_much_like_the_first_take_a_tenth_of_its_room() -> None:
    packer = Packer()
    first, *others = (packer.pack(replace(ROW, output=f"out/{n}.dcm")) for n in range(20))
    assert max(map(len, others)) < 0.15 * len(first) or max(map(len, others)) < 60


@quick
@given(st.lists(st.integers(), max_size=8), st.slices(8))
def test_a_sequence_made_anew_has_the_parts_the_slices_and_the_ends_of_one_that_is_kept(
    parts: list[int], cut: slice
) -> None:
    made: list[int] = []

    def make(part: int) -> int:
        made.append(part)
        return 2 * part

    sequence, kept = MadeAnew(parts, make), [2 * part for part in parts]
    assert not made and len(sequence) == len(kept)
    assert sequence == kept and list(sequence[cut]) == kept[cut] and sequence[cut] == tuple(kept[cut])
    assert sequence != [*kept, 1] and sequence != 5
    if parts:
        assert sequence[-1] == kept[-1] and made[-1] == parts[-1]

"""Words whose high bit is odd: values moved down whichever kind of file it is, overlay bits left behind."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.io.dicom.bits import is_odd, keep_bits, settle_bits


@dataclass(frozen=True)
class Form:
    """Of a header: the bits of a word, those of the value, and the highest of them."""

    bits_allocated: int
    bits_stored: int
    high_bit: int
    samples: int = 1


@st.composite
def forms(draw: st.DrawFn) -> Form:
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(2, allocated - 1))
    return Form(allocated, stored, draw(st.integers(stored, allocated - 1)))


def values_of(form: Form, signed: bool, seed: int) -> np.ndarray:
    low = -(2 ** (form.bits_stored - 1)) if signed else 0
    high = low + 2**form.bits_stored
    kind = f"{'i' if signed else 'u'}{form.bits_allocated // 8}"
    return np.random.default_rng(seed).integers(low, high, (3, 5, 5)).astype(kind)


@settings(max_examples=60, deadline=None)
@given(forms(), st.booleans(), st.integers(0, 2**16))
def test_values_in_the_upper_bits_are_moved_down_with_their_sign(form: Form, signed: bool, seed: int) -> None:
    values = values_of(form, signed, seed)
    shift = form.high_bit + 1 - form.bits_stored
    assert np.array_equal(keep_bits(values << shift, form, form.high_bit), values)
    words = values << shift
    settled = settle_bits(words, [form], [range(3)])
    assert settled.shifts == (shift,) and not settled.warnings
    assert np.array_equal(words, values)


@settings(max_examples=60, deadline=None)
@given(forms(), st.booleans(), st.integers(0, 2**16))
def test_overlay_bits_beside_the_value_go(form: Form, signed: bool, seed: int) -> None:
    values = values_of(form, signed, seed)
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    kept = unsigned & (2**form.bits_stored - 1)
    if form.high_bit + 1 < form.bits_allocated:
        kept = kept | (1 << (form.bits_allocated - 1))
    low = Form(form.bits_allocated, form.bits_stored, form.bits_stored - 1)
    assert np.array_equal(keep_bits(kept.view(values.dtype), low, form.bits_stored - 1), values)


@pytest.mark.parametrize("signed", [False, True])
def test_values_in_the_lowest_bits_below_a_wrong_high_bit_are_taken_from_there_with_a_warning(
    signed: bool,
) -> None:
    form = Form(16, 12, 15)
    values = values_of(form, signed, 0)
    words = values.copy()
    settled = settle_bits(words, [form], [range(3)])
    assert settled.shifts == (0,) and np.array_equal(words, values)
    assert settled.warnings == (
        "the header states high bit 15, but the values are in the lowest 12 bits: they are taken from there",
    )


def test_all_files_that_state_the_same_decide_together_and_others_stay_as_they_are() -> None:
    odd, plain = Form(16, 12, 15), Form(16, 12, 11)
    words = np.stack([np.full((4, 4), 16), np.full((4, 4), 4080), np.full((4, 4), 33)]).astype("u2")
    # the first file by itself could be either: its neighbour's values cannot be of the lowest twelve bits
    words[1, 0, 0] = 0xFFF0
    settled = settle_bits(words, [odd, odd, plain], [[0], [1], [2]])
    assert settled.shifts == (4, 4, 0) and not settled.warnings
    assert words[0, 0, 0] == 1 and words[1, 0, 0] == 0xFFF and words[1, 1, 1] == 255 and words[2, 0, 0] == 33


def test_colours_and_headers_that_agree_with_themselves_are_not_odd() -> None:
    assert is_odd(Form(16, 12, 15)) and not is_odd(Form(16, 12, 11)) and not is_odd(Form(16, 12, 15, 3))

"""The tree of errors: exit codes, names near what was typed, and one line of a library's own words."""

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise import errors
from meddenoise.errors import MeddenoiseError, UsageError, first_line, unknown_name

CODES = {"UsageError": 2, "NothingReadableError": 3}
NAMES = ("direct", "diffdenoise", "nlm", "wavelet")


def test_every_error_has_the_exit_code_of_the_drawing() -> None:
    found = {
        name: kind.exit_code
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, MeddenoiseError)
    }
    assert found == {name: CODES.get(name, 1) for name in found}
    assert errors.__doc__ is not None
    for line in errors.__doc__.splitlines():
        name, _, rest = line.strip("│├└─ ").partition(" ")
        if name.endswith("Error"):
            assert int(rest.split()[0]) == found[name], name


@pytest.mark.parametrize(
    ("typed", "near"), [("nml", "nlm"), ("difdenoise", "diffdenoise"), ("wavelets", "wavelet"), ("x", None)]
)
def test_the_nearest_name_is_proposed_and_all_are_listed(typed: str, near: str | None) -> None:
    error = unknown_name("method", typed, NAMES)
    assert isinstance(error, UsageError)
    hint = f"did you mean {near!r}? " if near else ""
    valid = "valid are diffdenoise, direct, nlm, wavelet."
    assert str(error) == f"there is no method {typed!r}: {hint}{valid}"


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_one_line_of_at_most_200_characters_is_left_of_any_text(text: str) -> None:
    line = first_line(ValueError(text))
    assert line and "\n" not in line and len(line) <= 200
    assert first_line(ValueError(f"{text.strip()}\nmore")) == line or not text.strip()


def test_an_error_without_words_is_called_by_its_name() -> None:
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt" and first_line(OSError(" \n ")) == "OSError"

"""Noise asked for in words: whatever is typed becomes options, or one sentence that says what to type."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import UsageError
from meddenoise.noise.parse import kind_of, parse_noise
from meddenoise.noise.table import Scale, worded

SCALE = Scale(peak=1000.0, mean=200.0, pixel_mm=0.7)
numbers = st.floats(allow_nan=True, allow_infinity=True).map(repr) | st.text(max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(worded())) | st.text(max_size=8), st.lists(numbers, max_size=4))
def test_any_words_become_options_or_one_sentence(name: str, parts: list[str]) -> None:
    text = ":".join([name, *parts])
    try:
        options = parse_noise(text, SCALE)
    except UsageError as error:
        assert str(error).endswith(".")
    else:
        assert options.name == name


@pytest.mark.parametrize("text", ["gaussian:inf", "rician:inf", "xray:0.5:inf", "correlated:1e999"])
def test_a_level_without_end_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"must be at least 0, not inf\): write "):
        parse_noise(text, SCALE)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 500), st.floats(1, 1e5))
def test_percent_are_of_the_peak_and_quanta_of_the_mean(level: float, peak: float) -> None:
    scale = Scale(peak=peak, mean=peak / 5, pixel_mm=1.0)
    assert parse_noise(f"rician:{level!r}", scale).sigma == pytest.approx(level / 100 * peak)
    quantum = parse_noise(f"xray:{level!r}:3", scale)
    assert quantum.gain * level == pytest.approx(peak / 5)
    assert quantum.electronic == pytest.approx(3 * quantum.gain)


def test_the_kind_of_pixels_is_known_before_the_numbers_are_read() -> None:
    kinds = {name: kind_of(f"{name}:no number") for name in worded()}
    assert kinds == {name: row.values for name, row in worded().items()}
    assert kinds["ct-dose"] == "HU" and kinds["rician"] == "magnitude" and kinds["xray"] == "exposure"
    assert kind_of("device.toml") == "any"

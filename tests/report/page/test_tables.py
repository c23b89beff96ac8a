"""Numbers and words of the page: four digits, a true minus, a dash for nothing, and no HTML of anybody's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.report.page.tables import number, table, with_unit
from meddenoise.report.page.verdicts import chip, kind_of, read_trust, verdict_line
from meddenoise.trust import Trust


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (12.34567, "12.35"),
        (12345.6, "12350"),
        (-0.5, "−0.5"),
        (1e-7, "1e−07"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_are_written_as_in_print(value: float | None, text: str) -> None:
    assert number(value) == text


@settings(max_examples=80, deadline=None)
@given(st.floats(-1e300, 1e300))
def test_a_number_is_read_back_to_its_digits(value: float) -> None:
    text = number(value)
    assert "-" not in text
    assert float(text.replace("−", "-")) == pytest.approx(value, rel=1e-3)


def test_a_unit_follows_what_has_a_value_and_nothing_else() -> None:
    assert with_unit(3.0, "HU") == "3\u202fHU" and with_unit(3.0, "") == "3" and with_unit(None, "HU") == "–"


def test_numbers_of_a_metric_have_its_decimals() -> None:
    assert number(43.5, metric="psnr") == "43.50"
    assert with_unit(48.926, "dB", metric="psnr") == "48.93\u202fdB"
    assert number(0.972, metric="ssim") == "0.9720" and number(-1.5, metric="bias") == "−1.5"


def test_a_caption_is_text() -> None:
    assert "<b>" not in table("kind", "a <b> & c", "", []) and "a &lt;b&gt; &amp; c" in table(
        "k", "a <b> & c", "", []
    )


def trust(verdict: str | None, *reasons: str, notes: tuple[str, ...] = ()) -> Trust:
    found = read_trust(
        {
            "verdict": verdict,
            "reasons": reasons,
            "notes": notes,
            "values": {},
            "bins": [],
            "advice": ["a", "b"],
        }
    )
    assert found is not None
    return found


def test_a_verdict_is_a_line_with_its_reasons_and_what_to_try() -> None:
    line = verdict_line(trust("no effect", "nothing removed.", "the noise is <3"))
    assert line == (
        '<p class="verdict no-effect"><b>no effect</b> Nothing removed; the noise is &lt;3. '
        "Try one of: a or b.</p>"
    )
    assert "No check found structure" in verdict_line(trust("ok"))
    assert "not judged" in verdict_line(trust(None)) and "Nothing could be checked" in verdict_line(
        trust(None)
    )
    assert "Too small" in verdict_line(trust(None, notes=("too small",)))
    assert verdict_line(None) == "" and read_trust(None) is None


def test_the_chip_is_the_verdict_in_a_word() -> None:
    assert chip(trust("look")) == '<span class="chip look">look</span>' and chip(trust(None)) == "–" == chip(
        None
    )
    assert kind_of(None) == "unknown"

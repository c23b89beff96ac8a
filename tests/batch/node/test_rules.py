"""Rules: which series they fit, that results of meddenoise never go round, and what a table may say."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.batch.node.rules import OPTIONS, Rule, Subject, choose_rule, parse_rule
from meddenoise.batch.node.tables import check_range, check_value
from meddenoise.errors import UsageError
from meddenoise.pipeline.options import Options

quick = settings(max_examples=80, deadline=None)
codes = st.sampled_from(["", "CT", "MR", "XA"])
subjects = st.builds(Subject, codes, st.text(max_size=12), st.sampled_from(["", "CT1"]), st.booleans())
rules = st.builds(
    Rule,
    modality=codes,
    description=st.sampled_from(["", "lung", "^t2", "a|b"]),
    station=st.sampled_from(["", "CT1"]),
    skip=st.booleans(),
)


@quick
@given(st.lists(rules, max_size=4), subjects)
def test_the_first_rule_that_fits_decides_and_a_result_is_left_alone(
    chain: list[Rule], subject: Subject
) -> None:
    chosen = choose_rule(chain, subject)
    fitting = [rule for rule in chain or [Rule()] if rule.fits(subject)]
    if subject.result or not fitting or fitting[0].skip:
        assert chosen is None
    else:
        assert chosen is fitting[0] or chosen == Rule()


@quick
@given(subjects)
def test_a_rule_that_asks_for_nothing_fits_all_and_each_condition_only_takes_some_away(
    subject: Subject,
) -> None:
    assert Rule().fits(subject)
    for rule in (Rule("CT"), Rule(description="lung"), Rule(station="CT1")):
        both = Rule("CT", "lung", "CT1")
        assert rule.fits(subject) or not both.fits(subject)


@pytest.mark.parametrize("text", ["THORAX Lung", "a lung", "LUNG"])
def test_a_description_is_found_anywhere_in_capitals_or_not(text: str) -> None:
    assert Rule(description="lung").fits(Subject(description=text))


@quick
@given(
    st.dictionaries(
        st.sampled_from([*OPTIONS, "modality", "description", "skip", "factor"]) | st.text(max_size=5),
        st.none()
        | st.booleans()
        | st.integers(-9, 99)
        | st.floats()
        | st.text(max_size=4)
        | st.lists(st.integers(), max_size=1),
        max_size=3,
    ).filter(lambda table: not {"weights", "noise_profile", "noise_map"} & set(table))
)
def test_any_table_is_a_rule_or_one_sentence_that_names_it(table: dict[str, object]) -> None:
    try:
        rule = parse_rule(table, "rule 3", Path("/nowhere"))
    except UsageError as error:
        assert "rule 3" in str(error)
    else:
        assert set(table) <= {*OPTIONS, "modality", "description", "station", "skip"}
        assert isinstance(rule.options, Options)


def test_a_rule_says_what_it_was_told_and_nothing_else() -> None:
    rule = parse_rule({"modality": "ct", "method": "nlm", "strength": 0.5}, "rule 1", Path("/nowhere"))
    assert rule == Rule("CT", options=Options(method="nlm", strength=0.5))


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (1, str, "a text in quotes"),
        ("1", int, "a whole number"),
        (1.0, int, "a whole number"),
        (True, int, "a whole number"),
        (True, float, "a number"),
        ("1", float | None, "a number"),
        (1, bool, "true or false"),
        (3, "NoiseProfile | None", "a text in quotes"),
    ],
)
def test_a_value_of_another_kind_is_named_with_the_kind_wanted(
    value: object, kind: object, said: str
) -> None:
    with pytest.raises(UsageError, match=rf"^key of here is {value!r}: give {said}\.$"):
        check_value("key", value, kind, "here")


@quick
@given(st.floats(allow_nan=True), st.floats(-100, 0), st.floats(0, 100))
def test_a_number_is_in_its_range_or_refused_with_it(value: float, least: float, most: float) -> None:
    if least <= value <= most:
        check_range("quiet_s", value, least, most)
    else:
        with pytest.raises(UsageError, match=r"^quiet_s is "):
            check_range("quiet_s", value, least, most)


def test_whole_numbers_are_numbers() -> None:
    check_value("key", 3, float, "here")
    check_value("key", 3.5, float | None, "here")

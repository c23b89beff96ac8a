"""The verdict is that of the worst check, and no better value of any check makes it worse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.trust import CHECKS, SEVERITY, Values, judge
from meddenoise.trust.advice import Tried

quick = settings(max_examples=80, deadline=None)
MEASURED = sorted(set(CHECKS) - {"smoothing"})
measured = st.dictionaries(st.sampled_from(MEASURED), st.none() | st.floats(0, 3), max_size=len(MEASURED))
ALONE = sorted(set(MEASURED) - {"mean_shift", "lesion_survival", "noise_left"})
"""Checks that are no part of another, without the one whose worst value, nothing removed, is no `look`."""


@quick
@given(measured)
def test_the_verdict_is_the_worst_of_all_that_have_a_value(values: dict[str, float | None]) -> None:
    trust = judge(Values(values))
    known = {name: value for name, value in trust.values.items() if value is not None}
    verdicts = [CHECKS[name].judge(value) for name, value in known.items()]
    assert trust.verdict == min(verdicts, key=SEVERITY.index, default=None)
    assert len(trust.reasons) == sum(verdict != "ok" for verdict in verdicts)
    assert bool(trust.advice) == (trust.verdict not in (None, "ok"))
    assert not any("{" in text for text in (*trust.reasons, *trust.advice))


@quick
@given(measured, st.sampled_from(ALONE), st.floats(0, 3), st.floats(0, 3))
def test_a_better_value_is_never_judged_worse(
    values: dict[str, float | None], name: str, one: float, two: float
) -> None:
    better, worse = sorted((one, two), reverse=CHECKS[name].falling)
    found, other = (judge(Values({**values, name: value})).verdict for value in (better, worse))
    assert found is not None and other is not None
    assert SEVERITY.index(found) >= SEVERITY.index(other)


@quick
@given(measured)
def test_the_order_in_which_values_come_says_nothing(values: dict[str, float | None]) -> None:
    trust, again = judge(Values(values)), judge(Values(dict(reversed(values.items()))))
    assert (trust.verdict, trust.reasons, trust.advice) == (again.verdict, again.reasons, again.advice)


@pytest.mark.parametrize("name", CHECKS)
def test_limits_are_reached_at_their_value_and_are_in_order(name: str) -> None:
    check = CHECKS[name]
    for verdict in ("look", "no effect", "reject"):
        limit = getattr(check, verdict.replace(" ", "_"))
        if limit is not None:
            assert check.judge(limit) == verdict
            assert check.judge(limit * (1.001 if check.falling else 0.999)) != verdict
    limits = [limit for limit in (check.look, check.no_effect, check.reject) if limit is not None]
    assert limits == sorted(limits, reverse=check.falling)


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (0.5, "50% of the noise is left (limit 42%)"),
        (0.99, "99% of the noise is left (limit 67%)"),
    ],
)
def test_a_reason_states_the_limit_of_its_verdict(left: float, reason: str) -> None:
    assert judge(Values({"noise_left": left})).reasons == (reason,)


def test_two_signs_that_say_nothing_alone_add_up_and_only_then() -> None:
    look = CHECKS["mean_shift"].look or 0
    both = judge(Values({"mean_shift": 0.9 * look, "lesion_survival": 0.5}))
    assert both.verdict == "look" and both.values["smoothing"] == pytest.approx(1.4)
    assert "1.4 together" in both.reasons[0] and both.advice == ("--strength 0.6",)
    assert judge(Values({"mean_shift": 0.3 * look, "lesion_survival": 0.5})).verdict == "ok"
    for loud in ({"mean_shift": look}, {"lesion_survival": 0.3}, {"lesion_survival": None}):
        found = judge(Values({"mean_shift": 0.9 * look, "lesion_survival": 0.5} | loud))
        assert found.values["smoothing"] is None and "together" not in "".join(found.reasons)
    assert "smoothing" not in judge(Values({"mean_shift": None, "lesion_survival": 0.5})).values


@pytest.mark.parametrize(
    ("method", "advice"), [("nlm", "--method direct"), ("direct", "--method nlm"), ("", "another --method")]
)
def test_advice_names_another_method_if_the_one_tried_is_known(method: str, advice: str) -> None:
    assert advice in judge(Values({"structure_lost": 9.0}), Tried(method)).advice

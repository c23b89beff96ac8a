"""The table of methods that benchmarks and papers fill: what runs, what is left out and why."""

import pytest

from benchmarks.peers import PeerError, make_columns, peers_of
from meddenoise.errors import UsageError
from meddenoise.pipeline.options import Options


def test_a_method_that_cannot_run_is_left_out_with_its_reason_and_the_others_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing() -> dict[str, int]:
        raise UsageError("the package x is not installed: install it.")

    def refuse(column: int) -> None:
        if column < 0:
            raise PeerError("its training diverged")

    rows = {"one": lambda: {"one": 1, "one auto": 2}, "bm3d": missing, "bad": lambda: {"a": 3, "b": -1}}
    columns, left_out = make_columns(rows, refuse)
    assert columns == {"one": 1, "one auto": 2}
    assert left_out == {"bm3d": "the package x is not installed: install it.", "bad": "its training diverged"}
    assert "bad left out: its training diverged" in capsys.readouterr().err


def test_only_errors_that_meddenoise_raises_on_purpose_leave_a_method_out() -> None:
    def broken() -> dict[str, int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_columns({"broken": broken})


def test_a_learned_method_has_a_column_that_is_given_the_level_and_one_that_estimates_it() -> None:
    options = Options(device="cpu")
    assert list(peers_of("direct", None, options)) == ["direct", "direct auto"]
    assert list(peers_of("nlm", None, options)) == ["nlm"]
    with pytest.raises(UsageError, match="nml"):
        peers_of("nml", None, options)

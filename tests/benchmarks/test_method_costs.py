"""The cost of methods, measured."""

import sys

import pytest

from benchmarks import method_costs


def test_a_method_whose_cost_is_not_that_of_the_table_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        method_costs, "measure", lambda name, size: {"direct": 2.0, "tv": 1.0, "nlm": 90.0}[name]
    )
    monkeypatch.setattr(sys, "argv", ["method_costs", "--methods", "direct,tv,nlm", "--check"])
    with pytest.raises(SystemExit, match="off by more than 2 times: nlm"):
        method_costs.main()
    assert "tv: 0.5 (the table says 0.5)" in capsys.readouterr().out


def test_a_method_that_states_no_cost_is_neither_run_nor_off(monkeypatch, capsys) -> None:
    run = []

    def measure(name: str, size: int) -> float:
        run.append(name)
        return 1.0

    monkeypatch.setattr(method_costs, "measure", measure)
    monkeypatch.setattr(
        sys, "argv", ["method_costs", "--methods", "direct,vpsde-slides,medcdiff-ddpm", "--check"]
    )
    method_costs.main()
    assert run == ["direct"]
    assert "medcdiff-ddpm: not measured (the table states no cost)" in capsys.readouterr().out


def test_more_work_costs_more() -> None:
    assert 0 < method_costs.measure("tv", 64) < method_costs.measure("tv", 256)

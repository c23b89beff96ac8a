"""A time budget: how it is shared out, what validation may take of it, and that trainings keep it."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep

import pytest
import torch

from meddenoise.training import Manner, TrainingSet, run_training
from meddenoise.training.budget import Budget, fit_cases
from meddenoise.training.recipe_file import read_recipe
from tests.training.noisy_training import Silence, noisy_folder, tiny_recipe, train_tiny
from tests.training.test_medcdiff import folder as pictures
from tests.training.test_medcdiff import tiny

__all__ = ["pictures"]


class Judged:
    """Validates one case in a millisecond or so."""

    def __init__(self, cases: object) -> None:
        self.cases = cases

    def validate(self) -> None:
        sleep(0.002 * len(self.cases))  # type: ignore[arg-type]


def test_no_budget_gives_no_limit() -> None:
    budget = Budget()
    assert [budget.take(share) for share in (0.2, 0.8)] == [0.0, 0.0]


def test_what_one_stage_takes_too_long_the_others_have_less() -> None:
    budget = Budget(10.0)
    first = budget.take(0.5)
    assert 4.5 < first <= 5.0
    budget._until -= 7.5  # as if it had taken 7.5 s
    second, third = budget.take(0.25), budget.take(0.25)
    assert 0.9 < second < 1.3
    assert third == pytest.approx(budget.left, abs=0.1), "the last one has all that is left"


def test_what_a_stage_leaves_is_not_spent_so_that_a_finished_run_stays_finished() -> None:
    budget = Budget(10.0)
    assert budget.take(0.5) == pytest.approx(budget.take(0.5), rel=0.05)


@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_validation_is_shortened_to_a_tenth_of_the_time(kind: type) -> None:
    task = Judged(kind(range(1000)))
    taken = fit_cases(task, task.validate, seconds=2.0)
    assert 20 <= len(task.cases) <= 100 and taken <= 0.2
    assert len({int(case) for case in task.cases}) == len(task.cases)
    few = Judged(list(range(5)))
    fit_cases(few, few.validate, seconds=1000.0)
    assert few.cases == [0, 1, 2, 3, 4]
    slow = Judged(list(range(5)))
    fit_cases(slow, slow.validate, seconds=1e-6)
    assert len(slow.cases) == 1


@pytest.mark.slow
def test_every_way_of_training_keeps_its_budget(pictures: Path, tmp_path: Path) -> None:
    """Reading, validation, targets and calibration included, each of which takes long beside the steps."""
    seconds, direct = 12.0, read_recipe("direct-own")
    runs = {
        "several stages": lambda budget: train_tiny(
            noisy_folder(tmp_path / "noisy", side=100), tmp_path / "a", tiny_recipe(10**6), seconds=budget
        ),
        "two stages": lambda budget: run_training(
            tiny(steps=10**6),
            TrainingSet(pictures),
            tmp_path / "b",
            Manner(budget=Budget(budget)),
            watch=Silence(),
        ),
        "one stage": lambda budget: run_training(
            replace(direct, loop=replace(direct.loop, steps=10**6, patch=32)),
            TrainingSet(pictures),
            tmp_path / "c",
            Manner(budget=Budget(budget)),
            watch=Silence(),
        ),
    }
    for name, train in runs.items():
        began = perf_counter()
        assert train(seconds).exists()
        taken = perf_counter() - began
        # within a tenth on a machine at rest; others take longer for what no budget can shorten
        assert 0.8 * seconds < taken < 2 * seconds, f"{name} took {taken:.1f} s"

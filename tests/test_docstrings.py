"""The examples in the docstrings of the public functions run, and each of them has one."""

import doctest
from importlib import import_module
from inspect import isfunction

import pytest

import meddenoise

FUNCTIONS = [name for name in meddenoise.__all__ if isfunction(getattr(meddenoise, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_public_function_runs(name: str) -> None:
    function = getattr(meddenoise, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        function, name, import_module(function.__module__), extraglobs={}
    )
    assert example.examples, f"give {name} an example in its docstring"
    told: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=told.append)
    assert outcome.failed == 0, "".join(told)


def test_the_functions_are_the_ones_that_a_user_calls() -> None:
    assert FUNCTIONS == ["as_series", "denoise", "evaluate", "read", "write"]

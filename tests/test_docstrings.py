"""The examples in the docstrings of the public functions run, and each of them has one."""

import doctest
from importlib import import_module
from inspect import isfunction
from pathlib import Path

import pytest

import meddenoise

PACKAGE = Path(meddenoise.__file__).parent

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


def modules_with_examples() -> list[str]:
    """Modules of the package whose text has an example; those are imported, no others."""
    files = sorted(PACKAGE.rglob("*.py"))
    parts = [
        file.relative_to(PACKAGE.parent).with_suffix("").parts for file in files if ">>> " in file.read_text()
    ]
    return [".".join(names[:-1] if names[-1] == "__init__" else names) for names in parts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name: str) -> None:
    """As `pytest --doctest-modules meddenoise` runs them."""
    outcome = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted > 0 and outcome.failed == 0

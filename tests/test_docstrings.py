"""Docstrings: examples of the public functions run, and the first line names its subject."""

import ast
import doctest
import re
from importlib import import_module
from inspect import isfunction
from pathlib import Path

import pytest

import meddenoise

PACKAGE = Path(meddenoise.__file__).parent
ROOT = PACKAGE.parent
TREES = ("meddenoise", "benchmarks", "papers", "tools", "tests")
QUESTION = re.compile(r"\s*(What|Who|Whose|How|Where|Which|Whether|Why|When)\b")

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


def docstrings(code: str) -> list[str]:
    """Strings that are statements of their own: of modules, classes and functions, and after attributes."""
    return [
        node.value.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


@pytest.mark.parametrize("tree", TREES)
def test_no_docstring_opens_with_a_question_word(tree: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text.strip().splitlines()[0]}"
        for path in sorted((ROOT / tree).rglob("*.py"))
        for text in docstrings(path.read_text(encoding="utf-8"))
        if QUESTION.match(text)
    ]
    assert not found, "begin with a noun or a verb: " + "; ".join(found)


def test_docstrings_of_every_kind_are_found() -> None:
    code = "'What'\nx = 1\n'Where'\nclass A:\n    r'''\n    How so\n    '''\ndef f():\n    'Whether'\n"
    assert [bool(QUESTION.match(text)) for text in docstrings(code)] == [True] * 4
    assert not QUESTION.match("Whatever is left") and not QUESTION.match("Share of what moved")


def names_in(file: Path) -> set[str]:
    """The names that a module defines, in its classes and functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
    return found


MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): names_in(file)
    for file in PACKAGE.rglob("*.py")
}
FULL_NAME = re.compile(rf"`((?:{'|'.join({name.partition('.')[0] for name in MODULES})})(?:\.\w+)+)[`(]")


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_what_a_docstring_names_by_room_and_module_is_there(file: Path) -> None:
    for name in FULL_NAME.findall(file.read_text(encoding="utf-8")):
        module, _, last = name.rpartition(".")
        assert name in MODULES or last in MODULES.get(module, ()), f"there is no {name}"

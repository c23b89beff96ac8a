"""The house: imports point left, files and functions stay small, nothing heavy is imported early."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import meddenoise

PACKAGE = Path(meddenoise.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NEXT_TO_IT = [
    file for tree in ("benchmarks", "papers", "tools") for file in (PACKAGE.parent / tree).rglob("*.py")
]

LAW = (
    "errors version series normalize io diffusion noise metrics networks weights methods phantom engine "
    "trust report pipeline evaluation batch training cli"
)
"""The rooms in the order of the story: an import may only point left, wherever it is written."""
ROOMS = LAW.split()

LONGEST_FILE = 300
LONGEST_FUNCTION = 50
MOST_PARAMETERS = 6
HEAVY = ("torch", "pydicom", "SimpleITK", "scipy", "numpy", "nibabel", "PIL", "skimage", "huggingface_hub")
PUBLIC = [
    "METHODS",
    "CorruptError",
    "DenoisingWarning",
    "InputError",
    "MeddenoiseError",
    "NotAnImageError",
    "NothingReadableError",
    "Options",
    "OutputError",
    "TrainingError",
    "UnsupportedError",
    "UsageError",
    "WeightsError",
    "__version__",
    "as_series",
    "denoise",
    "evaluate",
    "read",
    "write",
]


def part(module: str) -> str:
    """`meddenoise.io.nifti` -> `io`; empty for the package itself."""
    return [*module.split("."), ""][1]


def name_of(file: Path) -> str:
    parts = ("meddenoise", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> Iterator[str]:
    """The meddenoise modules that a file names in any import, wherever it stands."""
    known = {name_of(other) for other in FILES}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("meddenoise"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            if node.module and node.module.startswith("meddenoise"):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in known else node.module


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_left(file):
    here = part(name_of(file))
    if here in ("", "__main__"):
        return
    assert here in ROOMS, f"give {here} a place in the law, or its files one in a room"
    for module in imports(file):
        there = part(module)
        assert there, f"{name_of(file)} imports the package, which names every room: import from the room"
        assert ROOMS.index(there) <= ROOMS.index(here), f"{name_of(file)} imports {module} from the right"


def test_no_late_import_hides_a_circle():
    """A room's `__init__` may open, late, what is behind it; nothing else may lead back to where it began."""
    ways = {
        name_of(file): [
            module
            for module in imports(file)
            if not (file.name == "__init__.py" and module.startswith(f"{name_of(file)}."))
        ]
        for file in FILES
    }
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in done:
            for there in ways.get(module, []):
                follow(there, (*path, module))
            done.add(module)

    for module in ways:
        follow(module, ())


def test_no_class_shares_its_name_with_another():
    homes: dict[str, list[str]] = {}
    for file in (*FILES, *NEXT_TO_IT):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(str(file.relative_to(PACKAGE.parent)))
    assert not {name: found for name, found in homes.items() if len(found) > 1}


def test_tools_are_imported_by_tools_only():
    """They may use benchmarks and papers, never the reverse."""
    tools = PACKAGE.parent / "tools"
    for file in (*FILES, *(file for file in NEXT_TO_IT if tools not in file.parents)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "tools" not in {name.partition(".")[0] for name in named}, f"{file} imports tools"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_and_functions_stay_small(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for function in functions(file):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{function.name} has {length} lines"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_functions_take_few_parameters_but_for_commands(file):
    in_cli = part(name_of(file)) == "cli"
    for function in functions(file):
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        count = len([argument for argument in given if argument.arg not in ("self", "cls")])
        is_command = in_cli and not function.name.startswith("_")
        assert is_command or count <= MOST_PARAMETERS, f"{function.name} takes {count}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_everything_is_annotated_and_nothing_prints(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for function in functions(file):
        assert function.returns is not None, f"{function.name} has no return type"
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_module_and_every_public_function_says_what_it_is(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "no docstring"
    for node in tree.body:
        is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if is_public and "overload" not in map(ast.unparse, node.decorator_list):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def loaded_after(code: str) -> set[str]:
    """Top-level modules in memory after `code` ran in a fresh interpreter."""
    report = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['meddenoise', {}'--help']\n"
        "from meddenoise.cli.main import run\n"
        "try: run()\nexcept SystemExit as end: assert end.code == 0"
    )
    for command in ("", "'denoise', ", "'info', "):
        assert not loaded_after(code.format(command)).intersection(HEAVY)


def test_importing_the_package_imports_nothing_heavy():
    assert not loaded_after("import meddenoise").intersection(HEAVY)


def test_listing_methods_imports_none_of_them():
    loaded = loaded_after("from meddenoise.methods import rows\nassert 'nlm' in rows()")
    assert not loaded.intersection({"torch", "scipy", "skimage"})


def test_a_plane_is_denoised_without_scipy_stats():
    code = (
        "import sys, torch, meddenoise.batch, meddenoise.pipeline.denoise\n"
        "from meddenoise.methods import Setup, get\n"
        "get('nlm').load(Setup())(torch.rand(1, 1, 32, 32), torch.ones(1))\n"
        "get('direct')\n"
        "assert 'scipy.stats' not in sys.modules"
    )
    assert "torch" in loaded_after(code)


def test_the_public_names_are_these_and_all_can_be_had():
    assert sorted(meddenoise.__all__) == sorted(PUBLIC) == dir(meddenoise)
    for name in PUBLIC:
        assert getattr(meddenoise, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = meddenoise.nothing

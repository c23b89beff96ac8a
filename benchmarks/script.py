"""A benchmark as a script: its exit code, its progress, its results as JSON and the document of them."""

import argparse
import json
import platform
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from meddenoise.errors import MeddenoiseError
from meddenoise.version import __version__

if TYPE_CHECKING:
    from meddenoise.weights.checkpoint import Checkpoint

Document = dict[str, Any]


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run the script; an error of meddenoise is one sentence, as from the program itself."""
    try:
        sys.exit(main())
    except MeddenoiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def tell(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Every argument of the run, as printed."""
    return {name: str(value) for name, value in vars(arguments).items()}


def weights_of(checkpoint: "Checkpoint") -> dict[str, str]:
    """Name and digest of the weights that were measured."""
    return {"name": checkpoint.path.name, "sha256": checkpoint.sha256}


def versions() -> dict[str, str | None]:
    """Versions of the packages that the numbers depend on; None for those that are not installed."""
    found: dict[str, str | None] = {"meddenoise": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "bm3d", "scikit-image"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def save(path: Path | None, document: object) -> None:
    """Write results as JSON if there is a path. Raises ValueError for numbers that JSON does not have."""
    if path is not None:
        path.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def write_document(description: str, compose: Callable[[list[Document]], str]) -> None:
    """The command line of a script that makes one document of JSON files: OUTPUT RESULT..."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("output", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    arguments = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in arguments.results]
    arguments.output.write_text(compose(documents), encoding="utf-8")
    print(arguments.output)


def names_of(what: str, valid: Collection[str] | None = None) -> Callable[[str], list[str]]:
    """Converter of argparse from an argument to names of a `what`; refuses names outside `valid`, if any."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if valid is not None and name not in valid]
        if unknown:
            raise ArgumentTypeError(f"no {what} {unknown[0]!r}: valid are {', '.join(valid or ())}")
        return names

    return parse

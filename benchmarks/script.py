"""End of a benchmark: its exit code, or the sentence of an error."""

import argparse
import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

from meddenoise.errors import MeddenoiseError

Document = dict[str, Any]


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run the script; an error of meddenoise is one sentence, as from the program itself."""
    try:
        sys.exit(main())
    except MeddenoiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


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

"""Lists of names in one argument of a command line, separated by commas."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Collection


def names_of(what: str, valid: Collection[str] | None = None) -> Callable[[str], list[str]]:
    """What argparse turns an argument into names of a `what` by; refuses names outside `valid`, if given."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if valid is not None and name not in valid]
        if unknown:
            raise ArgumentTypeError(f"no {what} {unknown[0]!r}: valid are {', '.join(valid or ())}")
        return names

    return parse

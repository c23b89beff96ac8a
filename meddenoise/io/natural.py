"""The order in which a person lists names: numbers in them by their value, 2 before 10."""

import re

_DIGITS = re.compile(r"(\d+)")


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key of a name.

    >>> sorted(["IM10", "IM2", "IM2a"], key=natural_key)
    ['IM2', 'IM2a', 'IM10']
    """
    parts = _DIGITS.split(text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

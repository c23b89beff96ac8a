"""Values from DICOM data sets that may hold anything: numbers or nothing, never an exception."""

import math
import re
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import PersonName

_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The finite numbers of an element; empty where it is absent, empty or no number."""
    value = value_of(dataset, keyword)
    if value is None or value == "":
        return ()
    values = value if isinstance(value, list | tuple) or hasattr(value, "__len__") else [value]
    try:
        result = tuple(float(entry) for entry in values) if not isinstance(values, str) else (float(values),)
    except (TypeError, ValueError):
        return ()
    return result if all(map(math.isfinite, result)) else ()


def number(dataset: Dataset, keyword: str, default: float | None = None) -> float | None:
    """The first number of an element, else `default`."""
    values = numbers(dataset, keyword)
    return values[0] if values else default


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """The first number of an element as an integer, else `default`."""
    values = numbers(dataset, keyword)
    return int(values[0]) if values else default


def text(dataset: Dataset, keyword: str) -> str:
    """The element as text, values joined by a backslash; empty where absent."""
    if keyword not in dataset:
        return ""
    element: Any = dataset.get_item(keyword)
    value = value_of(dataset, keyword)
    if isinstance(element, RawDataElement):
        # pydicom puts the decoded text in its place, and what did not decode would be lost to the result
        dataset[element.tag] = element
    if value is None:
        return ""
    if isinstance(value, str | PersonName):
        return str(value).strip()
    try:
        return "\\".join(str(entry) for entry in value).strip()
    except TypeError:
        return str(value).strip()


def word(dataset: Dataset, keyword: str) -> str:
    """The element as a code string (PS3.5 6.2); empty where it is none, so fit for any sentence or log."""
    value = text(dataset, keyword).upper()
    return value if _CODE.fullmatch(value) else ""


def item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None."""
    sequence = items(dataset, keyword)
    return sequence[0] if sequence else None


def items(dataset: Dataset | None, keyword: str) -> list[Dataset]:
    """All items of a sequence, or none."""
    value = value_of(dataset, keyword) if dataset is not None else None
    if value is None or isinstance(value, str | bytes):
        return []
    try:
        return [entry for entry in value if isinstance(entry, Dataset)]
    except TypeError:
        return []


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The element as pydicom gives it, or None."""
    # a value pydicom cannot convert raises when it is first looked at: as good as absent
    try:
        return dataset.get(keyword)
    except Exception:
        return None


def decimal(value: Any) -> str:
    """A DS of at most 16 characters."""
    for digits in range(15, 4, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} does not fit a DICOM decimal string")

"""Rows of thousands of series in little memory: packed, and made anew whenever they are looked at."""

import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from meddenoise.report import Row, parse_row, row_as_json

Made = TypeVar("Made")


class Packer:
    """Packs rows of one run, which hold much the same, into a tenth of their room and less."""

    def __init__(self) -> None:
        self._usual = b""

    def pack(self, row: Row) -> bytes:
        """The row as bytes for this packer."""
        text = json.dumps(row_as_json(row)).encode()
        self._usual = self._usual or text
        packer = zlib.compressobj(zdict=self._usual)
        return packer.compress(text) + packer.flush()

    def unpack(self, packed: bytes) -> Row:
        """The row that was packed."""
        return parse_row(json.loads(zlib.decompressobj(zdict=self._usual).decompress(packed)))


class MadeAnew(Sequence[Made]):
    """`make` of every part of a sequence, each time it is asked for."""

    def __init__(self, parts: Sequence[Any], make: Callable[[Any], Made]) -> None:
        self._parts = parts
        self._make = make

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Made: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Made]: ...
    def __getitem__(self, index: int | slice) -> Made | Sequence[Made]:
        if isinstance(index, slice):
            return MadeAnew(self._parts[index], self._make)
        return self._make(self._parts[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

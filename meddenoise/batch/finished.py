"""The finished results of a folder: a hidden index beside them, for resuming only."""

import json
import os
import threading
from pathlib import Path

from meddenoise.errors import OutputError
from meddenoise.io.temporary import OWN_PREFIX
from meddenoise.report import Row, parse_row, row_as_json
from meddenoise.report.packed import Packer

INDEX = f"{OWN_PREFIX}index"


class Finished:
    """The results that are finished in `folder`; safe for threads, and for several processes that add to it.

    One line of JSON a result, appended and synced to the disk once its files bear their names. A line that a
    killed process or another version left unreadable counts as not there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / INDEX
        self._found: dict[str, bytes] | None = None
        self._packer = Packer()
        self._mutex = threading.Lock()

    def find(self, fingerprint: str) -> Row | None:
        """The row of a result that was finished when first asked; None where there is none."""
        with self._mutex:
            if self._found is None:
                self._found = self._read()
            packed = self._found.get(fingerprint.partition("-")[0])
        row = None if packed is None else self._packer.unpack(packed)
        return row if row is not None and row.fingerprint == fingerprint else None

    def add(self, row: Row) -> None:
        """Note that a result is finished, in place of an older one in the same files.

        Raises OutputError where the index cannot be written.
        """
        # the line before may have been cut off by a killed process: begin a new one
        line = f"\n{json.dumps(row_as_json(row))}\n".encode()
        with self._mutex:
            if self._found is not None:
                self._found.pop(row.place, None)
            try:
                handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                try:
                    os.write(handle, line)
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                raise OutputError(
                    f"{self.path} cannot be written ({error.strerror or error}): make room, "
                    "or the same command starts this series again."
                ) from error

    def _read(self) -> dict[str, bytes]:
        """The last row of every place, packed."""
        rows: dict[str, bytes] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return rows
        for line in filter(None, lines):
            try:
                row = parse_row(json.loads(line))
            except (ValueError, TypeError, AttributeError):
                continue
            rows[row.place] = self._packer.pack(row)
        return rows

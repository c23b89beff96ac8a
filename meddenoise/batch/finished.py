"""The finished results of a folder: a hidden index beside them, for resuming only."""

import json
import os
import threading
from pathlib import Path

from meddenoise.errors import OutputError
from meddenoise.io.temporary import OWN_PREFIX
from meddenoise.report import Row, parse_row, row_as_json

INDEX = f"{OWN_PREFIX}index"


class Finished:
    """The results that are finished in `folder`; safe for threads, and for several processes that add to it.

    One line of JSON a result, appended and synced to the disk once its files bear their names. A line that a
    killed process or another version left unreadable counts as not there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / INDEX
        self._rows: dict[str, Row] | None = None
        self._mutex = threading.Lock()

    def find(self, fingerprint: str) -> Row | None:
        """The row of a finished result; None where there is none."""
        with self._mutex:
            if self._rows is None:
                self._rows = self._read()
            row = self._rows.get(fingerprint.partition("-")[0])
        return row if row is not None and row.fingerprint == fingerprint else None

    def add(self, row: Row) -> None:
        """Note that a result is finished, in place of an older one in the same files.

        Raises OutputError where the index cannot be written.
        """
        # the line before may have been cut off by a killed process: begin a new one
        line = f"\n{json.dumps(row_as_json(row))}\n".encode()
        with self._mutex:
            if self._rows is not None:
                self._rows[row.place] = row
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

    def _read(self) -> dict[str, Row]:
        """The last row of every place."""
        rows: dict[str, Row] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return rows
        for line in filter(None, lines):
            try:
                row = parse_row(json.loads(line))
            except (ValueError, TypeError, AttributeError):
                continue
            rows[row.place] = row
        return rows

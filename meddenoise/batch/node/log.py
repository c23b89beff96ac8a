"""The log of a node, on stderr: series by a digest of their UIDs, never a name, a date or a description."""

import logging
import re
import sys
from typing import TextIO

log = logging.getLogger("meddenoise.node")


class _Stderr(logging.StreamHandler[TextIO]):
    """Lines on stderr; one that cannot be written is left out, for its traceback may quote a header."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name of logging)
        """Nothing: the node works on without its log."""


def start_log(verbosity: int) -> None:
    """Write the log to stderr: -1 warnings only, 0 what is done, 1 every image."""
    if not log.handlers:
        handler = _Stderr(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(max(verbosity, -1), logging.DEBUG))


def without_quotes(reason: str) -> str:
    """The reason without all between its first and last quotation mark: libraries quote values of headers.

    >>> without_quotes("it does not decode (not a number: 'Doe^Jane')")
    'it does not decode (not a number: ...)'
    """
    return re.sub(r"""['"].*['"]""", "...", reason, flags=re.DOTALL)

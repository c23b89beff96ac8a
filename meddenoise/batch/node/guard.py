"""Limits below DICOM: bytes of a PDU and of a message, seconds they may take, connections at a time.

pynetdicom takes any length a peer states and waits for it without end.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

HELLO_S = 10.0
"""Longest time from a connection to the request for an association."""
SLOWEST = 4096
"""Bytes that make up for a second of a message: half of what an ISDN line carries."""
_TOO_SLOW = "a sender slower than timeout_s allows"
_CHUNK = 1 << 16
_HEADER = 6
"""Bytes before the part of a PDU whose length they state."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what a peer may take of this machine."""

    pdu: int
    """Bytes; the maximum announced to the association."""
    message: int
    """Bytes of an image with its command."""
    connections: int
    timeout_s: float
    """Longest time that a peer may be silent, and a message take beyond that of a line of SLOWEST."""
    refused: Callable[[str], None] = lambda why: None
    """Is called where a limit was reached."""


class GuardedSocket(AssociationSocket):
    """The socket of an association, which breaks off where a limit is reached."""

    limits: Limits
    _received = 0
    _began = 0.0
    _patience_s = HELLO_S
    _is_within = False

    def begin_connection(self, limits: Limits) -> None:
        """Count from here: what comes first is the request for an association."""
        self.limits, self._began = limits, monotonic()
        self._patience_s = min(HELLO_S, limits.timeout_s)

    def begin_message(self) -> None:
        """Count from what comes next: the message before is complete."""
        self._received, self._began, self._patience_s = 0, 0.0, self.limits.timeout_s

    def break_off(self) -> None:
        """End a wait for the rest of a PDU."""
        stream = self.socket
        if self._is_within and stream is not None:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RD)

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes, or fewer where the peer closes. Raises OSError where a limit is reached."""
        if nr_bytes > self.limits.pdu + _HEADER:
            raise self._refuse(f"a PDU of {nr_bytes} bytes, more than max_pdu")
        before = self._received
        self._received += nr_bytes
        if self._received > self.limits.message:
            raise self._refuse("an image larger than max_object_mib")
        self._began = self._began or monotonic()
        end = self._began + self._patience_s + before / SLOWEST
        self._is_within = True
        try:
            return self._read(nr_bytes, end)
        finally:
            self._is_within = False

    def _read(self, nr_bytes: int, end: float) -> bytearray:
        assert self.socket is not None
        data = bytearray()
        while len(data) < nr_bytes:
            left = end + len(data) / SLOWEST - monotonic()
            if left <= 0:
                raise self._refuse(_TOO_SLOW)
            self.socket.settimeout(left)
            try:
                part = self.socket.recv(min(nr_bytes - len(data), _CHUNK))
            except TimeoutError as error:
                raise self._refuse(_TOO_SLOW) from error
            if not part:
                break
            data += part
        return data

    def _refuse(self, why: str) -> OSError:
        self.limits.refused(why)
        return OSError(why)


class GuardedHandler(RequestHandler):
    """Makes associations with a guarded socket."""

    server: "GuardedServer"

    def _create_association(self) -> Any:
        association = super()._create_association()
        made = association.dul.socket
        assert made is not None
        # A second socket would announce the connection a second time.
        made.__class__ = GuardedSocket
        cast(GuardedSocket, made).begin_connection(self.server.limits)
        return association


class GuardedServer(ThreadedAssociationServer):
    """A server that closes connections beyond the limit before anything is read from them."""

    daemon_threads = True
    request_queue_size = 32
    limits: Limits

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """True if there is room for one more; some beyond the limit are let in to be refused properly."""
        if len(self.active_associations) < 2 * self.limits.connections:
            return True
        self.limits.refused("a connection beyond max_associations")
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing to tell: the peer is gone."""

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection that waits for data no longer than a peer may be silent."""
        client, address = super().get_request()
        client.settimeout(self.limits.timeout_s)
        return client, address

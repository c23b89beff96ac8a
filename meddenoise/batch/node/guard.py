"""Limits below DICOM: bytes of a PDU and of a message, seconds a PDU may take, connections at a time.

pynetdicom takes any length a peer states and waits for it without end.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

PDU_S = 60.0
"""Longest time that one PDU may take."""
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

    refused: Callable[[str], None] = lambda why: None
    """Is called where a limit was reached."""


class GuardedSocket(AssociationSocket):
    """The socket of an association, which breaks off where a limit is reached."""

    limits: Limits
    _received = 0

    def begin_message(self) -> None:
        """Count from here: the message before is complete."""
        self._received = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes, or fewer where the peer closes. Raises OSError where a limit is reached."""
        if nr_bytes > self.limits.pdu + _HEADER:
            raise self._refuse(f"a PDU of {nr_bytes} bytes, more than max_pdu")
        self._received += nr_bytes
        if self._received > self.limits.message:
            raise self._refuse("an image larger than max_object_mib")
        assert self.socket is not None
        data, deadline = bytearray(), monotonic() + PDU_S
        while len(data) < nr_bytes:
            left = deadline - monotonic()
            if left <= 0:
                raise self._refuse(f"a PDU that took more than {PDU_S:.0f} s")
            self.socket.settimeout(left)
            part = self.socket.recv(min(nr_bytes - len(data), _CHUNK))
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
        cast(GuardedSocket, made).limits = self.server.limits
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
        """A connection that waits for data no longer than a PDU may take."""
        client, address = super().get_request()
        client.settimeout(PDU_S)
        return client, address

"""Receiving by C-STORE: checks what arrives, writes it into the spool, answers only then."""

import io
import logging
import re
import threading
from itertools import count
from pathlib import Path
from typing import Any, cast

from pynetdicom import AE, _config, evt
from pynetdicom import sop_class as classes
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_RELEASE

from meddenoise.batch.node.guard import HELLO_S, GuardedHandler, GuardedServer, GuardedSocket, Limits
from meddenoise.batch.node.log import log
from meddenoise.batch.node.settings import Node
from meddenoise.batch.node.spool import Spool
from meddenoise.errors import InputError, OutputError
from meddenoise.io.dicom.header import read_header
from meddenoise.io.dicom.values import text

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64
_STORED, _OUT_OF_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD, _BAD_UID = 0x0000, 0xA700, 0xA900, 0xC000, 0x0117
"""Status codes of C-STORE (PS3.4 B.2.3, PS3.7 C.5)."""
_TOO_MANY = (0x02, 0x03, 0x02)
"""Transient, service provider, local limit exceeded (PS3.8 9.3.4)."""
_MESSAGE_SLACK = 1 << 20
"""Bytes of a message besides the image: its command, an association request, headers of PDUs."""
# Deflated images are left out: a few bytes may stand for gigabytes.
SYNTAXES = (
    *("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"),
    *(f"1.2.840.10008.1.2.4.{tail}" for tail in ("50", "51", "57", "70", "80", "81", "90", "91")),
    "1.2.840.10008.1.2.5",
)
"""Little and big endian, JPEG, lossless JPEG, JPEG-LS, JPEG 2000 and RLE."""


class Receiver:
    """A server that takes images of allowed senders into the spool, from `start` to `stop`."""

    def __init__(self, node: Node, spool: Spool) -> None:
        self._node, self._spool = node, spool
        self._tokens: dict[Association, str] = {}
        self._without_room: dict[str, set[str]] = {}
        """UIDs of the images that an association has not got rid of."""
        self._names = count()
        self._stopping = False
        self._server: GuardedServer | None = None
        self._thread: threading.Thread | None = None
        self._ae = AE(node.ae_title)
        for name in dir(classes):
            if "ImageStorage" in name:  # some go on with ForPresentation or ForProcessing
                self._ae.add_supported_context(getattr(classes, name), list(SYNTAXES))
        self._ae.add_supported_context(classes.Verification)  # type: ignore[attr-defined]
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(node.allow)
        # those that have not asked for an association yet must not keep others out: `_requested` counts
        self._ae.maximum_associations = 2 * node.max_associations
        self._ae.maximum_pdu_size = node.max_pdu
        self._ae.acse_timeout = min(HELLO_S, node.timeout_s)
        self._ae.network_timeout = node.timeout_s

    def start(self) -> None:
        """Listen. Raises OutputError where the port cannot be had."""
        quieten()
        node = self._node
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_ACSE_RECV, self._released),
            (evt.EVT_CONN_CLOSE, _wake),
        ]
        try:
            server = self._ae.make_server(
                (node.host, node.port),
                evt_handlers=handlers,
                server_class=GuardedServer,
                request_handler=GuardedHandler,
            )
            assert isinstance(server, GuardedServer)
        except OSError as error:
            raise OutputError(
                f"port {node.port} at {node.host} cannot be opened ({error.strerror or error}): "
                "choose another port or address in [node]."
            ) from error
        server.limits = Limits(
            node.max_pdu,
            (node.max_object_mib << 20) + _MESSAGE_SLACK,
            node.max_associations,
            node.timeout_s,
            lambda why: log.warning("connection closed: %s", why),
        )
        self._ae._servers.append(server)
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.1,), name="receiver", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Port it listens on."""
        return self._node.port

    @property
    def is_alive(self) -> bool:
        """True if it is listening."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Refuse what arrives from now on, and end all associations; what was answered is on the disk."""
        self._stopping = True
        if self._server is not None:
            for association in self._server.active_associations:
                stream = association.dul.socket
                if isinstance(stream, GuardedSocket):
                    stream.break_off()
            self._ae.shutdown()
        self.reap()

    def reap(self) -> None:
        """Tell the spool of associations that ended without a release."""
        for association, token in list(self._tokens.items()):
            if not association.is_alive():
                del self._tokens[association]
                self._without_room.pop(token, None)
                for key in self._spool.close(token, released=False):
                    log.warning("series %s: the sender broke off; waiting for it to try again", key)

    def _store(self, event: evt.Event) -> int:
        """The status of one image."""
        _begin_message(event)
        if self._stopping:
            return _OUT_OF_RESOURCES
        request = cast(C_STORE, event.request)
        instance = str(request.AffectedSOPInstanceUID or "")
        if not is_uid(instance):
            log.warning("image refused: its UID is not valid")
            return _BAD_UID
        association = event.assoc
        if association not in self._tokens:
            self._tokens[association] = f"{next(self._names)}"
        token = self._tokens[association]
        missing = self._without_room.setdefault(token, set())
        try:
            status = self._keep(event, instance, token)
        except OSError as error:
            log.error("image refused: the spool cannot be written (%s)", error.strerror or error)
            missing.add(instance)
            self._spool.close(token, released=False)
            return _OUT_OF_RESOURCES
        missing.discard(instance)
        return status

    def _keep(self, event: evt.Event, instance: str, token: str) -> int:
        data = cast(C_STORE, event.request).DataSet
        if not isinstance(data, io.BytesIO) or not data.getbuffer().nbytes:
            log.warning("image refused: it is empty")
            return _NOT_UNDERSTOOD
        with self._spool.incoming(event.encoded_dataset()) as path:
            try:
                study, series, inner = _read_uids(path)
            except InputError:
                log.warning("image refused: it cannot be read as DICOM")
                return _NOT_UNDERSTOOD
            if not (is_uid(study) and is_uid(series)):
                log.warning("image refused: its study or series has no valid UID")
                return _NOT_UNDERSTOOD
            if inner != instance:
                log.warning("image refused: its UID is not the announced one")
                return _MISMATCH
            key = self._spool.keep(path, (study, series), instance, token)
            log.debug("series %s: image received", key)
        return _STORED

    def _echo(self, event: evt.Event) -> int:
        _begin_message(event)
        return _STORED

    def _released(self, event: evt.Event) -> None:
        """The sender says that it is done: noted before it is answered, so that a kill then loses nothing."""
        if isinstance(getattr(event, "primitive", None), A_RELEASE) and event.assoc in self._tokens:
            token = self._tokens.pop(event.assoc)
            whole = not self._without_room.pop(token, ())
            for key in self._spool.close(token, released=whole):
                log.warning("series %s: there was no room for all; waiting for its sender to try again", key)

    def _requested(self, event: evt.Event) -> None:
        """Refuse an association beyond `max_associations`, for now."""
        _begin_message(event)
        assert self._server is not None
        others = self._server.active_associations
        asked = [one for one in others if one.requestor.primitive is not None and not one.is_rejected]
        if len(asked) > self._node.max_associations:
            log.warning("association refused: there are max_associations already")
            event.assoc.acse.send_reject(*_TOO_MANY)
            event.assoc.kill()

    def _rejected(self, event: evt.Event) -> None:
        log.warning(
            "association of %s refused: it is not in allow, or called another AE title",
            ascii(event.assoc.requestor.ae_title),
        )


def is_uid(value: str) -> bool:
    """True if a text is built as a UID (PS3.5 9.1): nothing else may name or find anything here."""
    return len(value) <= _LONGEST_UID and _UID.fullmatch(value) is not None


def quieten() -> None:
    """Keep the libraries from logging: they quote values, names of patients among them."""
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _wake(event: evt.Event) -> None:
    """A connection was closed: a thread that waits for its request for an association waits no longer."""
    if not event.assoc.is_established:
        event.assoc.dul.to_user_queue.put(None)


def _begin_message(event: evt.Event) -> None:
    """The message before this moment is complete: the next one may be as large again."""
    stream = event.assoc.dul.socket
    if isinstance(stream, GuardedSocket):
        stream.begin_message()


def _read_uids(path: Path) -> tuple[str, str, str]:
    """Study, series and instance UID of a file. Raises InputError."""
    tags = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    dataset = read_header(path, tags).dataset
    study, series, instance = (text(dataset, tag).strip() for tag in tags)
    return study, series, instance

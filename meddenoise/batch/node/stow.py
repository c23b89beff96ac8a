"""Sending by DICOMweb: STOW-RS (PS3.18 10.5), one instance a request."""

import http.client
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from meddenoise.batch.node.send import RefusedError, UnreachableError
from meddenoise.batch.node.settings import Destination

TIMEOUT_S = 60.0
_PART = 1 << 20
_LATER = {401, 403, 404, 408, 429}
"""Not the image's fault: a token that ran out, a service that is being moved, too many requests."""


class Stow:
    """The way to a destination by STOW-RS. The certificate of https:// is checked."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        self._url = urlsplit(destination.url)

    def send(self, files: list[Path], sent: Callable[[Path], None]) -> None:
        """Send files over one connection. Raises UnreachableError and RefusedError."""
        connection = self._connect()
        try:
            for file in files:
                self._post(connection, file)
                sent(file)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)

    def _post(self, connection: http.client.HTTPConnection, file: Path) -> None:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + file.stat().st_size + len(tail)),
            "Accept": "application/dicom+json",
            **self._token(),
        }
        path = f"{self._url.path.rstrip('/')}/studies"
        try:
            connection.request("POST", path, _parts(head, file, tail), headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(f"{self._to.url} cannot be reached ({reason})") from error
        if answer.status in _LATER or answer.status >= 500:
            raise UnreachableError(f"{self._to.url} answers {answer.status} {answer.reason}")
        # 202 says that some instances failed: there is only one
        if answer.status != 200:
            raise RefusedError(f"it answers {answer.status} {answer.reason}")

    def _token(self) -> dict[str, str]:
        if not self._to.token_file:
            return {}
        try:
            token = Path(self._to.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise UnreachableError(
                f"the file with the token cannot be read: {self._to.token_file}"
            ) from error
        return {"Authorization": f"Bearer {token}"}


def _parts(head: bytes, file: Path, tail: bytes) -> Iterator[bytes]:
    """The body of a request, of which only a part is in memory."""
    yield head
    with file.open("rb") as stream:
        while part := stream.read(_PART):
            yield part
    yield tail
